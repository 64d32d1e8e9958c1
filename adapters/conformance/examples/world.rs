//! Plays runs of a world by their numbers: `cargo run -p phoenix-conformance --example world -- 17`.
//!
//! Each prints its log, the faults that struck, and the invariants that did not hold. Without a number the first
//! conversation of two homeservers is played.

#![allow(clippy::print_stdout, reason = "it is what the program is for")]

use std::{error::Error, sync::Arc};

use phoenix_conformance::world::{Size, Tape, Town, story};

fn main() -> Result<(), Box<dyn Error>> {
    let seeds: Vec<u64> = std::env::args().skip(1).map(|seed| seed.parse()).collect::<Result<_, _>>()?;
    if seeds.is_empty() {
        let told = story(&Tape::of_seed(1))?;
        println!("{}", told.steps.join("\n"));
        return Ok(());
    }
    let town = Arc::new(Town::build(Size { homes: 3, clients: 6, groups: 3, further: 1, guests: 2 })?);
    for seed in seeds {
        let report = town.play(&Tape::of_seed(seed), None);
        println!("{}", report.log);
        println!("{:?} in {} ms of virtual time", report.struck, report.elapsed_ms);
        println!("seed {seed}: {report}");
    }
    Ok(())
}
