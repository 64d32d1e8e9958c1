//! What a password can be guessed with beside a login that counts (T25).

use futures::executor::block_on;
use phoenix_core::{
    Origin, UserId,
    api::auth::{
        AddClientInitRequest, ChangePasswordReply, ChangePasswordRequest, LoginReply, RegisterInitRequest,
    },
    wire::{List, Opaque},
};

use super::{
    passwords::{asked, user},
    world::{By, World},
};
use crate::{AuthSettings, LoginLimits, op, opaque::client};

/// T25: whoever keeps one KE2 can test any guess that the user's OPRF key was applied to. `register_init` applies a key
/// for anyone, without a count: it must never be that one.
#[test]
fn t25_register_init_tests_no_password() {
    let world = World::new();
    let client = world.register(1);
    let ke1 = guess(&world);

    let kept = log_in(&world, &client.id.user, &ke1);

    for _ in 0..3 {
        assert_ne!(register(&world, &client.id.user, &ke1), kept);
    }
    let begin = ChangePasswordRequest::Begin {
        factor: world.factor(&client),
        opaque: Opaque::new(ke1[..ELEMENT].to_vec()).unwrap(),
    };
    let begun = world.ask::<op::ChangePassword>(begin, By::Client(&client)).unwrap();
    let ChangePasswordReply::Begun(begun) = begun else { panic!("{begun:?}") };
    assert_ne!(begun.opaque[..ELEMENT], kept);
    assert_eq!(log_in(&world, &client.id.user, &ke1), kept, "which a login tests still");
}

#[test]
fn t25_logins_of_a_user_that_is_not_there_are_as_like_each_other_as_those_of_one_that_is() {
    let world = World::new();
    world.register(1);
    let ke1 = guess(&world);

    for uuid in [1, 2] {
        let evaluated = log_in(&world, &user(uuid), &ke1);
        assert_eq!(log_in(&world, &user(uuid), &ke1), evaluated);
        assert_ne!(register(&world, &user(uuid), &ke1), evaluated);
        assert_ne!(log_in(&world, &user(3), &ke1), evaluated, "each user has another key");
    }
}

#[test]
fn logins_take_more_work_each_time_that_their_number_doubles_and_hoarded_work_is_not_taken() {
    let logins = LoginLimits { per_source: 2, work_bits: 4, ..LoginLimits::default() };
    let world = World::with(AuthSettings { logins, ..AuthSettings::default() });
    let log_in = |work| world.log_in_from(&user(1), b"wrong", ("192.0.2.1", work));
    let challenge = || asked(&log_in(None).unwrap_err()).0;
    let mut bits = Vec::new();
    for _ in 0..2 {
        log_in(None).unwrap();
    }
    let hoarded = challenge().solve(&user(1), 0, 1 << 20);

    for _ in 2..16 {
        let challenge = challenge();
        bits.push(challenge.bits);
        log_in(challenge.solve(&user(1), 0, 1 << 20)).unwrap();
    }

    assert_eq!(bits, [4, 4, 5, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 6]);
    assert!(log_in(hoarded).is_err());
}

/// KE1 with a guess; the blinded element comes first.
fn guess(world: &World) -> Vec<u8> {
    client::log_in(b"guess", &mut world.chance()).unwrap().1
}

/// What a login's OPRF makes of a guess: KE2 begins with it.
fn log_in(world: &World, user: &UserId, ke1: &[u8]) -> Vec<u8> {
    let ke1 = Opaque::new(ke1.to_vec()).unwrap();
    let request = AddClientInitRequest { user: user.clone(), ke1, work: None };
    let call = world.call::<op::AddClientInit>(&request, By::Nobody, None);
    let LoginReply { ke2, .. } =
        block_on(world.engine.call::<op::AddClientInit>(call, Origin::default())).ok().unwrap();
    ke2[..ELEMENT].to_vec()
}

/// What a registration's OPRF makes of the same guess.
fn register(world: &World, user: &UserId, ke1: &[u8]) -> Vec<u8> {
    let opaque = Opaque::new(ke1[..ELEMENT].to_vec()).unwrap();
    let request = RegisterInitRequest { user: user.clone(), opaque, proofs: List::default() };
    world.ask::<op::RegisterInit>(request, By::Nobody).unwrap().opaque[..ELEMENT].to_vec()
}

/// Bytes of an element of ristretto255.
const ELEMENT: usize = 32;
