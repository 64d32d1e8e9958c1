use futures::{executor::block_on, future::join_all};
use phoenix_core::{
    Origin, Reject,
    api::{
        Empty,
        auth::{GetProfileRequest, MAX_PROFILE, Profile},
    },
    time::DAY,
    token::Class,
    wire::{Opaque, Wire},
};

use super::world::{By, TestClient, World, client_id, csr, refusal};
use crate::op;

#[test]
fn the_last_two_versions_of_a_profile_are_served_to_anyone() {
    let world = World::new();
    let client = world.register(1);

    for (version, content) in [(1, &b"first"[..]), (2, b"second"), (7, b"third")] {
        assert_eq!(update(&world, &client, version, content), Ok(Empty {}));
    }

    assert_eq!(profile(&world, 1, 1), Err(Reject::NotFound));
    assert_eq!(profile(&world, 1, 2).unwrap().as_slice(), b"second");
    assert_eq!(profile(&world, 1, 7).unwrap().as_slice(), b"third");
    assert!(!world.holds(b"first"));
}

#[test]
fn a_version_is_higher_than_those_before_or_the_latest_once_more() {
    let world = World::new();
    let client = world.register(1);
    update(&world, &client, 5, b"fifth").unwrap();

    assert_eq!(update(&world, &client, 4, b"fourth"), Err(Reject::Conflict(Some(5))));
    assert_eq!(update(&world, &client, 5, b"another"), Err(Reject::Conflict(Some(5))));
    assert_eq!(update(&world, &client, 5, b"fifth"), Ok(Empty {}), "the answer was lost");
    assert_eq!(update(&world, &client, 6, b"sixth"), Ok(Empty {}));
    assert_eq!(profile(&world, 1, 5).unwrap().as_slice(), b"fifth");
}

#[test]
fn a_version_is_not_much_higher_than_the_one_before() {
    let world = World::new();
    let client = world.register(1);

    for first in [u32::MAX, (1 << 16) + 1] {
        assert_eq!(update(&world, &client, first, b"profile"), Err(Reject::Malformed("version")));
    }
    assert_eq!(update(&world, &client, 1 << 16, b"profile"), Ok(Empty {}));
    assert_eq!(update(&world, &client, (2 << 16) + 1, b"profile"), Err(Reject::Malformed("version")));
    assert_eq!(update(&world, &client, 2 << 16, b"profile"), Ok(Empty {}));
}

#[test]
fn of_two_updates_that_race_on_two_replicas_one_is_told_of_the_other() {
    let world = World::new();
    let client = world.register(1);
    let replicas = [world.engine.clone(), world.replica()];

    let calls = [&b"one"[..], b"other"].into_iter().zip(&replicas).map(|(content, engine)| {
        let request = Profile { version: 3, ciphertext: Opaque::new(content).unwrap() };
        let token = Some(world.token(Class::Standard));
        let call = world.call::<op::UpdateProfile>(&request, By::Client(&client), token);
        engine.call::<op::UpdateProfile>(call, Origin::default())
    });
    let outcomes = block_on(join_all(calls));

    let losers: Vec<_> = outcomes.into_iter().filter_map(Result::err).map(refusal).collect();
    assert_eq!(losers, [Reject::Conflict(Some(3))]);
}

#[test]
fn profiles_that_are_not_there_are_not_told_apart() {
    let world = World::new();
    let (client, _without) = (world.register(1), world.register(2));
    update(&world, &client, 1, b"profile").unwrap();
    let asked = |uuid, version| {
        world.reads();
        (profile(&world, uuid, version).err(), world.reads())
    };

    let (unknown_user, no_profile, unknown_version) = (asked(9, 1), asked(2, 1), asked(1, 2));

    assert_eq!(unknown_user, (Some(Reject::NotFound), vec![1]));
    assert_eq!(no_profile, unknown_user);
    assert_eq!(unknown_version, unknown_user);
    let request = GetProfileRequest { user: client_id(1, "beta.test").user, version: 1 };
    assert_eq!(world.ask::<op::GetProfile>(request, By::Nobody), Err(Reject::NotFound));
}

#[test]
fn a_profile_fits_up_to_its_bound() {
    let world = World::new();
    let client = world.register(1);

    assert_eq!(update(&world, &client, 1, &vec![7; MAX_PROFILE]), Ok(Empty {}));
    assert_eq!(profile(&world, 1, 1).map(|profile| profile.len()), Ok(MAX_PROFILE));

    let longer = (2_u32, Opaque::<{ MAX_PROFILE + 1 }>::new(vec![7; MAX_PROFILE + 1]).unwrap()).encode();
    let fits = Profile { version: 2, ciphertext: Opaque::default() };
    let token = Some(world.token(Class::Standard));
    let mut call = world.call::<op::UpdateProfile>(&fits, By::Client(&client), token);
    call.body = Opaque::new(longer).unwrap();
    assert!(matches!(world.send::<op::UpdateProfile>(call), Err(Reject::Malformed(_))));
}

#[test]
fn a_profile_is_published_by_a_client_of_its_user_with_a_token() {
    let world = World::new();
    let (client, stranger) = (world.register(1), world.stranger(1));
    let request = Profile { version: 1, ciphertext: Opaque::default() };
    let unpaid = world.call::<op::UpdateProfile>(&request, By::Client(&client), None);
    let impostor = TestClient { key: stranger.key.clone(), ..client.clone() };

    assert_eq!(update(&world, &stranger, 1, b"profile"), Err(Reject::Forbidden));
    assert_eq!(update(&world, &impostor, 1, b"profile"), Err(Reject::Unauthenticated));
    assert_eq!(world.send::<op::UpdateProfile>(unpaid), Err(Reject::TokenRequired));
    assert_eq!(world.ask::<op::UpdateProfile>(request, By::Nobody), Err(Reject::Unauthenticated));
    assert_eq!(profile(&world, 1, 1), Err(Reject::NotFound));
}

#[test]
fn a_profile_ends_when_no_client_can_be_left_and_not_before() {
    let world = World::new();
    let client = world.register(1);
    update(&world, &client, 1, b"profile").unwrap();

    world.pass(90 * DAY);
    assert!(profile(&world, 1, 1).is_ok());

    world.pass_unswept(3 * DAY);
    assert_eq!(profile(&world, 1, 1), Err(Reject::NotFound), "not even before the sweeper came");
    world.pass(1);
    assert!(!world.holds(b"profile"));
}

#[test]
fn a_profile_ends_no_earlier_than_it_would_have_whatever_the_clock_says() {
    let world = World::new();
    let client = world.register(1);
    world.pass_unswept(10 * DAY);
    update(&world, &client, 1, b"profile").unwrap();
    world.put_back(10 * DAY - 60);

    let request = csr(client.id.clone(), &client.key, &world.engine.ring().service, world.now());
    world.ask::<op::RenewCredential>(request, By::Client(&client)).unwrap();

    world.pass_unswept(95 * DAY);
    assert!(profile(&world, 1, 1).is_ok());
}

fn update(world: &World, client: &TestClient, version: u32, content: &[u8]) -> Result<Empty, Reject> {
    let request = Profile { version, ciphertext: Opaque::new(content.to_vec()).unwrap() };
    world.ask::<op::UpdateProfile>(request, By::Client(client))
}

fn profile(world: &World, uuid: u8, version: u32) -> Result<Opaque<MAX_PROFILE>, Reject> {
    let request = GetProfileRequest { user: client_id(uuid, "alpha.test").user, version };
    world.ask::<op::GetProfile>(request, By::Nobody)
}
