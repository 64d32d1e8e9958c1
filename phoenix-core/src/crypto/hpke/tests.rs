//! What sealing must hold.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)] // a test may fail loudly

use super::HpkeSecretKey;
use crate::{
    crypto::{Chance, HpkeCiphertext, HpkePublicKey, Suite},
    wire::{Opaque, Wire},
};

const SUITES: [Suite; 2] = [Suite::Ed25519, Suite::P256];

#[test]
fn a_message_opens_with_its_key_info_and_associated_data_only() {
    for suite in SUITES {
        let mut chance = Chance::from_seed([1; 32]);
        let key = HpkeSecretKey::generate(suite, &mut chance);
        let other = HpkeSecretKey::generate(suite, &mut chance);

        let sealed = key.public_key().seal(b"info", b"aad", b"message", &mut chance).unwrap();

        assert_eq!(key.open(b"info", b"aad", &sealed).map(|it| it.to_vec()), Ok(b"message".to_vec()));
        assert!(key.open(b"other", b"aad", &sealed).is_err());
        assert!(key.open(b"info", b"other", &sealed).is_err());
        assert!(other.open(b"info", b"aad", &sealed).is_err());
    }
}

#[test]
fn no_flipped_bit_goes_unnoticed() {
    for suite in SUITES {
        let mut chance = Chance::from_seed([1; 32]);
        let key = HpkeSecretKey::generate(suite, &mut chance);
        let sealed = key.public_key().seal(b"", b"", b"m", &mut chance).unwrap();
        for byte in 0..sealed.ciphertext.len() {
            let mut ciphertext = sealed.ciphertext.to_vec();
            ciphertext[byte] ^= 1;
            let tampered = HpkeCiphertext { ciphertext: Opaque::new(ciphertext).unwrap(), ..sealed.clone() };
            assert!(key.open(b"", b"", &tampered).is_err());
        }
        let mut enc = sealed.enc.to_vec();
        enc[1] ^= 1;
        let tampered = HpkeCiphertext { enc: Opaque::new(enc).unwrap(), ..sealed };
        assert!(key.open(b"", b"", &tampered).is_err());
    }
}

#[test]
fn the_same_seed_seals_the_same_and_a_stored_key_opens_it() {
    for suite in SUITES {
        let key = HpkeSecretKey::generate(suite, &mut Chance::from_seed([1; 32]));
        let seal = || key.public_key().seal(b"", b"", b"m", &mut Chance::from_seed([2; 32])).unwrap();

        let stored = HpkeSecretKey::decode(&key.encode()).unwrap();

        assert_eq!(seal(), seal());
        assert_eq!(stored.public_key(), key.public_key());
        assert_eq!(stored.open(b"", b"", &seal()).map(|it| it.to_vec()), Ok(b"m".to_vec()));
    }
}

#[test]
fn keys_that_share_no_secret_are_refused() {
    let mut chance = Chance::from_seed([1; 32]);
    let key = |suite, bytes: &[u8]| HpkePublicKey { suite, key: Opaque::new(bytes.to_vec()).unwrap() };
    let good = HpkeSecretKey::generate(Suite::P256, &mut chance);
    let bad = [
        key(Suite::Ed25519, &[0; 32]),
        key(Suite::Ed25519, &[9; 31]),
        key(Suite::P256, &[4; 65]),
        key(Suite::P256, &good.public_key().key[..33]),
        key(Suite::Ed25519, &good.public_key().key),
    ];

    assert_eq!(good.public_key().check(), Ok(()));
    for key in bad {
        assert!(key.seal(b"", b"", b"", &mut chance).is_err());
        assert!(key.check().is_err());
    }
}

/// RFC 9180 appendix A.1.1: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-128-GCM, base mode, first encryption.
#[test]
fn the_first_vector_of_the_rfc_opens() {
    let secret = unhex("4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8");
    let key = HpkeSecretKey::from_secret_bytes(Suite::Ed25519, &<[u8; 32]>::try_from(secret).unwrap().into())
        .unwrap();
    let sealed: HpkeCiphertext = HpkeCiphertext {
        enc: Opaque::new(unhex("37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431")).unwrap(),
        ciphertext: Opaque::new(unhex(
            "f938558b5d72f1a23810b4be2ab4f84331acc02fc97babc53a52ae8218a355a96d8770ac83d07bea87e13c512a",
        ))
        .unwrap(),
    };

    let opened = key.open(&unhex("4f6465206f6e2061204772656369616e2055726e"), b"Count-0", &sealed).unwrap();

    assert_eq!(opened.as_slice(), b"Beauty is truth, truth beauty");
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}
