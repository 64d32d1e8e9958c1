//! What an AS publishes of itself.

use super::{Authority, NOW, SUITES, validity};
use crate::{
    KeyId, Timestamp,
    credential::{
        AsCredential, AsIdentity, AsIntermediateCredential, AsKeys, AuthorityStatement, RevocationList,
    },
    crypto::{SigningKey, Suite},
    wire::List,
};

fn verify(authority: &Authority, identity: AsIdentity) -> bool {
    AsKeys::verify(identity, &authority.domain, NOW).is_ok()
}

#[test]
fn what_an_as_publishes_verifies_for_its_domain_and_while_it_has_not_expired() {
    for suite in SUITES {
        let authority = Authority::new("alpha.test", suite);
        let at =
            |seconds| AsKeys::verify(authority.identity(1), &authority.domain, Timestamp::from_secs(seconds));

        assert!(at(1_000_000).is_ok());
        assert!(at(2_000_000).is_ok());
        assert!(at(2_000_001).is_err());
        assert!(at(9).is_err());
        assert!(AsKeys::verify(authority.identity(1), &"beta.test".parse().unwrap(), NOW).is_err());
        assert_eq!(authority.keys().expires(), Timestamp::from_secs(2_000_001));
    }
}

#[test]
fn a_statement_or_list_of_the_wrong_signer_is_refused() {
    let authority = Authority::new("alpha.test", Suite::Ed25519);
    let good = authority.identity(1);

    // A stolen intermediate vouches for itself.
    let statement = AuthorityStatement::issue(authority.statement(2), &authority.key).unwrap();
    assert!(!verify(&authority, AsIdentity { statement, ..good.clone() }));
    let mut named = authority.statement(2);
    named.signer = authority.intermediate.fingerprint();
    let statement = AuthorityStatement::issue(named, &authority.key).unwrap();
    assert!(!verify(&authority, AsIdentity { statement, ..good.clone() }));
    // The root may not sign for the intermediate either.
    let revocations = RevocationList::issue(authority.revocations(1), &authority.root_key).unwrap();
    assert!(!verify(&authority, AsIdentity { revocations, ..good.clone() }));
    assert!(verify(&authority, good));
}

#[test]
fn an_intermediate_that_is_not_listed_or_is_revoked_is_left_out() {
    let mut authority = Authority::new("alpha.test", Suite::Ed25519);
    let (credential, _) = authority.client(1, Suite::Ed25519);
    // A second intermediate signs the list, so that the document stays whole without the first.
    let (old, old_key) = (authority.intermediate.clone(), authority.key.clone());
    authority.key = SigningKey::generate(Suite::Ed25519, &mut authority.chance);
    authority.intermediate = AsIntermediateCredential::issue(
        &authority.key,
        validity(10, 5_000_000),
        &authority.root,
        &authority.root_key,
    )
    .unwrap();
    let both = List::new(vec![old.clone(), authority.intermediate.clone()]).unwrap();
    let publish = |listed: Vec<_>, revoked: Vec<_>| {
        let mut statement = authority.statement(2);
        statement.intermediates = List::new(listed).unwrap();
        statement.revoked = List::new(revoked).unwrap();
        let statement = AuthorityStatement::issue(statement, &authority.root_key).unwrap();
        let identity = AsIdentity { statement, intermediates: both.clone(), ..authority.identity(2) };
        AsKeys::verify(identity, &authority.domain, NOW).unwrap()
    };
    let (first, second) = (old.fingerprint(), authority.intermediate.fingerprint());

    assert!(publish(vec![first, second], vec![]).verify_chain(&credential, NOW).is_ok());
    assert!(publish(vec![second], vec![]).verify_chain(&credential, NOW).is_err());
    let revoked = publish(vec![first, second], vec![first]);
    assert!(revoked.verify_chain(&credential, NOW).is_err());
    let id = KeyId::of(&old_key.verifying_key());
    assert!(revoked.service_key(&id, NOW).is_none());
    assert!(revoked.service_key(&KeyId::of(&authority.key.verifying_key()), NOW).is_some());
}

#[test]
fn a_new_root_may_stand_beside_the_old_one_and_revoke_it() {
    let mut authority = Authority::new("alpha.test", Suite::Ed25519);
    let new_key = SigningKey::generate(Suite::P256, &mut authority.chance);
    let new_root = AsCredential::issue(authority.domain.clone(), validity(0, 9_000_000), &new_key).unwrap();
    let roots = List::new(vec![authority.root.clone(), new_root.clone()]).unwrap();
    let sign = |revoked: Vec<_>| {
        let mut statement = authority.statement(2);
        statement.signer = new_root.fingerprint();
        statement.revoked = List::new(revoked).unwrap();
        let statement = AuthorityStatement::issue(statement, &new_key).unwrap();
        AsIdentity { roots: roots.clone(), statement, ..authority.identity(2) }
    };

    assert!(verify(&authority, sign(vec![])));
    // With the old root goes all that it signed: here, the only intermediate.
    assert!(!verify(&authority, sign(vec![authority.root.fingerprint()])));
    assert!(!verify(&authority, sign(vec![new_root.fingerprint()])));
}

#[test]
fn serials_never_go_back_and_one_serial_has_one_content() {
    let mut authority = Authority::new("alpha.test", Suite::Ed25519);
    let keys = |authority: &Authority, serial| {
        AsKeys::verify(authority.identity(serial), &authority.domain, NOW).unwrap()
    };
    let (one, two) = (keys(&authority, 1), keys(&authority, 2));
    let (credential, _) = authority.client(1, Suite::Ed25519);
    authority.revoke(credential.fingerprint(), 5);
    let other_two = keys(&authority, 2);

    assert!(one.accepts_successor(&two));
    assert!(one.accepts_successor(&one));
    assert!(!two.accepts_successor(&one));
    assert!(!two.accepts_successor(&other_two));
    assert!(!one.accepts_successor(&Authority::new("beta.example", Suite::Ed25519).keys()));
}

#[test]
fn no_newer_statement_rests_on_what_a_known_one_revoked() {
    let mut authority = Authority::new("alpha.test", Suite::Ed25519);
    let new_key = SigningKey::generate(Suite::Ed25519, &mut authority.chance);
    let new_root = AsCredential::issue(authority.domain.clone(), validity(0, 9_000_000), &new_key).unwrap();
    let key = SigningKey::generate(Suite::Ed25519, &mut authority.chance);
    let issue = |not_before| {
        AsIntermediateCredential::issue(&key, validity(not_before, 5_000_000), &new_root, &new_key).unwrap()
    };
    let (intermediate, lost) = (issue(10), issue(11));
    let (old, old_intermediate) = (authority.root.clone(), authority.intermediate.clone());
    let publish =
        |serial, (roots, signer, by): (&[&AsCredential], &AsCredential, &SigningKey), listed: &[_], void| {
            let fingerprints =
                |of: &[&AsIntermediateCredential]| of.iter().map(|it| it.fingerprint()).collect();
            let mut statement = authority.statement(serial);
            statement.signer = signer.fingerprint();
            statement.intermediates = List::new(fingerprints(listed)).unwrap();
            statement.revoked = List::new(void).unwrap();
            let mut list = authority.revocations(serial);
            list.signer = listed[0].fingerprint();
            let list_key = if listed[0].payload.signer == old.fingerprint() { &authority.key } else { &key };
            let identity = AsIdentity {
                roots: List::new(roots.iter().map(|it| (*it).clone()).collect()).unwrap(),
                statement: AuthorityStatement::issue(statement, by).unwrap(),
                intermediates: List::new(listed.iter().map(|it| (*it).clone()).collect()).unwrap(),
                revocations: RevocationList::issue(list, list_key).unwrap(),
            };
            AsKeys::verify(identity, &authority.domain, NOW).unwrap()
        };
    let by_new = (&[&new_root][..], &new_root, &new_key);
    let known = publish(2, by_new, &[&intermediate], vec![old.fingerprint(), lost.fingerprint()]);

    // Whoever stole the old root's key takes back that it was revoked.
    let stolen = (&[&old, &new_root][..], &old, &authority.root_key);
    assert!(!known.accepts_successor(&publish(3, stolen, &[&old_intermediate], vec![])));
    assert!(!known.accepts_successor(&publish(3, by_new, &[&intermediate, &lost], vec![])));
    // What has ended need not be told any more.
    assert!(known.accepts_successor(&publish(3, by_new, &[&intermediate], vec![])));
}
