//! Tokens from blinding to redemption.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)] // a test may fail loudly

mod issuing;
mod redeeming;
mod rotating;
mod vectors;

use super::{
    Blinding, Class, Rotation, SingleBlinding, Token, TokenKeys, TokenSecretKey, TokenType, challenge_digest,
};
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

/// A token of either type, made as a client and its issuer do.
fn token(key: &TokenSecretKey, chance: &mut Chance) -> Token {
    match key.token_type() {
        TokenType::P384 => {
            let digest = TokenType::P384.challenge_digest(&domain());
            let blinding = SingleBlinding::new(key.public_key(), digest, chance).unwrap();
            let evaluation = key.single(&blinding.request().blinded, chance.child("proof")).unwrap();
            blinding.finalize(&evaluation()).unwrap()
        }
        TokenType::Ristretto255 => tokens(key, 1, chance).remove(0),
    }
}

fn keys(chance: &mut Chance) -> TokenKeys {
    TokenKeys::generate(domain(), NOW, &Rotation::default(), chance)
}
