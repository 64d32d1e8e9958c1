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
mod house;
mod messages;
mod observer;
mod people;
mod scene;

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

/// For callgrind: ten messages or commits, of which `House::measured` alone is to be counted.
fn once(arguments: &[String]) {
    let [what, members] = arguments else { panic!("--once message|commit MEMBERS") };
    let members = members.parse().unwrap();
    match what.as_str() {
        "message" => messages::once(Kind::Memory, members),
        "commit" => commits::once(Kind::Memory, members),
        _ => panic!("neither message nor commit"),
    }
}

/// Sizes of groups.
const SIZES: [usize; 4] = [2, 10, 100, 1_000];
