//! Many runs of a world, each a number.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use phoenix_conformance::world::{Planted, Report};

/// Plays seeds from 1 on, and those beyond that broke an invariant once, on all cores: as many as `PHOENIX_SEEDS` says,
/// or else the usual number.
pub(crate) fn play(
    usual: u64,
    broke_once: &[u64],
    run: impl Fn(u64) -> Report + Sync,
) -> BTreeMap<u64, Report> {
    let count = std::env::var("PHOENIX_SEEDS").ok().and_then(|count| count.parse().ok()).unwrap_or(usual);
    let beyond = broke_once.iter().copied().filter(|seed| *seed > count);
    play_until(&(1..=count).chain(beyond).collect::<Vec<_>>(), run, |_| false)
}

/// Plays seeds on all cores, up to one whose report is what is looked for.
fn play_until(
    seeds: &[u64],
    run: impl Fn(u64) -> Report + Sync,
    is_it: impl Fn(&Report) -> bool + Sync,
) -> BTreeMap<u64, Report> {
    let (next, reports) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    let work = || {
        while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
            if reports.lock().unwrap().values().any(&is_it) {
                return;
            }
            let report = run(*seed);
            reports.lock().unwrap().insert(*seed, report);
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    reports.into_inner().unwrap()
}

/// Plays until an invariant is found broken that the bug breaks.
pub(crate) fn is_found(
    most: u64,
    run: impl Fn(u64, Option<Planted>) -> Report + Sync,
    (planted, invariant): (Planted, &str),
) {
    let is_broken = |report: &Report| report.violations.iter().any(|it| it.starts_with(invariant));

    let seeds: Vec<u64> = (1..=most).collect();
    let reports = play_until(&seeds, |seed| run(seed, Some(planted)), is_broken);

    let found = reports.iter().find(|(_, report)| is_broken(report));
    let (seed, report) =
        found.unwrap_or_else(|| panic!("{planted:?} was not found in {} runs", reports.len()));
    let violation = report.violations.iter().find(|it| it.starts_with(invariant)).unwrap();
    println!("{planted:?} is found by seed {seed}, after {} runs: {violation}", reports.len());
}

/// The runs in which an invariant broke, and how.
pub(crate) fn broken(reports: &BTreeMap<u64, Report>) -> Vec<String> {
    let broken = reports.iter().filter(|(_, report)| !report.holds());
    broken.map(|(seed, report)| format!("seed {seed}: {report}")).collect()
}
