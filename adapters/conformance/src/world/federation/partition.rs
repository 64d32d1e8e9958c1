//! Partitions of every shape.

use phoenix_core::Fqdn;

use crate::world::{ground::Ground, tape::Tape};

/// Which ways between homeservers are cut, and for how long.
#[derive(Debug)]
pub(crate) struct Partition {
    shape: Shape,
    /// From whom to whom nothing passes.
    ways: Vec<(Fqdn, Fqdn)>,
    /// In milliseconds.
    pub(crate) length_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// Two do not reach each other.
    Pair,
    /// One does not reach another, which reaches it.
    OneWay,
    /// One reaches nobody, and nobody reaches it.
    Island,
    /// One hears everybody, and nobody hears it.
    Mute,
    /// Two halves do not reach each other.
    Halves,
    /// Nobody reaches anybody.
    Dust,
    /// Two lose each other and find each other again and again.
    Flapping,
}

impl Partition {
    /// One that the tape chooses.
    pub(crate) fn draw(tape: &Tape, domains: &[Fqdn]) -> Self {
        let shape = tape.pick(&SHAPES).copied().unwrap_or(Shape::Dust);
        let (one, other) = (tape.below(domains.len()), tape.below(domains.len().saturating_sub(1)));
        let other = if other >= one { other.saturating_add(1) } else { other };
        let middle = domains.len() / 2;
        let is_cut = |from: usize, to: usize| match shape {
            Shape::Pair | Shape::Flapping => (from == one && to == other) || (from == other && to == one),
            Shape::OneWay => from == one && to == other,
            Shape::Island => from == one || to == one,
            Shape::Mute => from == one,
            Shape::Halves => (from <= middle) != (to <= middle),
            Shape::Dust => true,
        };
        let mut ways = Vec::new();
        for (from, source) in domains.iter().enumerate() {
            for (to, destination) in domains.iter().enumerate() {
                if from != to && is_cut(from, to) {
                    ways.push((source.clone(), destination.clone()));
                }
            }
        }
        let length_ms = tape.pick(&LENGTHS_S).copied().unwrap_or(0).saturating_mul(1_000);
        Self { shape, ways, length_ms }
    }

    /// Whether nothing that one sends to another may arrive, or no answer.
    pub(crate) fn parts(&self, one: &Fqdn, other: &Fqdn) -> bool {
        self.ways.iter().any(|(from, to)| (from == one && to == other) || (from == other && to == one))
    }

    /// Cuts the ways.
    pub(crate) fn begin(&self, ground: &Ground) {
        ground.log.line(format!("{:?} for {} ms", self.shape, self.length_ms));
        self.ways.iter().for_each(|(from, to)| ground.weather.cut_one_way(from, to));
    }

    /// Mends them.
    pub(crate) fn end(&self, ground: &Ground) {
        for (from, to) in &self.ways {
            ground.weather.mend_one_way(from, to);
        }
    }

    /// Lets time pass within it; some partitions come and go meanwhile.
    pub(crate) async fn last(&self, ground: &Ground, millis: u64) {
        if self.shape != Shape::Flapping {
            return pass(ground, millis).await;
        }
        let step = millis / FLAPS;
        for flap in 0..FLAPS {
            if flap % 2 == 0 {
                self.end(ground)
            } else {
                self.begin(ground)
            }
            pass(ground, step).await;
        }
    }
}

/// Lets time pass. Of much of it, a second is played now and then, and what lies between is leapt over.
pub(crate) async fn pass(ground: &Ground, millis: u64) {
    let mut left = millis;
    while left > 0 {
        let played = left.min(PLAYED_MS);
        ground.clock.sleep_ms(played).await;
        let leapt = left.saturating_sub(played).min(LEAP_MS);
        ground.clock.leap_ms(leapt);
        left = left.saturating_sub(played).saturating_sub(leapt);
    }
}

const SHAPES: [Shape; 7] =
    [Shape::Pair, Shape::OneWay, Shape::Island, Shape::Mute, Shape::Halves, Shape::Dust, Shape::Flapping];
/// Long enough for what waits for its time to be done,
const PLAYED_MS: u64 = 1_000;
/// and this long nothing is done then, at most.
const LEAP_MS: u64 = 1_800_000;
/// From half a minute to two days.
const LENGTHS_S: [u64; 8] = [30, 30, 120, 120, 600, 600, 6 * 3_600, 2 * 86_400];
/// How often one comes and goes between two things that happen; an even number, so that it is there in the end.
const FLAPS: u64 = 6;
