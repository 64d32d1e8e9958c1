//! A redemption without its store write: decoding the token and checking all of it.

use std::hint::black_box;

use p384::NistP384;
use phoenix_core::{
    Fqdn, Timestamp,
    crypto::Chance,
    token::{Blinding, Class, Rotation, SingleBlinding, Token, TokenKey, TokenKeys, TokenType},
    wire::Wire,
};
use voprf_ng::{CipherSuite, Ristretto255};

use crate::{bare::Bare, compare, report};

pub(crate) fn measure() {
    let mut chance = Chance::from_seed([3; 32]);
    let (domain, now): (Fqdn, _) = ("alpha.test".parse().unwrap(), Timestamp::from_secs(1_000_000));
    let keys = TokenKeys::generate(domain.clone(), now, &Rotation::default(), &mut chance);
    for token_type in TokenType::ALL {
        let is_meant = |key: &&TokenKey| key.class == Class::Contact && key.secret.token_type() == token_type;
        let key = keys.keys().iter().find(is_meant).unwrap();
        let digest = token_type.challenge_digest(&domain);
        let token = match token_type {
            TokenType::P384 => {
                let blinding = SingleBlinding::new(key.secret.public_key(), digest, &mut chance).unwrap();
                let evaluation = key.secret.single(&blinding.request().blinded, chance.child("proof"));
                blinding.finalize(&evaluation.unwrap()()).unwrap()
            }
            TokenType::Ristretto255 => {
                let blinding = Blinding::new(key.secret.public_key(), digest, 1, &mut chance).unwrap();
                let blinded = blinding.request(key.class).unwrap().blinded;
                blinding.finalize(&key.secret.evaluate(&blinded, &mut chance).unwrap()).unwrap().remove(0)
            }
        };
        let redeem = |encoded: &[u8]| {
            let token = Token::decode(encoded).unwrap();
            black_box(keys.verify(&token, Class::Contact, now).unwrap());
        };
        match token_type {
            TokenType::P384 => one::<NistP384>("redemption, type 0x0001", &token, redeem),
            TokenType::Ristretto255 => one::<Ristretto255>("redemption, type 0x0005", &token, redeem),
        }
    }
    println!();
}

fn one<S: CipherSuite>(what: &str, token: &Token, redeem: impl Fn(&[u8])) {
    let (bare, encoded, input) = (Bare::<S>::new(1), token.encode(), token.input());
    report(what, 1.0, compare(REDEMPTIONS, || bare.verify(&input), || redeem(&encoded)), "(goal: 1.3)");
}

const REDEMPTIONS: usize = 2_000;
