//! What a message and a commit cost, beside the cryptography that they cannot avoid.
//!
//! `cargo bench -p phoenix-conformance --bench groups`
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark fails by panicking, and prints"
)]

mod calls;
mod commits;
mod cpu;
mod crowd;
mod floor;
mod group;
mod home;
mod house;
mod messages;
mod observer;
mod people;
mod scene;
// Measured against OpenMLS in the storage that the DS has groups in.
#[path = "../../../../phoenix-ds/src/mls/storage.rs"]
mod storage;

use std::time::Duration;

use criterion::Criterion;

use crate::{cpu::CpuTime, floor::Floor, house::Kind};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(place) = arguments.iter().position(|it| it == "--once") {
        return once(arguments.get(place + 1..).unwrap_or_default());
    }
    let mut criterion = Criterion::default()
        .with_measurement(CpuTime)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1))
        .sample_size(20)
        .configure_from_args();
    let floor = Floor::new();
    println!("one redemption {:.1} µs, one signature {:.1} µs", floor.redemption(), floor.signature());
    let tables = [
        messages::measure(&mut criterion, &floor),
        commits::measure(&mut criterion, &floor),
        crowd::measure(&mut criterion),
    ];
    criterion.final_summary();
    println!("\nmicroseconds of processor time, medians\n");
    tables.iter().for_each(|table| println!("{table}"));
}

/// For callgrind (`count.py`): ten messages or commits, and then as often what they are measured against.
fn once(arguments: &[String]) {
    let [what, store, members] = arguments else { panic!("--once message|commit memory|sqlite MEMBERS") };
    let kind = Kind::ALL.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(store));
    let (kind, members) = (kind.unwrap(), members.parse().unwrap());
    match what.as_str() {
        "message" => messages::once(kind, members),
        "commit" => commits::once(kind, members),
        _ => panic!("neither message nor commit"),
    }
}

/// Does what callgrind is to count apart from all else; `count.py` knows this function by its name.
#[inline(never)]
pub(crate) fn counted<T>(work: impl FnOnce() -> T) -> T {
    // Stays a call, which comes back here.
    std::hint::black_box(work())
}

/// Sizes of groups.
const SIZES: [usize; 4] = [2, 10, 100, 1_000];
/// Calls of a group that are counted.
const ONCE: u64 = 10;
