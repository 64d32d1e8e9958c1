//! Tokens from blinding to redemption.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)] // a test may fail loudly

mod redeeming;
mod vectors;

use super::{Blinding, Class, Rotation, Token, TokenKeys, TokenSecretKey, challenge_digest};
use crate::{Fqdn, Timestamp, crypto::Chance};

const NOW: Timestamp = Timestamp::from_secs(1_000_000);

fn domain() -> Fqdn {
    "alpha.test".parse().unwrap()
}

/// Tokens of a key, made as a client and its issuer do.
fn tokens(key: &TokenSecretKey, count: usize, chance: &mut Chance) -> Vec<Token> {
    let blinding = Blinding::new(key.public_key(), challenge_digest(&domain()), count, chance).unwrap();
    let request = blinding.request(Class::Standard).unwrap();
    blinding.finalize(&key.evaluate(&request.blinded, chance).unwrap()).unwrap()
}

fn keys(chance: &mut Chance) -> TokenKeys {
    TokenKeys::generate(domain(), NOW, &Rotation::default(), chance)
}
