//! Plays runs of a world by their numbers: `cargo run -p phoenix-conformance --example world -- 17`.
//!
//! Each prints its log, the faults that struck, and the invariants that did not hold. With `federation` before the
//! numbers, they are runs of five homeservers that are cut off from each other, beside a hostile one. Without a number
//! the first conversation of two homeservers is played.

#![allow(clippy::print_stdout, reason = "it is what the program is for")]

use std::{error::Error, sync::Arc};

use phoenix_conformance::world::{Size, Tape, Town, story};

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1).peekable();
    let is_federation = words.next_if(|word| word == "federation").is_some();
    let seeds: Vec<u64> = words.map(|seed| seed.parse()).collect::<Result<_, _>>()?;
    if seeds.is_empty() {
        let told = story(&Tape::of_seed(1))?;
        println!("{}", told.steps.join("\n"));
        return Ok(());
    }
    let size = if is_federation { Size::federation() } else { Size::ordinary() };
    let town = Arc::new(Town::build(size)?);
    for seed in seeds {
        let tape = Tape::of_seed(seed);
        let report = if is_federation { town.play_federation(&tape, None) } else { town.play(&tape, None) };
        println!("{}", report.log);
        println!("{:?} in {} ms of virtual time", report.struck, report.elapsed_ms);
        println!("seed {seed}: {report}");
    }
    Ok(())
}
