//! What tokens cost beside their bare arithmetic, and whether issuing holds up other calls.
//!
//! `cargo bench -p phoenix-conformance --bench tokens`
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark fails by panicking, and prints")]

mod bare;
mod busy;
mod issuing;
mod redeeming;
mod town;

use std::time::{Duration, Instant};

fn main() {
    println!("median of each, in microseconds; compared in turn in one run\n");
    issuing::measure();
    redeeming::measure();
    busy::measure();
}

/// The medians of two things that are done in turn, so many times each, in microseconds.
fn compare(times: usize, mut bare: impl FnMut(), mut full: impl FnMut()) -> (f64, f64) {
    let mut taken = (Vec::new(), Vec::new());
    for _ in 0..times {
        taken.0.push(time(&mut bare));
        taken.1.push(time(&mut full));
    }
    (median(taken.0), median(taken.1))
}

fn time(mut work: impl FnMut()) -> Duration {
    let began = Instant::now();
    work();
    began.elapsed()
}

/// In microseconds.
fn median(taken: Vec<Duration>) -> f64 {
    quantile(taken, 0.5)
}

/// In microseconds.
fn quantile(mut taken: Vec<Duration>, part: f64) -> f64 {
    taken.sort();
    let last = u32::try_from(taken.len() - 1).unwrap();
    let at = (f64::from(last) * part).round();
    let found = taken.iter().zip(0_u32..).find(|(_, place)| f64::from(*place) >= at);
    found.unwrap().0.as_secs_f64() * 1e6
}

/// One line of the table: per token.
fn report(what: &str, tokens: f64, (bare, full): (f64, f64), goal: &str) {
    let ratio = full / bare;
    let (bare, full) = (bare / tokens, full / tokens);
    println!("{what:<44} bare {bare:>9.2}  full {full:>9.2}  ratio {ratio:>5.3}  {goal}");
}
