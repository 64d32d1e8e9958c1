//! What signatures must hold.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)] // a test may fail loudly

use p256::ecdsa;

use super::SigningKey;
use crate::{
    Reject,
    crypto::{Chance, Signature, Suite, VerifyingKey},
    wire::{Opaque, Wire},
};

const SUITES: [Suite; 2] = [Suite::Ed25519, Suite::P256];

#[test]
fn a_signature_verifies_for_its_key_label_and_content_only() {
    for suite in SUITES {
        let mut chance = Chance::from_seed([1; 32]);
        let key = SigningKey::generate(suite, &mut chance);
        let other = SigningKey::generate(suite, &mut chance);

        let signature = key.sign("Call", b"content");

        assert_eq!(key.verifying_key().verify("Call", b"content", &signature), Ok(()));
        let wrong = [
            key.verifying_key().verify("KeyList", b"content", &signature),
            key.verifying_key().verify("Call", b"contenu", &signature),
            key.verifying_key().verify("Cal", b"lcontent", &signature),
            other.verifying_key().verify("Call", b"content", &signature),
        ];
        assert!(wrong.iter().all(|it| *it == Err(Reject::Unauthenticated)));
    }
}

#[test]
fn no_flipped_bit_of_a_signature_verifies() {
    for suite in SUITES {
        let key = SigningKey::generate(suite, &mut Chance::from_seed([1; 32]));
        let signature = key.sign("Call", b"content").0.to_vec();
        for bit in (0..signature.len() * 8).step_by(3) {
            let mut tampered = signature.clone();
            tampered[bit / 8] ^= 1 << (bit % 8);
            let tampered = Signature(Opaque::new(tampered).unwrap());
            assert!(key.verifying_key().verify("Call", b"content", &tampered).is_err(), "bit {bit}");
        }
        for length in 0..signature.len() {
            let cut = Signature(Opaque::new(signature[..length].to_vec()).unwrap());
            assert!(key.verifying_key().verify("Call", b"content", &cut).is_err());
        }
    }
}

#[test]
fn the_other_half_of_a_p256_signature_does_not_verify_until_brought_into_form() {
    let key = SigningKey::generate(Suite::P256, &mut Chance::from_seed([1; 32]));
    let signature = key.sign("Call", b"content");
    let low = ecdsa::Signature::from_der(&signature.0).unwrap();

    let high = ecdsa::Signature::from_scalars(low.r().to_bytes(), (-*low.s()).to_bytes()).unwrap().to_der();

    let mirrored = Signature(Opaque::new(high.as_bytes().to_vec()).unwrap());
    assert!(key.verifying_key().verify("Call", b"content", &mirrored).is_err());
    assert_eq!(Signature::from_p256_der(high.as_bytes()), Ok(signature));
}

#[test]
fn signing_is_deterministic_and_a_stored_key_signs_the_same() {
    for suite in SUITES {
        let key = SigningKey::generate(suite, &mut Chance::from_seed([1; 32]));

        let stored = SigningKey::decode(&key.encode()).unwrap();

        assert_eq!(stored.verifying_key(), key.verifying_key());
        assert_eq!(stored.sign("Call", b"content"), key.sign("Call", b"content"));
    }
}

#[test]
fn what_is_no_key_is_refused() {
    let mut chance = Chance::from_seed([1; 32]);
    let point = SigningKey::generate(Suite::P256, &mut chance).verifying_key().key;
    let mut compressed = point[..33].to_vec();
    compressed[0] = 2 + (point[64] & 1);
    let key = |suite, bytes: &[u8]| VerifyingKey { suite, key: Opaque::new(bytes.to_vec()).unwrap() };
    // The identity of the curve is of small order: every signature of a kind would verify under it.
    let mut identity = [0; 32];
    identity[0] = 1;

    for key in [
        key(Suite::P256, &compressed),
        key(Suite::P256, &[4; 65]),
        key(Suite::P256, &[]),
        key(Suite::Ed25519, &point),
        key(Suite::Ed25519, &identity),
    ] {
        assert!(key.check().is_err());
    }
    for suite in SUITES {
        assert_eq!(SigningKey::generate(suite, &mut chance).verifying_key().check(), Ok(()));
    }
}
