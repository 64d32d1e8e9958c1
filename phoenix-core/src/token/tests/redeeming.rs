//! Issuing, redeeming and rotating.

use super::{NOW, domain, keys, tokens};
use crate::{
    Reject, Timestamp,
    api::tokens::MAX_BATCH,
    credential::tests::{Authority, NOW as PUBLISHED},
    crypto::{Chance, Suite},
    time::{DAY, HOUR},
    token::{
        Blinding, Class, Rotation, Token, TokenKey, TokenKeys, TokenSecretKey, challenge, challenge_digest,
    },
    wire::{List, Wire},
};

#[test]
fn a_token_is_good_once_issued_for_its_class_domain_and_time() {
    let mut chance = Chance::from_seed([1; 32]);
    let keys = keys(&mut chance);
    let list = keys.list(Authority::new("alpha.test", Suite::Ed25519).intermediate.fingerprint()).unwrap();
    let entry = list.issuing(Class::Contact, NOW).unwrap();
    let key = keys.issuing(Class::Contact, &entry.key_id(), NOW).unwrap();
    let token = tokens(&key.secret, 1, &mut chance).remove(0);
    let last = Timestamp::from_secs(key.redeem_until);

    let spent = keys.verify(&token, Class::Contact, NOW).unwrap();

    assert_eq!(spent.expires, last.plus_secs(HOUR));
    assert_eq!(keys.verify(&token, Class::Contact, last), Ok(spent));
    assert_eq!(keys.verify(&token, Class::Contact, last.plus_secs(1)), Err(Reject::TokenInvalid));
    for class in [Class::Standard, Class::Home, Class::Alias] {
        assert_eq!(keys.verify(&token, class, NOW), Err(Reject::TokenRequired));
    }
    let abroad = TokenKeys::new("beta.test".parse().unwrap(), 1, vec![key.clone()]).unwrap();
    assert_eq!(abroad.verify(&token, Class::Contact, NOW), Err(Reject::TokenInvalid));
}

#[test]
fn no_changed_byte_of_a_token_is_accepted() {
    let mut chance = Chance::from_seed([1; 32]);
    let keys = keys(&mut chance);
    let key = keys.keys().iter().find(|key| key.class == Class::Standard).unwrap();
    let token = tokens(&key.secret, 1, &mut chance).remove(0).encode();

    for at in 0..token.len() {
        let mut tampered = token.to_vec();
        tampered[at] ^= 1;
        let tampered = Token::decode(&tampered).unwrap();
        assert_eq!(keys.verify(&tampered, Class::Standard, NOW), Err(Reject::TokenInvalid), "byte {at}");
    }
}

#[test]
fn every_nonce_is_spent_apart_by_class() {
    let mut chance = Chance::from_seed([1; 32]);
    let secret = TokenSecretKey::generate(&mut chance);
    let batch = tokens(&secret, 2, &mut chance);
    let key = |class| TokenKey {
        class,
        secret: secret.clone(),
        not_before: 0,
        not_after: 9,
        redeem_until: 2_000_000,
    };
    let spent = |class, token| {
        TokenKeys::new(domain(), 1, vec![key(class)]).unwrap().verify(token, class, NOW).unwrap().key
    };

    assert_ne!(spent(Class::Standard, &batch[0]), spent(Class::Standard, &batch[1]));
    assert_ne!(spent(Class::Standard, &batch[0]), spent(Class::Home, &batch[0]));
}

#[test]
fn a_lost_answer_is_asked_for_again_with_the_same_elements_and_gives_the_same_tokens() {
    let mut chance = Chance::from_seed([1; 32]);
    let key = TokenSecretKey::generate(&mut chance);
    let blinding = Blinding::new(key.public_key(), [7; 32], MAX_BATCH, &mut chance).unwrap();
    let stored = Blinding::decode(&blinding.encode()).unwrap();
    let request = blinding.request(Class::Standard).unwrap();

    let first = key.evaluate(&request.blinded, &mut chance).unwrap();
    let second = key.evaluate(&stored.request(Class::Standard).unwrap().blinded, &mut chance).unwrap();

    assert_eq!(stored.request(Class::Standard), Ok(request));
    let tokens = blinding.finalize(&first).unwrap();
    assert_eq!(stored.finalize(&second), Ok(tokens.clone()));
    assert!(tokens.len() == MAX_BATCH && tokens.iter().all(|token| key.verifies(token)));
}

#[test]
fn an_issuer_that_answers_with_another_key_or_order_or_number_is_found_out() {
    let mut chance = Chance::from_seed([1; 32]);
    let (key, other) = (TokenSecretKey::generate(&mut chance), TokenSecretKey::generate(&mut chance));
    let blinding = Blinding::new(key.public_key(), [7; 32], 3, &mut chance).unwrap();
    let blinded = blinding.request(Class::Home).unwrap().blinded;
    let honest = key.evaluate(&blinded, &mut chance).unwrap();

    let marked = other.evaluate(&blinded, &mut chance).unwrap();
    let mut swapped = honest.clone();
    swapped.evaluated =
        List::new(vec![honest.evaluated[1], honest.evaluated[0], honest.evaluated[2]]).unwrap();
    let mut short = honest.clone();
    short.evaluated = List::new(honest.evaluated[..2].to_vec()).unwrap();
    let mut mixed = honest.clone();
    mixed.evaluated = List::new(vec![honest.evaluated[0], honest.evaluated[1], marked.evaluated[2]]).unwrap();
    let mut garbage = honest.clone();
    garbage.evaluated = List::new(vec![[0xff; 32]; 3]).unwrap();

    for reply in [marked, swapped, short, mixed, garbage] {
        assert_eq!(blinding.finalize(&reply), Err(Reject::TokenInvalid));
    }
    assert!(blinding.finalize(&honest).is_ok());
}

#[test]
fn what_is_no_element_is_not_evaluated_and_no_key_is_not_blinded_for() {
    let mut chance = Chance::from_seed([1; 32]);
    let key = TokenSecretKey::generate(&mut chance);
    let good =
        Blinding::new(key.public_key(), [7; 32], 1, &mut chance).unwrap().request(Class::Home).unwrap();

    // The identity, a non-canonical encoding, nothing, and too many.
    for blinded in [&[[0; 32]][..], &[[0xff; 32]], &[good.blinded[0], [0; 32]], &[], &[good.blinded[0]; 101]]
    {
        assert!(key.evaluate(blinded, &mut chance).is_err());
    }
    for public in [&[0; 32][..], &[0xff; 32], &[1; 31], &[]] {
        assert!(Blinding::new(public, [7; 32], 1, &mut chance).is_err());
    }
}

#[test]
fn keys_rotate_ahead_of_time_and_go_when_nothing_of_theirs_can_be_spent() {
    let mut chance = Chance::from_seed([1; 32]);
    let rotation = Rotation::default();
    let first = keys(&mut chance);
    let old = first.keys()[0].clone();
    let token = tokens(&old.secret, 1, &mut chance).remove(0);
    let due = first.rotates_at(&rotation);

    assert_eq!(due, NOW.plus_secs(6 * DAY - 1));
    assert!(first.rotated(NOW.plus_secs(5 * DAY), &rotation, &mut chance).is_none());
    let second = first.rotated(due, &rotation, &mut chance).unwrap();
    assert_eq!((second.keys().len(), second.serial()), (8, first.serial() + 1));
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

    assert_eq!(keys.keys().len(), 4);
    assert!(keys.keys().iter().all(|key| key.issues_at(late)));
}

#[test]
fn stored_keys_verify_what_they_issued() {
    let mut chance = Chance::from_seed([1; 32]);
    let keys = keys(&mut chance);
    let token = tokens(&keys.keys()[0].secret, 1, &mut chance).remove(0);

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
fn the_challenge_is_the_struct_of_the_rfc() {
    let encoded = challenge(&domain());

    assert_eq!(&encoded[..], b"\x00\x05\x00\x0aalpha.test\x00\x00\x00");
    assert_ne!(challenge_digest(&domain()), challenge_digest(&"beta.test".parse().unwrap()));
}
