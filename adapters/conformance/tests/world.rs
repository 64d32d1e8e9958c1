//! Many runs of a world, each a number.
//!
//! `PHOENIX_SEEDS=5000` plays more of them; `cargo run -p phoenix-conformance --example world -- 17` plays one and
//! shows its log.

#![cfg(feature = "world")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests may panic, and report")]

mod seeds;

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
    time::Instant,
};

use futures::executor::block_on;
use phoenix_conformance::{
    network::Network,
    world::{Deed, Fault, Planted, Report, Seen, Served, Size, Tape, Town, story},
};
use phoenix_core::{api::Description, port::Inline, store::MemoryStore};
use phoenix_homeserver::Homeserver;

#[test]
fn every_invariant_holds_in_every_run_and_every_class_of_faults_strikes() {
    let reports = ordinary();

    let mut struck: BTreeMap<Fault, u64> = BTreeMap::new();
    for (fault, times) in reports.values().flat_map(|report| &report.struck) {
        *struck.entry(*fault).or_default() += times;
    }
    let messages: usize = reports.values().map(|report| report.messages).sum();
    println!("{} runs, {messages} messages, faults: {struck:?}", reports.len());
    let broken = seeds::broken(reports);
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    for fault in Fault::ALL {
        assert!(struck.contains_key(&fault), "{fault:?} never struck");
    }
}

#[test]
fn everything_that_clients_do_is_accepted_and_refused_for_every_reason_as_the_oracle_says() {
    let reports = ordinary();

    let mut seen = Seen::new();
    for (what, times) in reports.values().flat_map(|report| &report.seen) {
        *seen.entry(*what).or_default() += times;
    }
    let open: u64 = reports.values().map(|report| report.open).sum();
    let told: u64 = seen.values().sum();
    println!("{told} deeds came to what was foretold, {open} were left open");
    for ((deed, verdict), times) in &seen {
        println!("{times:>5} {deed:?} {verdict:?}");
    }
    let all = Deed::ALL.into_iter().flat_map(|deed| deed.verdicts().map(move |verdict| (deed, verdict)));
    let missing: Vec<_> = all.filter(|what| !seen.contains_key(what)).collect();
    assert!(missing.is_empty(), "never seen: {missing:?}");
    // Where most was left open, little would be checked.
    assert!(open < told, "{open} were left open, and {told} were not");
    let hints: usize = reports.values().map(|report| report.hints).sum();
    println!("{hints} messages of the moment were shown");
    assert!(hints > FEWEST_HINTS, "{hints} messages of the moment were shown");
    let expelled: u64 = reports.values().map(|report| report.expelled).sum();
    println!("{expelled} members were taken out of groups by their delivery service");
    assert!(expelled > FEWEST_EXPELLED, "{expelled} members were taken out of groups");
}

#[test]
fn every_endpoint_is_served_while_faults_strike() {
    let reports = ordinary();

    let mut served = Served::new();
    for (endpoint, times) in reports.values().flat_map(|report| &report.served) {
        *served.entry(*endpoint).or_default() += times;
    }
    println!("{served:?}");
    let endpoints: Vec<_> = descriptions().into_iter().map(|it| (it.service, it.name)).collect();
    let missing: Vec<_> = endpoints.iter().filter(|endpoint| !served.contains_key(endpoint)).collect();
    assert!(missing.is_empty(), "never served: {missing:?}");
    assert_eq!(endpoints.len(), 65);
}

#[test]
fn the_same_tape_gives_the_same_log_byte_for_byte() {
    for seed in [3, 14] {
        let (one, other) = (run(seed, None), run(seed, None));

        assert_eq!(one.log, other.log);
        assert_ne!(one.log, run(seed + 1, None).log);
    }
}

#[test]
fn a_row_that_is_taken_before_its_append_is_durable_is_found() {
    is_found(Planted::TakenBeforeAppended, "Q1");
}

#[test]
fn a_spent_set_that_is_lost_at_restart_is_found() {
    is_found(Planted::SpentForgotten, "K1");
}

#[test]
fn an_authority_that_forgets_what_it_issued_is_found() {
    is_found(Planted::IssuedForgotten, "K2");
}

#[test]
fn a_retry_with_a_stale_decision_is_found() {
    is_found(Planted::StaleDecision, "D1");
}

#[test]
fn a_delivery_service_whose_groups_go_back_is_found() {
    is_found(Planted::GroupsGoBack, "D2");
}

#[test]
fn a_fan_out_that_is_queued_before_its_commit_is_durable_is_found() {
    is_found(Planted::FansOutFirst, "D3");
}

#[test]
fn an_authority_that_forgets_what_it_decides_is_found() {
    is_found(Planted::AuthorityForgets, "O");
}

#[test]
fn a_delivery_service_that_lets_everybody_remove_members_is_found() {
    is_found(Planted::RolesIgnored, "O");
}

#[test]
fn an_oracle_that_errs_is_found() {
    is_found(Planted::MistakenOracle, "O");
}

#[test]
fn the_first_conversation_of_two_homeservers_is_told_to_its_end() {
    let started = Instant::now();

    let told = story(&Tape::of_seed(1)).unwrap();

    for step in &told.steps {
        println!("{step}");
    }
    println!("{:?}, {} ms of virtual time", started.elapsed(), told.elapsed_ms);
    assert_eq!(told.steps.len(), 19);
}

/// The runs without a planted bug, played once for all tests of them.
fn ordinary() -> &'static BTreeMap<u64, Report> {
    static ORDINARY: OnceLock<BTreeMap<u64, Report>> = OnceLock::new();
    ORDINARY.get_or_init(|| {
        let started = Instant::now();
        let reports = seeds::play(SEEDS, &BROKE_ONCE, |seed| run(seed, None));
        println!("{} runs in {:?}", reports.len(), started.elapsed());
        reports
    })
}

/// The endpoints of a homeserver.
fn descriptions() -> Vec<Description> {
    let network = Network::default();
    let home = Homeserver::builder("alpha.test".parse().unwrap())
        .store(MemoryStore::new())
        .transport(network.transport())
        .compute(Inline);
    block_on(home.build()).unwrap().descriptions()
}

fn is_found(planted: Planted, invariant: &str) {
    seeds::is_found(MOST_SEEDS, run, (planted, invariant));
}

fn run(seed: u64, planted: Option<Planted>) -> Report {
    static TOWN: OnceLock<Arc<Town>> = OnceLock::new();
    let town = TOWN.get_or_init(|| Arc::new(Town::build(Size::ordinary()).unwrap()));
    town.play(&Tape::of_seed(seed), planted)
}

/// As many runs as see everything, and most of it often.
const SEEDS: u64 = 46;
/// Runs in which an invariant broke once.
const BROKE_ONCE: [u64; 3] = [16, 27, 92];
/// A planted bug must be found in so many.
const MOST_SEEDS: u64 = 100;
/// Messages of the moment that are shown in all runs, at least.
const FEWEST_HINTS: usize = 10;
/// Members that delivery services take out of groups by themselves in all runs, at least.
const FEWEST_EXPELLED: u64 = 20;
