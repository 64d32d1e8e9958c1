use phoenix_core::{
    Reject,
    api::{
        Empty,
        auth::{RemoveClientRequest, RevokedSinceReply},
    },
    credential::{AsIdentity, AsKeys},
    time::{DAY, HOUR},
    token::Class,
};

use super::world::{By, TestClient, World, csr, domain};
use crate::op;

#[test]
fn all_credentials_of_a_removed_client_are_listed_under_a_higher_serial() {
    let world = World::new();
    let (first, second) = (world.register(1), world.add(&world.register(2).id.user, 3));
    world.pass(DAY);
    let request = csr(first.id.clone(), &first.key, &world.engine.ring().service, world.now());
    let renewed = world.ask::<op::RenewCredential>(request, By::Client(&first)).unwrap();
    let before = verified(&world);

    remove(&world, &first);

    let after = verified(&world);
    assert!(before.accepts_successor(&after) && !after.accepts_successor(&before));
    for credential in [&first.credential, &renewed] {
        assert!(before.verify_chain(credential, world.now()).is_ok());
        assert_eq!(after.verify_chain(credential, world.now()), Err(Reject::Unauthenticated));
    }
    assert!(after.verify_chain(&second.credential, world.now()).is_ok());
}

#[test]
fn a_revoked_credential_was_good_until_it_was_revoked() {
    let world = World::new();
    let client = world.register(1);
    world.pass(DAY);

    remove(&world, &client);

    let keys = verified(&world);
    assert!(keys.verify_chain(&client.credential, world.now().plus_secs(0)).is_err());
    let earlier = phoenix_core::Timestamp::from_secs(world.now().as_secs() - 1);
    assert!(keys.verify_chain(&client.credential, earlier).is_ok());
}

#[test]
fn what_has_ended_leaves_the_list_with_the_next_that_comes_and_not_before() {
    let world = World::new();
    let (first, second) = (world.register(1), world.register(2));
    remove(&world, &first);
    let listed = |world: &World| {
        let list = identity(world).revocations.payload;
        let has = |client: &TestClient| {
            list.entries.iter().any(|it| it.credential == client.credential.fingerprint())
        };
        (list.serial, has(&first), has(&second))
    };
    assert_eq!(listed(&world), (2, true, false));
    let mut second = second.clone();
    world.pass(80 * DAY);
    let request = csr(second.id.clone(), &second.key, &world.engine.ring().service, world.now());
    second.credential = world.ask::<op::RenewCredential>(request, By::Client(&second)).unwrap();

    world.pass(20 * DAY);
    assert_eq!(listed(&world), (2, true, false), "the same serial means the same entries");
    remove(&world, &second);

    let list = identity(&world).revocations.payload;
    assert_eq!((list.serial, list.entries.len()), (3, 1));
    assert_eq!(list.entries[0].credential, second.credential.fingerprint());
}

#[test]
fn one_serial_is_signed_once_a_day() {
    let world = World::new();
    let client = world.register(1);
    remove(&world, &client);

    let (one, other) = (identity(&world), identity(&world));
    world.pass(DAY);
    let later = identity(&world);

    assert_eq!(one, other);
    assert_ne!(one.revocations, later.revocations);
    assert_eq!(one.revocations.payload.entries, later.revocations.payload.entries);
}

#[test]
fn who_knows_an_earlier_list_learns_what_came_since() {
    let world = World::new();
    let clients = [world.register(1), world.register(2), world.register(3)];
    remove(&world, &clients[0]);
    let known = verified(&world);
    remove(&world, &clients[1]);
    remove(&world, &clients[2]);

    let RevokedSinceReply { statement, delta } = world.ask::<op::RevokedSince>(2, By::Nobody).unwrap();

    assert_eq!((delta.payload.since, delta.payload.serial, delta.payload.entries.len()), (2, 4, 2));
    let updated = known.updated_with(&statement, delta.clone(), world.now()).unwrap();
    for client in &clients {
        assert!(updated.verify_chain(&client.credential, world.now()).is_err());
    }
    assert_eq!(updated.revocation_serial(), 4);
    assert!(updated.accepts_successor(&verified(&world)) && !updated.accepts_successor(&known));
    assert!(verified(&world).updated_with(&statement, delta, world.now()).is_err(), "it does not lead on");
}

#[test]
fn a_serial_that_never_was_is_answered_with_the_whole_list() {
    let world = World::new();
    let client = world.register(1);
    remove(&world, &client);

    for serial in [0, 3, u64::MAX] {
        let reply = world.ask::<op::RevokedSince>(serial, By::Nobody).unwrap();
        assert_eq!((reply.delta.payload.since, reply.delta.payload.serial), (0, 2));
        assert_eq!(reply.delta.payload.entries, identity(&world).revocations.payload.entries);
    }
    let nothing = world.ask::<op::RevokedSince>(2, By::Nobody).unwrap().delta.payload;
    assert_eq!((nothing.since, nothing.serial, nothing.entries.len()), (2, 2, 0));
}

#[test]
fn a_client_that_its_own_server_revoked_is_refused_once_that_is_known_here() {
    let world = World::new();
    let (revoked, other) = (world.stranger(1), world.stranger(2));
    let ask = |by: &TestClient| {
        let request = world.blinding(Class::Standard, 1).request(Class::Standard).unwrap();
        world.ask::<op::IssueTokens>(request, By::Client(by)).map(|_| ())
    };
    assert_eq!((ask(&revoked), ask(&other)), (Ok(()), Ok(())));

    world.revoke(&revoked);
    world.pass(HOUR);

    assert_eq!((ask(&revoked), ask(&other)), (Err(Reject::Unauthenticated), Ok(())));
}

#[test]
fn after_a_restore_the_list_is_newer_than_any_before_and_leads_on_from_them() {
    // given what peers know of a list that the copy has forgotten, and of the copy's own
    let world = World::new();
    let (first, second) = (world.register(1), world.register(2));
    remove(&world, &first);
    let before = verified(&world);
    let known = before.revocation_serial();

    world.restored(1);
    remove(&world, &second);

    let after = verified(&world);
    assert_eq!(after.revocation_serial(), known + (1 << 32) + 1);
    assert!(before.accepts_successor(&after) && !after.accepts_successor(&before));
    for since in [known, known + 5, known + (1 << 32)] {
        let RevokedSinceReply { delta, .. } = world.ask::<op::RevokedSince>(since, By::Nobody).unwrap();
        assert_eq!((delta.payload.since, delta.payload.serial), (since, after.revocation_serial()));
        let listed = delta.payload.entries.len();
        assert_eq!(listed, if since <= known + 5 { 2 } else { 1 }, "{since}");
    }
}

fn remove(world: &World, client: &TestClient) {
    let request = RemoveClientRequest { factor: world.factor(client), client: client.id.client };
    world.ask::<op::RemoveClient>(request, By::Client(client)).unwrap();
}

fn identity(world: &World) -> AsIdentity {
    world.ask::<op::AsCredentials>(Empty {}, By::Nobody).unwrap()
}

fn verified(world: &World) -> AsKeys {
    AsKeys::verify(identity(world), &domain("alpha.test"), world.now()).unwrap()
}
