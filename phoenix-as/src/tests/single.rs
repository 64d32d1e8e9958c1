//! `token_request`: one token of type 0x0001 at a time.

use phoenix_core::{
    Reject,
    api::tokens::{SingleReply, SingleRequest},
    time::DAY,
    token::{Class, SingleBlinding, TokenType},
    wire::Wire,
};

use super::world::{By, TestClient, World, domain};
use crate::{Allowances, AuthSettings, op};

/// The world begins with a day.
const WINDOW_S: u32 = 86_400;

#[test]
fn a_single_token_is_spent_here_for_the_class_of_the_key_that_was_named() {
    let world = World::new();
    let client = world.register(1);

    for class in Class::ALL {
        let blinding = blinding(&world, class);
        let token = blinding.finalize(&issue(&world, &client, &blinding).unwrap()).unwrap();

        let tokens = &world.engine.ring().tokens;
        assert!(tokens.verify(&token, class, world.now()).is_ok(), "{class:?}");
        let others = Class::ALL.into_iter().filter(|other| *other != class);
        assert!(others.into_iter().all(|other| tokens.verify(&token, other, world.now()).is_err()));
    }
}

#[test]
fn single_tokens_and_batches_share_one_allowance() {
    let world = World::new();
    let client = world.register(1);

    let batch = world.blinding(Class::Contact, 48).request(Class::Contact).unwrap();
    world.ask::<op::IssueTokens>(batch, By::Client(&client)).unwrap();

    assert!(fresh(&world, &client, Class::Contact).is_ok());
    assert!(fresh(&world, &client, Class::Contact).is_ok());
    assert_eq!(fresh(&world, &client, Class::Contact), Err(Reject::RateLimited(WINDOW_S)));
    let batch = world.blinding(Class::Contact, 1).request(Class::Contact).unwrap();
    let refused = world.ask::<op::IssueTokens>(batch, By::Client(&client)).map(|_| ());
    assert_eq!(refused, Err(Reject::RateLimited(WINDOW_S)));
    assert!(fresh(&world, &client, Class::Home).is_ok(), "classes are counted apart");
    world.pass(DAY);
    assert!(fresh(&world, &client, Class::Contact).is_ok(), "a new day");
}

#[test]
fn a_repeated_single_request_counts_once_and_is_not_answered_without_end() {
    let allowances = Allowances { contact: 2, ..Allowances::default() };
    let world = World::with(AuthSettings { allowances, ..AuthSettings::default() });
    let client = world.register(1);
    let blinding = blinding(&world, Class::Contact);

    let first = issue(&world, &client, &blinding).unwrap();
    for _ in 0..5 {
        let again = issue(&world, &client, &blinding).unwrap();
        assert_eq!(again.evaluated, first.evaluated);
        assert_eq!(blinding.finalize(&again), blinding.finalize(&first));
    }

    assert_eq!(issue(&world, &client, &blinding), Err(Reject::RateLimited(WINDOW_S)));
    assert!(fresh(&world, &client, Class::Contact).is_ok());
    assert_eq!(fresh(&world, &client, Class::Contact), Err(Reject::RateLimited(WINDOW_S)));
}

#[test]
fn a_lost_single_answer_is_given_again_after_its_key_has_ended() {
    let world = World::new();
    let client = world.register(1);
    world.pass(7 * DAY - 60);
    let (lost, late) = (blinding(&world, Class::Alias), blinding(&world, Class::Alias));
    let first = issue(&world, &client, &lost).unwrap();

    world.pass(120);

    assert_eq!(issue(&world, &client, &late), Err(Reject::TokenInvalid), "it issues no more");
    assert_eq!(issue(&world, &client, &lost).unwrap().evaluated, first.evaluated);
    world.pass(2 * DAY);
    assert_eq!(issue(&world, &client, &lost), Err(Reject::TokenInvalid), "nor is it spent");
}

#[test]
fn single_requests_that_cannot_be_answered_are_refused_and_count_nothing() {
    let world = World::new();
    let client = world.register(1);
    let before = world.store.dump();
    let request = blinding(&world, Class::Home).request();
    let ask = |request: SingleRequest| world.ask::<op::TokenRequest>(request, By::Client(&client)).err();
    let tokens = &world.engine.ring().tokens;
    let unknown = (0..=u8::MAX).find(|byte| tokens.truncated(*byte).is_none()).unwrap();

    let unknown_key = SingleRequest { truncated_key_id: unknown, ..request.clone() };
    let batched = SingleRequest { token_type: TokenType::Ristretto255, ..request.clone() };
    let no_point = SingleRequest { blinded: [0xff; 49], ..request.clone() };
    let identity = SingleRequest { blinded: [0; 49], ..request.clone() };

    assert_eq!(ask(unknown_key), Some(Reject::TokenInvalid));
    assert_eq!(ask(batched), Some(Reject::Malformed("token type")));
    assert_eq!(ask(no_point), Some(Reject::Malformed("blinded")));
    assert_eq!(ask(identity), Some(Reject::Malformed("blinded")));
    let mut call = world.call::<op::TokenRequest>(&request, By::Client(&client), None);
    call.body = phoenix_core::wire::Opaque::new(request.encode().slice(1..)).unwrap();
    assert_eq!(world.send::<op::TokenRequest>(call).err(), Some(Reject::Malformed("encoding")));
    assert_eq!(world.store.dump(), before);
}

#[test]
fn a_key_of_the_other_type_answers_neither_endpoint() {
    let world = World::new();
    let client = world.register(1);
    let single = key(&world, Class::Standard);
    let mut batch = world.blinding(Class::Standard, 1).request(Class::Standard).unwrap();
    batch.key = single.key_id();

    let refused = world.ask::<op::IssueTokens>(batch, By::Client(&client)).map(|_| ());

    assert_eq!(refused, Err(Reject::TokenInvalid));
}

#[test]
fn only_known_clients_are_issued_single_tokens_and_remote_ones_no_local_classes() {
    let world = World::new();
    let client = world.register(1);
    let stranger = world.stranger(3);
    let thief = TestClient { key: world.register(2).key, ..client };
    let request = blinding(&world, Class::Standard).request();

    assert_eq!(fresh(&world, &thief, Class::Standard), Err(Reject::Unauthenticated));
    assert_eq!(world.ask::<op::TokenRequest>(request, By::Nobody), Err(Reject::Unauthenticated));
    assert_eq!(fresh(&world, &stranger, Class::Home), Err(Reject::Forbidden));
    assert_eq!(fresh(&world, &stranger, Class::Alias), Err(Reject::Forbidden));
    assert_eq!(world.fetches(), 0, "what only locals get is refused before anyone is asked");
    assert!(fresh(&world, &stranger, Class::Standard).is_ok());
    assert!(fresh(&world, &stranger, Class::Contact).is_ok());
}

fn issue(world: &World, by: &TestClient, blinding: &SingleBlinding) -> Result<SingleReply, Reject> {
    world.ask::<op::TokenRequest>(blinding.request(), By::Client(by))
}

/// What comes of a request that was never made before.
pub(super) fn fresh(world: &World, by: &TestClient, class: Class) -> Result<(), Reject> {
    issue(world, by, &blinding(world, class)).map(|_| ())
}

fn blinding(world: &World, class: Class) -> SingleBlinding {
    let digest = TokenType::P384.challenge_digest(&domain("alpha.test"));
    SingleBlinding::new(&key(world, class).public_key, digest, &mut world.chance()).unwrap()
}

fn key(world: &World, class: Class) -> phoenix_core::token::KeyListEntry {
    let list = world.engine.ring().service.key_list().list.clone();
    list.issuing_type(class, TokenType::P384, world.now()).unwrap().clone()
}
