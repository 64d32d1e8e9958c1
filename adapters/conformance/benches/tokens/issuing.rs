//! `issue_tokens` and `token_request`, from the call to the reply, on a store in memory.

use futures::executor::block_on;
use p384::NistP384;
use phoenix_core::{port::Inline, token::Class};
use voprf_ng::Ristretto255;

use crate::{bare::Bare, compare, report, town::Town};

pub(crate) fn measure() {
    let town = block_on(Town::new(Inline));
    let mut batches = town.batches(0..BATCHES).into_iter();
    let mut bare = Bare::<Ristretto255>::new(100);
    let pair = compare(BATCHES, || bare.evaluate(), || block_on(town.issue(batches.next().unwrap())));
    report("issue_tokens, 100 of 0x0005, bytes to bytes", 100.0, pair, "(goal: 1.15)");

    let mut batches = town.batches(BATCHES..2 * BATCHES).into_iter();
    let pair =
        compare(BATCHES, || bare.evaluate_in_memory(), || block_on(town.issue(batches.next().unwrap())));
    // What is read and written is part of the request here, and not of what it is compared with.
    report("  the same, beside the evaluation alone", 100.0, pair, "");

    let mut singles = (0..SINGLES).map(|_| town.single(Class::Standard)).collect::<Vec<_>>().into_iter();
    let mut bare = Bare::<NistP384>::new(1);
    let pair = compare(SINGLES, || bare.evaluate(), || block_on(town.issue(singles.next().unwrap())));
    report("token_request, 1 of type 0x0001", 1.0, pair, "(no goal: one at a time)");
}

const BATCHES: usize = 150;
const SINGLES: usize = 200;
