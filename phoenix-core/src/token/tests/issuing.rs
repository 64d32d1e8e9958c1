//! Blinding, evaluating and finishing.

use super::domain;
use crate::{
    Reject,
    api::tokens::{MAX_BATCH, SingleReply},
    crypto::Chance,
    token::{Blinding, Class, SingleBlinding, TokenSecretKey, TokenType},
    wire::{List, Wire},
};

#[test]
fn a_lost_answer_is_asked_for_again_with_the_same_elements_and_gives_the_same_tokens() {
    let mut chance = Chance::from_seed([1; 32]);
    let key = batched(&mut chance);
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
    let (key, other) = (batched(&mut chance), batched(&mut chance));
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
    let key = batched(&mut chance);
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
fn a_single_token_is_asked_for_again_with_the_same_element() {
    let mut chance = Chance::from_seed([1; 32]);
    let (key, blinding) = single(&mut chance);
    let stored = SingleBlinding::decode(&blinding.encode()).unwrap();

    let first = evaluate(&key, &blinding, &mut chance);
    let second = evaluate(&key, &stored, &mut chance);

    assert_eq!(stored.request(), blinding.request());
    assert_ne!(first.proof, second.proof);
    assert_eq!(blinding.finalize(&first), stored.finalize(&second));
    assert!(key.verifies(&blinding.finalize(&first).unwrap()));
}

#[test]
fn a_wrong_answer_to_a_single_request_is_found_out() {
    let mut chance = Chance::from_seed([1; 32]);
    let (key, blinding) = single(&mut chance);
    let honest = evaluate(&key, &blinding, &mut chance);
    let other = TokenSecretKey::generate(TokenType::P384, &mut chance);
    let marked = evaluate(&other, &blinding, &mut chance);

    let mixed = SingleReply { evaluated: marked.evaluated, ..honest.clone() };
    let no_point = SingleReply { evaluated: [0; 49], ..honest.clone() };
    let no_proof = SingleReply { proof: [0; 96], ..honest.clone() };

    for reply in [marked, mixed, no_point, no_proof] {
        assert_eq!(blinding.finalize(&reply), Err(Reject::TokenInvalid));
    }
    assert!(blinding.finalize(&honest).is_ok());
}

#[test]
fn what_is_no_point_is_neither_evaluated_nor_blinded_for() {
    let mut chance = Chance::from_seed([1; 32]);
    let (key, blinding) = single(&mut chance);
    let good = blinding.request().blinded;
    let mut uncompressed = good;
    uncompressed[0] = 4;
    let mut off_the_curve = [0; 49];
    off_the_curve[0] = 2;
    off_the_curve[48] = 1;

    for blinded in [[0; 49], uncompressed, [0xff; 49], off_the_curve] {
        let refused = key.single(&blinded, chance.child(""));
        assert!(matches!(refused, Err(Reject::Malformed("blinded"))), "{blinded:?}");
    }
    for public in [&[0; 49][..], &[0xff; 49], &good[..48], &[]] {
        assert!(SingleBlinding::new(public, [7; 32], &mut chance).is_err());
    }
}

fn batched(chance: &mut Chance) -> TokenSecretKey {
    TokenSecretKey::generate(TokenType::Ristretto255, chance)
}

fn single(chance: &mut Chance) -> (TokenSecretKey, SingleBlinding) {
    let key = TokenSecretKey::generate(TokenType::P384, chance);
    let digest = TokenType::P384.challenge_digest(&domain());
    let blinding = SingleBlinding::new(key.public_key(), digest, chance).unwrap();
    (key, blinding)
}

fn evaluate(key: &TokenSecretKey, blinding: &SingleBlinding, chance: &mut Chance) -> SingleReply {
    key.single(&blinding.request().blinded, chance.child("proof")).unwrap()()
}
