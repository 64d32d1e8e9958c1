//! The fuzz targets on their corpora, and on a few thousand mutations of them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may panic")]

use phoenix_conformance::fuzz;
use phoenix_core::crypto::Chance;

type Target = fn(&[u8]) -> bool;

const TARGETS: [(&str, Target); 5] = [
    ("decode", fuzz::decode),
    ("document", fuzz::document),
    ("ratchet", fuzz::ratchet),
    ("domain", fuzz::domain),
    ("dpop", fuzz::dpop),
];

/// Mutations of each input: enough to notice what broke outright; fuzzing proper is `cargo fuzz`'s.
const MUTATIONS: usize = 200;

#[test]
fn every_target_holds_on_its_corpus_and_reaches_what_it_looks_for() {
    for (name, target) in TARGETS {
        let inputs = corpus(name);
        let reached = inputs.iter().filter(|input| target(input)).count();
        assert!(reached > 0, "no input of {name} decodes");
    }
}

#[test]
fn every_target_holds_on_mutations_of_its_corpus() {
    let mut chance = Chance::from_seed([42; 32]);
    for (name, target) in TARGETS {
        for input in corpus(name) {
            for _ in 0..MUTATIONS {
                target(&mutated(&input, &mut chance));
            }
        }
    }
}

#[test]
fn a_vector_that_promises_more_than_comes_allocates_nothing() {
    for choice in 0..=u8::try_from(fuzz::DECODABLE).unwrap() {
        for length in [[0x3f, 0, 0, 0], [0x7f, 0xff, 0xff, 0xff], [0xbf, 0xff, 0xff, 0xff], [0xff; 4]] {
            let mut input = vec![choice];
            for _ in 0..16 {
                input.extend(length);
            }
            fuzz::decode(&input);
        }
    }
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = format!("{}/../../fuzz/corpus/{name}", env!("CARGO_MANIFEST_DIR"));
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder}: {error}"));
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

fn mutated(input: &[u8], chance: &mut Chance) -> Vec<u8> {
    let mut bytes = input.to_vec();
    let [kind, a, b, c] = chance.bytes::<4>();
    let at = usize::from(u16::from_be_bytes([a, b])).checked_rem(bytes.len()).unwrap_or(0);
    match kind % 4 {
        0 => bytes.truncate(at),
        1 => bytes.insert(at, c),
        2 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= c | 1),
        _ => bytes.extend_from_within(at..),
    }
    bytes
}
