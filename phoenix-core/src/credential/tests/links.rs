//! Identity links, connection packages and safety numbers.

use super::{Authority, NOW, SUITES, validity};
use crate::{
    Pseudonym, Reject, Timestamp, UserId, Uuid,
    credential::{ConnectionPackage, IdentityLink, PackagePayload, safety_number},
    crypto::{HpkeSecretKey, SEAL_OVERHEAD, SigningKey, Suite},
    wire::{List, Secret},
};

const LEAF: Pseudonym = Pseudonym([3; 16]);

#[test]
fn a_sealed_link_has_one_length_opens_with_its_key_and_verifies_for_its_leaf() {
    for suite in SUITES {
        let mut authority = Authority::new("alpha.test", suite);
        let (credential, key) = authority.client(1, suite);
        let link_key = Secret::new([7; 32]);
        let link = IdentityLink::sign(credential, &key, LEAF, b"leaf key").unwrap();

        let sealed = link.seal(&link_key, LEAF, &mut authority.chance).unwrap();
        let opened = IdentityLink::open(&sealed, &link_key, LEAF).unwrap();

        assert_eq!(sealed.len(), 1_024 + SEAL_OVERHEAD);
        let client = opened.verify(LEAF, b"leaf key", &authority.keys(), NOW).unwrap();
        assert_eq!(client.key(), &key.verifying_key());
        assert!(IdentityLink::open(&sealed, &Secret::new([8; 32]), LEAF).is_err());
        assert!(IdentityLink::open(&sealed, &link_key, Pseudonym([4; 16])).is_err());
    }
}

#[test]
fn a_link_verifies_for_no_other_leaf() {
    let mut authority = Authority::new("alpha.test", Suite::Ed25519);
    let (credential, key) = authority.client(1, Suite::Ed25519);
    let (other, _) = authority.client(2, Suite::Ed25519);
    let keys = authority.keys();
    let link = IdentityLink::sign(credential, &key, LEAF, b"leaf key").unwrap();
    let stolen = IdentityLink { credential: other, signature: link.signature.clone() };

    assert!(link.verify(LEAF, b"leaf key", &keys, NOW).is_ok());
    assert!(link.verify(Pseudonym([4; 16]), b"leaf key", &keys, NOW).is_err());
    assert!(link.verify(LEAF, b"another key", &keys, NOW).is_err());
    assert!(link.verify(LEAF, b"leaf key", &keys, Timestamp::from_secs(1_500_001)).is_err());
    assert!(stolen.verify(LEAF, b"leaf key", &keys, NOW).is_err());
}

#[test]
fn the_longest_domain_name_leaves_room_in_a_link() {
    let name = format!("{}.{}.{}.{}", "a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(61));
    let mut authority = Authority::new(&name, Suite::P256);
    let (credential, key) = authority.client(1, Suite::P256);
    let link = IdentityLink::sign(credential, &key, LEAF, &[4; 65]).unwrap();

    assert!(link.seal(&Secret::new([7; 32]), LEAF, &mut authority.chance).is_ok());
}

#[test]
fn a_connection_package_is_its_owners_and_has_its_time() {
    let mut authority = Authority::new("alpha.test", Suite::Ed25519);
    let (credential, key) = authority.client(1, Suite::Ed25519);
    let encryption_key = HpkeSecretKey::generate(Suite::Ed25519, &mut authority.chance).public_key().clone();
    let keys = authority.keys();
    let payload = PackagePayload {
        encryption_key,
        lifetime: validity(950_000, 1_100_000),
        versions: List::new(vec![1]).unwrap(),
    };
    let sign = |payload: PackagePayload| ConnectionPackage::sign(payload, credential.clone(), &key).unwrap();
    let package = sign(payload.clone());

    assert_eq!(
        package.verify(&keys, NOW).map(|it| it.client().clone()),
        Ok(credential.payload.client.clone())
    );
    assert_eq!(package.verify(&keys, Timestamp::from_secs(1_100_001)), Err(Reject::Malformed("lifetime")));
    let spoken = PackagePayload { versions: List::new(vec![7]).unwrap(), ..payload.clone() };
    assert_eq!(sign(spoken).verify(&keys, NOW), Err(Reject::UnsupportedVersion));
    let mut swapped = package;
    swapped.payload.package.encryption_key =
        HpkeSecretKey::generate(Suite::Ed25519, &mut authority.chance).public_key().clone();
    assert_eq!(swapped.verify(&keys, NOW), Err(Reject::Unauthenticated));
    let stranger = SigningKey::generate(Suite::Ed25519, &mut authority.chance);
    assert!(ConnectionPackage::sign(payload, credential.clone(), &stranger).is_err());
}

#[test]
fn both_sides_see_the_same_sixty_digits_and_another_key_changes_them() {
    let mut authority = Authority::new("alpha.test", Suite::Ed25519);
    let user = |number| UserId { uuid: Uuid([number; 16]), domain: authority.domain.clone() };
    let (a, b) = (user(1), user(2));
    let mut key = || SigningKey::generate(Suite::Ed25519, &mut authority.chance).verifying_key();
    let (a1, a2, b1, b2) = (key(), key(), key(), key());

    let number = safety_number((&a, &[a1.clone(), a2.clone()]), (&b, std::slice::from_ref(&b1)));

    assert_eq!(number.len(), 60);
    assert!(number.bytes().all(|digit| digit.is_ascii_digit()));
    assert_eq!(safety_number((&b, std::slice::from_ref(&b1)), (&a, &[a2.clone(), a1.clone()])), number);
    assert_ne!(safety_number((&a, &[a1.clone(), a2.clone()]), (&b, &[b2])), number);
    assert_ne!(safety_number((&a, &[a1]), (&b, &[a2, b1])), number);
}
