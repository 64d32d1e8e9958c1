//! Chains down to a client.

use super::{Authority, NOW, SUITES, validity};
use crate::{
    Reject, Timestamp,
    credential::{AsIntermediateCredential, ClientCredential, Csr},
    crypto::{SigningKey, Suite},
    wire::Wire,
};

#[test]
fn a_chain_of_any_suites_verifies() {
    for (authority, client) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let mut authority = Authority::new("alpha.test", SUITES[authority]);
        let (credential, key) = authority.client(1, SUITES[client]);

        let verified = authority.keys().verify_chain(&credential, NOW).unwrap();

        assert_eq!(verified.client(), &credential.payload.client);
        assert_eq!(verified.key(), &key.verifying_key());
        assert_eq!(verified.fingerprint(), credential.fingerprint());
    }
}

#[test]
fn a_client_of_another_domain_or_time_is_refused() {
    let mut alpha = Authority::new("alpha.test", Suite::Ed25519);
    let mut other = Authority::new("other.example", Suite::Ed25519);
    let (credential, _) = alpha.client(1, Suite::Ed25519);
    let (foreign, _) = other.client(1, Suite::Ed25519);
    let keys = alpha.keys();

    for at in [899_999, 1_500_001] {
        assert_eq!(keys.verify_chain(&credential, Timestamp::from_secs(at)), Err(Reject::Unauthenticated));
    }
    assert_eq!(keys.verify_chain(&foreign, NOW), Err(Reject::Unauthenticated));
    for at in [900_000, 1_500_000] {
        assert!(keys.verify_chain(&credential, Timestamp::from_secs(at)).is_ok());
    }
}

#[test]
fn no_changed_byte_of_a_credential_verifies() {
    for suite in SUITES {
        let mut authority = Authority::new("alpha.test", suite);
        let (credential, _) = authority.client(1, suite);
        let keys = authority.keys();
        let encoded = credential.encode();
        for at in 0..encoded.len() {
            let mut tampered = encoded.to_vec();
            tampered[at] ^= 1;
            let accepted =
                ClientCredential::decode(&tampered).is_ok_and(|it| keys.verify_chain(&it, NOW).is_ok());
            assert!(!accepted, "byte {at}");
        }
    }
}

#[test]
fn a_revoked_client_is_refused_from_the_time_of_its_entry_on() {
    let mut authority = Authority::new("alpha.test", Suite::Ed25519);
    let (credential, _) = authority.client(1, Suite::Ed25519);
    let (other, _) = authority.client(2, Suite::Ed25519);
    authority.revoke(credential.fingerprint(), NOW.as_secs());

    let keys = authority.keys();

    assert_eq!(keys.verify_chain(&credential, NOW), Err(Reject::Unauthenticated));
    assert!(keys.verify_chain(&credential, Timestamp::from_secs(NOW.as_secs() - 1)).is_ok());
    assert!(keys.verify_chain(&other, NOW).is_ok());
}

#[test]
fn a_csr_is_signed_only_for_its_holder_domain_and_time() {
    let mut authority = Authority::new("alpha.test", Suite::Ed25519);
    let other = Authority::new("other.example", Suite::Ed25519);
    let key = SigningKey::generate(Suite::P256, &mut authority.chance);
    let thief = SigningKey::generate(Suite::P256, &mut authority.chance);
    let issue = |csr| ClientCredential::issue(csr, &authority.intermediate, &authority.key, NOW);
    let good = authority.payload(1, &key);

    let mut stolen = Csr::new(&key, good.clone()).unwrap();
    stolen.self_signature = thief.sign("ClientCredentialPayload", &good.encode());
    let mut foreign = good.clone();
    foreign.client.user.domain = other.domain.clone();
    let mut elsewhere = good.clone();
    elsewhere.signer = other.intermediate.fingerprint();
    let mut long = good.clone();
    long.validity = validity(900_000, 5_000_001);
    let mut over = good.clone();
    over.validity = validity(900_000, NOW.as_secs());
    let mut empty = good.clone();
    empty.validity = validity(1_200_000, 1_100_000);

    assert!(Csr::new(&thief, good.clone()).is_err());
    assert_eq!(issue(stolen), Err(Reject::Unauthenticated));
    for (payload, field) in [
        (foreign, "client id"),
        (elsewhere, "signer"),
        (long, "validity"),
        (over, "validity"),
        (empty, "validity"),
    ] {
        assert_eq!(issue(Csr::new(&key, payload).unwrap()), Err(Reject::Malformed(field)));
    }
    assert!(issue(Csr::new(&key, good).unwrap()).is_ok());
}

#[test]
fn a_credential_that_outlives_its_intermediate_or_names_another_domain_never_verifies() {
    let mut authority = Authority::new("alpha.test", Suite::Ed25519);
    let key = SigningKey::generate(Suite::Ed25519, &mut authority.chance);
    let keys = authority.keys();
    // An intermediate's key in the wrong hands signs whatever it likes.
    let forge = |payload| {
        let Csr { payload, self_signature } = Csr::new(&key, payload).unwrap();
        let signature =
            authority.key.sign("ClientCredential", &(payload.clone(), self_signature.clone()).encode());
        ClientCredential { payload, self_signature, signature }
    };
    let mut long = authority.payload(1, &key);
    long.validity.not_after = 5_000_001;
    let mut foreign = authority.payload(1, &key);
    foreign.client.user.domain = "other.example".parse().unwrap();

    assert!(keys.verify_chain(&forge(authority.payload(1, &key)), NOW).is_ok());
    assert_eq!(keys.verify_chain(&forge(long), NOW), Err(Reject::Unauthenticated));
    assert_eq!(keys.verify_chain(&forge(foreign), NOW), Err(Reject::Unauthenticated));
}

#[test]
fn a_signature_of_one_struct_never_stands_for_another() {
    let mut authority = Authority::new("alpha.test", Suite::Ed25519);
    let (mut credential, key) = authority.client(1, Suite::Ed25519);
    let keys = authority.keys();
    let content = credential.payload.encode();

    for label in ["ClientCredential", "AsCredentialPayload", "AsIntermediateCredentialPayload", "Call", ""] {
        credential.self_signature = key.sign(label, &content);
        assert!(keys.verify_chain(&credential, NOW).is_err());
    }
}

#[test]
fn an_intermediate_that_has_ended_verifies_only_what_was_then() {
    let mut authority = Authority::new("alpha.test", Suite::Ed25519);
    authority.intermediate = AsIntermediateCredential::issue(
        &authority.key,
        validity(10, 950_000),
        &authority.root,
        &authority.root_key,
    )
    .unwrap();
    let early = Timestamp::from_secs(920_000);
    let key = SigningKey::generate(Suite::Ed25519, &mut authority.chance);
    let mut payload = authority.payload(1, &key);
    payload.validity = validity(900_000, 950_000);
    let csr = Csr::new(&key, payload).unwrap();
    let credential = ClientCredential::issue(csr, &authority.intermediate, &authority.key, early).unwrap();

    let keys = crate::credential::AsKeys::verify(authority.identity(1), &authority.domain, early).unwrap();

    assert!(keys.verify_chain(&credential, early).is_ok());
    assert!(keys.verify_chain(&credential, NOW).is_err());
    assert!(keys.intermediates_at(NOW).is_empty());
}
