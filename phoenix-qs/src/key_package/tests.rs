//! Reading a KeyPackage that OpenMLS made.
#![allow(clippy::unwrap_used, reason = "tests")]

use phoenix_core::{
    Reject,
    wire::{List, Opaque, Wire},
};

use super::{
    Capabilities, Credential, Extension, KeyPackage, LeafNode, Lifetime, QUEUE_CONFIG_EXTENSION, Source,
};

#[test]
fn a_key_package_of_openmls_is_read_and_named_as_openmls_does() {
    let encoded = bytes(KEY_PACKAGE);

    let package = KeyPackage::read(&encoded).unwrap();

    assert_eq!(package.encode(), encoded);
    assert_eq!(package.cipher_suite, 1);
    assert_eq!(package.lifetime(), Lifetime { not_before: 1_795_263_513, not_after: 1_812_547_113 });
    assert_eq!(package.config_hash(), Ok([7; 32]));
    assert_eq!(package.public_keys()[0], bytes(INIT_KEY));
    assert_eq!(package.public_keys()[2], bytes(SIGNATURE_KEY));
    assert_eq!(KeyPackage::reference(&encoded).as_bytes().to_vec(), bytes(REFERENCE));
}

#[test]
fn no_truncation_and_no_foreign_suite_is_read() {
    let encoded = bytes(KEY_PACKAGE);

    for length in 0..encoded.len() {
        assert!(KeyPackage::read(&encoded[..length]).is_err(), "{length}");
    }
    for (place, value) in [(1, 2), (3, 3), (2, 1)] {
        let mut other = encoded.clone();
        other[place] = value;
        assert_eq!(KeyPackage::read(&other), Err(Reject::Malformed("key_package")));
    }
}

/// A KeyPackage in form, with random keys and no valid signature, for tests of what the QS does with it.
pub(crate) fn example(suite: u16, keys: [[u8; 32]; 3], lifetime: Lifetime, config_hash: [u8; 32]) -> Vec<u8> {
    let opaque = |bytes: &[u8]| Opaque::new(bytes.to_vec()).unwrap();
    let hash = Extension {
        extension_type: QUEUE_CONFIG_EXTENSION,
        content: Opaque::new(config_hash.to_vec()).unwrap(),
    };
    let package = KeyPackage {
        version: 1,
        cipher_suite: suite,
        init_key: opaque(&keys[0]),
        leaf: LeafNode {
            encryption_key: opaque(&keys[1]),
            signature_key: opaque(&keys[2]),
            credential: Credential { credential_type: 0xf0a1, content: Opaque::default() },
            capabilities: Capabilities {
                versions: List::new(vec![1]).unwrap(),
                cipher_suites: List::new(vec![suite]).unwrap(),
                extensions: List::default(),
                proposals: List::default(),
                credentials: List::new(vec![0xf0a1]).unwrap(),
            },
            source: Source::KeyPackage(lifetime),
            extensions: List::default(),
            signature: Opaque::new(vec![1; 64]).unwrap(),
        },
        extensions: List::new(vec![hash]).unwrap(),
        signature: Opaque::new(vec![2; 64]).unwrap(),
    };
    package.encode().to_vec()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        hex.chars().filter_map(|it| it.to_digit(16)).map(|it| u8::try_from(it).unwrap()).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// Made by OpenMLS 0.9.2: credential type 0xf0a1, a queue config hash of sevens, a last-resort mark.
const KEY_PACKAGE: &str = "
    0001000120d1c73abfe2d4af2ec181f98ec6c84082f9c259cd58ece8102ff0c7aaf22a2f482035e29103e16e00d2b65f9c7a
    9006d5263a485b69423ff8ae9e3e5b8c077e2670202bfe0686fc781eb2daa69e9c83e8f8c187c5543f1db28b1500aef498d3
    686130f0a11161206c6561662063726564656e7469616c02000102000102f0b30002f0a101000000006b018c19000000006c
    094629004040eaa530fcf7e99cc6899cab7141e504d3994dc0fd260ad41933937a1f9f9cdbb5cf15c6271e08432ef9c501f7
    273c89caa742e65ec696210db58643c36afa0f0c26f0b3200707070707070707070707070707070707070707070707070707
    070707070707000a00404052cd7e7072992df361fe20c49805b79ecde4d025f0794f1c96a1556633414e2897de1698c52c29
    2a5c4aa4ff3c7e933db0324e39071130df94057d2aafbf0c0e";
const REFERENCE: &str = "7fc4a934c807410edecaf00935a63e52f2e923c928cfafdb87e6b467a88b40db";
const INIT_KEY: &str = "d1c73abfe2d4af2ec181f98ec6c84082f9c259cd58ece8102ff0c7aaf22a2f48";
const SIGNATURE_KEY: &str = "2bfe0686fc781eb2daa69e9c83e8f8c187c5543f1db28b1500aef498d3686130";
