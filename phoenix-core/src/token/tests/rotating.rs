//! How keys come, are stored and published, and go.

use std::collections::BTreeSet;

use super::{NOW, keys, token};
use crate::{
    Reject,
    credential::tests::{Authority, NOW as PUBLISHED},
    crypto::{Chance, Suite},
    time::DAY,
    token::{Class, Rotation, TokenKey, TokenKeys, TokenSecretKey, TokenType},
    wire::{List, Wire},
};

#[test]
fn keys_rotate_ahead_of_time_and_go_when_nothing_of_theirs_can_be_spent() {
    let mut chance = Chance::from_seed([1; 32]);
    let rotation = Rotation::default();
    let first = keys(&mut chance);
    let old = first.keys()[0].clone();
    let token = token(&old.secret, &mut chance);
    let due = first.rotates_at(&rotation);

    assert_eq!(due, NOW.plus_secs(6 * DAY - 1));
    assert!(first.rotated(NOW.plus_secs(5 * DAY), &rotation, &mut chance).is_none());
    let second = first.rotated(due, &rotation, &mut chance).unwrap();
    assert_eq!((second.keys().len(), second.serial()), (16, first.serial() + 1));
    assert!(second.rotated(due, &rotation, &mut chance).is_none());
    // There is no second in which a class has no key that issues.
    let list = second.list(Authority::new("alpha.test", Suite::Ed25519).intermediate.fingerprint()).unwrap();
    let change = [NOW.plus_secs(7 * DAY - 1), NOW.plus_secs(7 * DAY)];
    assert!(Class::ALL.iter().all(|class| change.iter().all(|at| list.issuing(*class, *at).is_some())));
    assert!(second.issuing(old.class, old.secret.key_id(), change[1]).is_err());
    assert!(second.verify(&token, old.class, change[1]).is_ok());
    let third = second.rotated(NOW.plus_secs(9 * DAY), &rotation, &mut chance).unwrap();
    assert_eq!(third.verify(&token, old.class, NOW), Err(Reject::TokenInvalid));
}

#[test]
fn a_server_that_slept_for_long_has_keys_again_at_once() {
    let mut chance = Chance::from_seed([1; 32]);
    let late = NOW.plus_secs(100 * DAY);

    let keys = keys(&mut chance).rotated(late, &Rotation::default(), &mut chance).unwrap();

    assert_eq!(keys.keys().len(), 8);
    assert!(keys.keys().iter().all(|key| key.issues_at(late)));
}

#[test]
fn stored_keys_verify_what_they_issued() {
    let mut chance = Chance::from_seed([1; 32]);
    let keys = keys(&mut chance);
    let token = token(&keys.keys()[0].secret, &mut chance);

    let stored = TokenKeys::decode(&keys.encode()).unwrap();

    assert!(stored.verify(&token, keys.keys()[0].class, NOW).is_ok());
    assert!(TokenKeys::decode(&keys.encode()[1..]).is_err());
}

#[test]
fn a_key_list_is_its_domains_and_its_serial_never_goes_back() {
    let mut chance = Chance::from_seed([1; 32]);
    let alpha = Authority::new("alpha.test", Suite::P256);
    let list = keys(&mut chance).list(alpha.intermediate.fingerprint()).unwrap();
    let signed = list.clone().sign(&alpha.key).unwrap();
    let mut newer = list.clone();
    newer.serial += 1;
    let mut forked = list.clone();
    forked.keys = List::default();
    let newer = newer.sign(&alpha.key).unwrap();

    assert_eq!(signed.verify(&alpha.keys(), PUBLISHED), Ok(&list));
    assert!(list.clone().sign(&alpha.root_key).unwrap().verify(&alpha.keys(), PUBLISHED).is_err());
    assert!(signed.verify(&Authority::new("beta.example", Suite::P256).keys(), PUBLISHED).is_err());
    assert!(signed.accepts_successor(&newer) && signed.accepts_successor(&signed));
    assert!(!newer.accepts_successor(&signed));
    assert!(!signed.accepts_successor(&forked.sign(&alpha.key).unwrap()));
}

#[test]
fn the_keys_of_both_types_of_a_class_come_and_go_together() {
    let mut chance = Chance::from_seed([1; 32]);
    let mut keys = keys(&mut chance);
    let times = |key: &TokenKey| (key.class, key.not_before, key.not_after, key.redeem_until);
    for day in 0..60 {
        let now = NOW.plus_secs(day * DAY);
        keys = keys.rotated(now, &Rotation::default(), &mut chance).unwrap_or(keys);

        let of = |token_type| {
            let of_type = keys.keys().iter().filter(move |key| key.secret.token_type() == token_type);
            of_type.map(times).collect::<BTreeSet<_>>()
        };
        assert_eq!(of(TokenType::P384), of(TokenType::Ristretto255), "day {day}");
        let list = keys.list(crate::Fingerprint([0; 32])).unwrap();
        for (class, token_type) in Class::ALL.into_iter().zip(TokenType::ALL.into_iter().cycle()) {
            let entry = list.issuing_type(class, token_type, now).unwrap();
            assert_eq!((entry.class, entry.token_type), (class, token_type.number()));
            // The next one is there a day before it is needed.
            assert!(list.issuing_type(class, token_type, now.plus_secs(DAY - 1)).is_some());
        }
    }
}

#[test]
fn no_two_keys_of_type_1_that_are_known_at_a_time_have_the_same_last_byte() {
    for seed in 0..8 {
        let mut chance = Chance::from_seed([seed; 32]);
        let mut keys = keys(&mut chance);
        // So many at once that two of them would almost surely share it, if nobody took care.
        let rotation = Rotation { period: DAY, grace: 5 * DAY, ahead: DAY };
        for day in 0..12 {
            keys = keys.rotated(NOW.plus_secs(day * DAY), &rotation, &mut chance).unwrap_or(keys);
            let singles = keys.keys().iter().filter(|key| key.secret.token_type() == TokenType::P384);
            let last: Vec<u8> = singles.map(|key| key.secret.key_id()[31]).collect();
            assert_eq!(last.iter().collect::<BTreeSet<_>>().len(), last.len());
            assert!(last.iter().all(|byte| keys.truncated(*byte).unwrap().secret.key_id()[31] == *byte));
        }
        assert!(keys.keys().len() >= 48);
    }
}

#[test]
fn keys_that_a_request_could_not_tell_apart_are_refused() {
    let mut chance = Chance::from_seed([1; 32]);
    let keys = keys(&mut chance);
    let single = keys.keys().iter().find(|key| key.secret.token_type() == TokenType::P384).unwrap();
    let alike = loop {
        let secret = TokenSecretKey::generate(TokenType::P384, &mut chance);
        if secret.key_id()[31] == single.secret.key_id()[31] {
            break TokenKey { secret, class: Class::Home, ..single.clone() };
        }
    };
    let both = vec![single.clone(), alike];
    let stored = TokenKeys { keys: List::new(both.clone()).unwrap(), ..keys.clone() };

    let made = TokenKeys::new(keys.domain().clone(), 1, both);

    assert_eq!(made.err(), Some(Reject::Malformed("token keys")));
    assert!(TokenKeys::decode(&stored.encode()).is_err());
    assert!(TokenKeys::decode(&keys.encode()).is_ok());
}

#[test]
fn a_key_of_a_type_that_is_not_known_does_not_make_a_list_unreadable() {
    let mut chance = Chance::from_seed([1; 32]);
    let mut list = keys(&mut chance).list(crate::Fingerprint([0; 32])).unwrap();
    let mut entries = list.keys.clone().into_vec();
    for entry in &mut entries {
        entry.token_type = if entry.token_type == 1 { 0x0002 } else { entry.token_type };
    }
    list.keys = List::new(entries).unwrap();

    let read = crate::token::KeyList::decode(&list.encode()).unwrap();

    assert!(read.issuing(Class::Home, NOW).is_some());
    assert!(read.issuing_type(Class::Home, TokenType::P384, NOW).is_none());
}
