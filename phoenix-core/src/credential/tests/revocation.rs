//! What was revoked since, taken over without asking for everything.

use super::{Authority, NOW, SUITES};
use crate::{
    Fingerprint, Timestamp,
    credential::{
        AsKeys, AuthorityStatement, ClientCredential, RevocationDelta, RevocationDeltaTbs, RevocationEntry,
    },
    crypto::{SigningKey, Suite},
    wire::List,
};

/// An authority that has signed two clients, whose keys are known with serial 1.
fn known(suite: Suite) -> (Authority, AsKeys, [ClientCredential; 2]) {
    let mut authority = Authority::new("alpha.test", suite);
    let clients = [authority.client(1, suite).0, authority.client(2, suite).0];
    authority.revoke(clients[0].fingerprint(), 1_000);
    let keys = authority.keys();
    (authority, keys, clients)
}

fn payload(authority: &Authority, since: u64, serial: u64, revoked: &[Fingerprint]) -> RevocationDeltaTbs {
    let entry = |credential: &Fingerprint| RevocationEntry { credential: *credential, revoked_at: 999_999 };
    RevocationDeltaTbs {
        as_domain: authority.domain.clone(),
        since,
        serial,
        expires: 1_500_000,
        entries: List::new(revoked.iter().map(entry).collect()).unwrap(),
        signer: authority.intermediate.fingerprint(),
    }
}

fn update(authority: &Authority, keys: &AsKeys, delta: RevocationDeltaTbs) -> Option<AsKeys> {
    let delta = RevocationDelta::issue(delta, &authority.key).unwrap();
    keys.updated_with(&keys.identity().statement, delta, NOW).ok()
}

#[test]
fn a_delta_adds_to_what_is_known_and_a_whole_list_takes_its_place() {
    for suite in SUITES {
        let (authority, keys, [first, second]) = known(suite);
        let more = [second.fingerprint()];

        let updated = update(&authority, &keys, payload(&authority, 1, 3, &more)).unwrap();
        let whole = update(&authority, &keys, payload(&authority, 0, 3, &more)).unwrap();

        assert_eq!((updated.revocation_serial(), whole.revocation_serial()), (3, 3));
        assert!(updated.verify_chain(&first, NOW).is_err() && updated.verify_chain(&second, NOW).is_err());
        assert!(whole.verify_chain(&first, NOW).is_ok() && whole.verify_chain(&second, NOW).is_err());
        assert_eq!(updated.expires(), Timestamp::from_secs(1_500_001));
        assert!(update(&authority, &updated, payload(&authority, 3, 3, &[])).is_some(), "good for longer");
    }
}

#[test]
fn a_delta_that_does_not_lead_on_is_refused() {
    let (authority, keys, [_, second]) = known(Suite::Ed25519);
    let more = [second.fingerprint()];
    let keys = update(&authority, &keys, payload(&authority, 1, 3, &more)).unwrap();

    for (since, serial) in [(1, 3), (2, 4), (4, 5), (3, 2), (3, 3), (0, 3), (0, 2)] {
        let delta = payload(&authority, since, serial, &more);
        assert_eq!(update(&authority, &keys, delta), None, "from {since} to {serial}");
    }
    assert!(update(&authority, &keys, payload(&authority, 3, 4, &more)).is_some());
}

#[test]
fn a_delta_is_signed_by_a_valid_intermediate_of_the_same_authority_and_has_not_expired() {
    let (mut authority, keys, [_, second]) = known(Suite::Ed25519);
    let good = || payload(&authority, 1, 2, &[second.fingerprint()]);
    let expired = RevocationDeltaTbs { expires: NOW.as_secs() - 1, ..good() };
    let abroad = RevocationDeltaTbs { as_domain: "beta.test".parse().unwrap(), ..good() };
    let by_root = RevocationDeltaTbs { signer: authority.root.fingerprint(), ..good() };
    let delta = RevocationDelta::issue(good(), &authority.key).unwrap();
    let later = AuthorityStatement::issue(authority.statement(2), &authority.root_key).unwrap();
    let mut tampered = delta.clone();
    tampered.payload.serial = 9;

    for wrong in [expired, abroad, by_root] {
        assert_eq!(update(&authority, &keys, wrong), None);
    }
    let statement = &keys.identity().statement;
    assert!(keys.updated_with(statement, tampered, NOW).is_err());
    assert!(keys.updated_with(&later, delta.clone(), NOW).is_err(), "all must be asked for");
    assert!(keys.updated_with(statement, delta, NOW).is_ok());
    let good = good();
    authority.key = SigningKey::generate(Suite::Ed25519, &mut authority.chance);
    assert_eq!(update(&authority, &keys, good), None);
}

#[test]
fn what_is_published_later_must_hold_what_a_delta_told() {
    let (mut authority, keys, [_, second]) = known(Suite::Ed25519);
    let updated = update(&authority, &keys, payload(&authority, 1, 2, &[second.fingerprint()])).unwrap();
    let published =
        |authority: &Authority| AsKeys::verify(authority.identity(2), &authority.domain, NOW).unwrap();

    let forgetful = published(&authority);
    authority.revoke(second.fingerprint(), 999_999);
    let whole = published(&authority);
    // What had ended has left.
    authority.revoked.remove(0);
    let shorter = published(&authority);
    authority.revoke(Fingerprint([9; 32]), 5);
    let longer = published(&authority);

    assert!(updated.accepts_successor(&whole) && updated.accepts_successor(&shorter));
    assert!(!updated.accepts_successor(&forgetful) && !updated.accepts_successor(&longer));
    assert!(!updated.accepts_successor(&keys), "a serial that went back");
    assert!(keys.accepts_successor(&updated));
}
