//! Worlds of five homeservers that are cut off from each other in every shape and for up to days, beside a hostile one.
//!
//! `PHOENIX_SEEDS=1000 cargo test --release -p phoenix-conformance --test federation -- --nocapture` plays more of them.

#![cfg(feature = "world")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests may panic, and report")]

mod seeds;

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
    time::Instant,
};

use phoenix_conformance::world::{Planted, Report, Size, Struck, Tape, Town, moves};

#[test]
fn every_invariant_holds_among_homeservers_that_are_cut_off_beside_a_hostile_one() {
    let started = Instant::now();

    let reports = seeds::play(SEEDS, &BROKE_ONCE, |seed| run(seed, None));

    let (mut struck, mut moved) = (Struck::new(), BTreeMap::<&str, u64>::new());
    for report in reports.values() {
        report.struck.iter().for_each(|(fault, times)| *struck.entry(*fault).or_default() += times);
        report.moves.iter().for_each(|(name, times)| *moved.entry(name).or_default() += times);
    }
    let sum = |of: fn(&Report) -> u64| reports.values().map(of).sum::<u64>();
    let broken = seeds::broken(&reports);
    println!(
        "{} seeds, {} steps, {} homeservers and a hostile one that made {} moves, {} faults, {:.0} virtual hours, \
         {} messages, {} invariants broken, in {:.0?}",
        reports.len(),
        sum(|report| report.steps),
        Size::federation().homes,
        moved.values().sum::<u64>(),
        struck.values().sum::<u64>(),
        sum(|report| report.elapsed_ms) as f64 / 3_600_000.0,
        sum(|report| report.messages as u64),
        broken.len(),
        started.elapsed(),
    );
    println!("{struck:?}, {moved:?}");
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    for name in moves().iter().map(|it| it.name()).chain(["lies"]) {
        assert!(moved.contains_key(name), "mallory never {name}");
    }
}

#[test]
fn the_same_tape_gives_the_same_log_of_homeservers_that_are_cut_off() {
    let (one, other) = (run(3, None), run(3, None));

    assert_eq!(one.log, other.log);
    assert_ne!(one.log, run(4, None).log);
}

#[test]
fn a_homeserver_that_forgets_what_it_took_of_others_is_found() {
    is_found(Planted::ReceiptsForgotten, "Q2");
}

#[test]
fn a_homeserver_that_takes_what_is_for_others_is_found() {
    is_found(Planted::ForeignDelivered, "F1");
}

#[test]
fn a_homeserver_that_tells_no_sources_apart_is_found_when_one_of_them_floods_it() {
    is_found(Planted::OneLimitForAll, "F4");
}

#[test]
fn a_homeserver_whose_mailbox_is_blocked_by_one_bad_message_is_found() {
    is_found(Planted::PoisonBlocks, "Q1");
}

#[test]
fn a_homeserver_that_looks_for_a_stranger_again_and_again_is_found() {
    is_found(Planted::LooksAgain, "F2");
}

#[test]
fn a_homeserver_that_sends_something_to_whoever_a_stranger_names_is_found() {
    is_found(Planted::Knocks, "F3");
}

#[test]
fn a_homeserver_that_one_other_keeps_from_all_is_found() {
    is_found(Planted::OneCutStopsAll, "F5");
}

#[test]
fn a_homeserver_that_takes_an_address_for_a_domain_is_found() {
    is_found(Planted::AddressesTaken, "F6");
}

#[test]
fn a_homeserver_that_asks_others_before_it_takes_a_message_is_found() {
    is_found(Planted::AsksFirst, "F7");
}

fn is_found(planted: Planted, invariant: &str) {
    seeds::is_found(MOST_SEEDS, run, (planted, invariant));
}

fn run(seed: u64, planted: Option<Planted>) -> Report {
    static TOWN: OnceLock<Arc<Town>> = OnceLock::new();
    let town = TOWN.get_or_init(|| Arc::new(Town::build(Size::federation()).unwrap()));
    town.play_federation(&Tape::of_seed(seed), planted)
}

const SEEDS: u64 = 100;
/// Runs in which an invariant broke once.
const BROKE_ONCE: [u64; 2] = [412, 621];
/// A planted bug must be found in so many.
const MOST_SEEDS: u64 = 100;
