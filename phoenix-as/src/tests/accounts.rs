use futures::{executor::block_on, future::join_all};
use phoenix_core::{
    Origin, Reject, Uuid,
    api::{
        Empty,
        auth::{DeleteUserRequest, MAX_CLIENTS, Profile, RemoveClientRequest, SecondFactor},
    },
    credential::{AsKeys, Csr},
    crypto::{SigningKey, Suite},
    time::{DAY, MINUTE},
    wire::{List, Opaque, Wire},
};

use super::{
    passwords::Adding,
    world::{By, TestClient, World, csr, dequeue, domain, refusal},
};
use crate::{op, opaque::client};

#[test]
fn whoever_knows_the_password_adds_a_client_that_is_as_good_as_the_first() {
    let world = World::new();
    let first = world.register(1);

    let second = world.add(&first.id.user, 2);

    let keys = published(&world);
    assert_eq!(*keys.verify_chain(&second.credential, world.now()).unwrap().client(), second.id);
    for client in [&first, &second] {
        assert!(world.ask::<op::DequeueOffers>(dequeue(0, 0, 0), By::Client(client)).is_ok());
    }
}

#[test]
fn an_answer_that_was_lost_is_given_again_and_nothing_else_follows_from_the_login() {
    let world = World::new();
    let first = world.register(1);
    let adding = world.begin_adding(&first.id.user, 2);
    let client = world.finish_adding(&adding).unwrap();
    let before = world.store.dump();

    let again = world.finish_adding(&adding).unwrap();

    assert_eq!(again.credential, client.credential);
    assert_eq!(world.store.dump(), before);
    let other = world.adding(&first.id.user, 3, adding.request.factor);
    assert_eq!(world.finish_adding(&other).err(), Some(Reject::Unauthenticated));
}

#[test]
fn two_that_finish_one_login_at_once_on_two_replicas_make_one_client() {
    let world = World::new();
    let first = world.register(1);
    let one = world.begin_adding(&first.id.user, 2);
    let other = world.adding(&first.id.user, 3, one.request.factor.clone());

    let replicas = [world.engine.clone(), world.replica()];
    let calls = [&one, &other].into_iter().zip(&replicas).map(|(adding, engine)| {
        let call = world.call::<op::AddClientFinish>(&adding.request, By::Key(&adding.key), None);
        engine.call::<op::AddClientFinish>(call, Origin::default())
    });
    let outcomes: Vec<_> =
        block_on(join_all(calls)).into_iter().map(|outcome| outcome.map_err(refusal)).collect();

    let losers: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).collect();
    assert_eq!(losers, [&Reject::Unauthenticated]);
    for (adding, outcome) in [&one, &other].into_iter().zip(&outcomes) {
        assert_eq!(world.holds(&adding.key.verifying_key().encode()), outcome.is_ok());
    }
}

#[test]
fn a_client_is_added_by_the_key_that_it_introduces_for_the_user_that_logged_in_only() {
    let world = World::new();
    let (first, other) = (world.register(1), world.register(2));
    let adding = world.begin_adding(&first.id.user, 3);
    let stolen = Adding { key: SigningKey::generate(Suite::Ed25519, &mut world.chance()), ..adding.clone() };
    let elsewhere = world.adding(&other.id.user, 3, adding.request.factor.clone());
    let by_client = world.adding(&first.id.user, 3, world.factor(&first));
    let mut abroad = adding.clone();
    abroad.request.csr.payload.client.user.domain = domain("beta.test");

    assert_eq!(world.finish_adding(&stolen).err(), Some(Reject::Unauthenticated));
    assert_eq!(world.finish_adding(&elsewhere).err(), Some(Reject::Unauthenticated));
    assert_eq!(world.finish_adding(&by_client).err(), Some(Reject::Unauthenticated), "begun for another end");
    assert_eq!(world.finish_adding(&abroad).err(), Some(Reject::Malformed("client")));
    assert!(world.finish_adding(&adding).is_ok(), "nothing of it spoiled the login");
}

#[test]
fn what_does_not_fit_is_not_signed_for_a_further_client_either() {
    let world = World::new();
    let first = world.register(1);
    let adding = world.begin_adding(&first.id.user, 2);
    let refused = |change: &dyn Fn(&mut phoenix_core::credential::ClientCredentialPayload)| {
        let mut payload = adding.request.csr.payload.clone();
        change(&mut payload);
        let mut adding = adding.clone();
        adding.request.csr = Csr::new(&adding.key, payload).unwrap();
        world.finish_adding(&adding).err()
    };

    assert_eq!(refused(&|it| it.validity.not_after += DAY), Some(Reject::Malformed("validity")));
    assert_eq!(refused(&|it| it.validity.not_before += DAY), Some(Reject::Malformed("validity")));
    assert_eq!(refused(&|it| it.signer.0[0] ^= 1), Some(Reject::Malformed("signer")));
    assert_eq!(refused(&|it| it.client.client = first.id.client), Some(Reject::AlreadyExists));
    assert!(world.finish_adding(&adding).is_ok());
}

#[test]
fn a_user_has_ten_clients_and_those_that_have_ended_do_not_count() {
    let world = World::new();
    let first = world.register(1);
    let user = &first.id.user;
    for client in 2..=10 {
        world.add(user, client);
    }
    assert_eq!(MAX_CLIENTS, 10);
    let eleventh = world.begin_adding(user, 11);

    assert_eq!(world.finish_adding(&eleventh).err(), Some(Reject::TooLarge("clients")));
    assert!(world.ask::<op::RemoveClient>(remove(world.factor(&first), 10), By::Client(&first)).is_ok());
    assert!(world.finish_adding(&eleventh).is_ok());

    world.pass_unswept(91 * DAY);
    assert!(world.finish_adding(&world.begin_adding(user, 12)).is_ok(), "all others have ended");
}

#[test]
fn a_user_adds_twenty_clients_in_thirty_days_be_they_removed_again() {
    let world = World::new();
    let first = world.register(1);
    for client in 2..22 {
        world.add(&first.id.user, client);
        world.ask::<op::RemoveClient>(remove(world.factor(&first), client), By::Client(&first)).unwrap();
        world.pass(MINUTE);
    }
    let one_more = world.begin_adding(&first.id.user, 22);

    let refused = world.finish_adding(&one_more).err();

    let Some(Reject::RateLimited(seconds)) = refused else { panic!("{refused:?}") };
    assert_eq!(u64::from(seconds), 30 * DAY - 20 * MINUTE);
    world.pass(u64::from(seconds) - 1);
    assert!(world.finish_adding(&world.begin_adding(&first.id.user, 22)).is_err());
    world.pass(1);
    assert!(world.finish_adding(&world.begin_adding(&first.id.user, 22)).is_ok());
}

#[test]
fn a_client_removes_itself_and_the_last_one_leaves_the_user_to_its_password() {
    let world = World::new();
    let client = world.register(1);

    let own = remove_uuid(world.factor(&client), client.id.client);
    world.ask::<op::RemoveClient>(own, By::Client(&client)).unwrap();

    let refused = world.ask::<op::DequeueOffers>(dequeue(0, 0, 0), By::Client(&client));
    assert_eq!(refused.err(), Some(Reject::Unauthenticated));
    let next = world.add(&client.id.user, 2);
    assert!(world.ask::<op::DequeueOffers>(dequeue(0, 0, 0), By::Client(&next)).is_ok());
}

#[test]
fn a_removed_client_leaves_nothing_and_its_id_is_not_given_away_while_it_is_listed() {
    let world = World::new();
    let first = world.register(1);
    let second = world.add(&first.id.user, 2);

    world.ask::<op::RemoveClient>(remove(world.factor(&first), 2), By::Client(&first)).unwrap();

    assert!(!world.holds(&second.key.verifying_key().encode()) && !world.holds(&[2; 16]));
    let again = world.begin_adding(&first.id.user, 2);
    assert_eq!(world.finish_adding(&again).err(), Some(Reject::AlreadyExists));
    world.pass(93 * DAY);
    assert!(world.finish_adding(&world.begin_adding(&first.id.user, 2)).is_ok());
}

#[test]
fn a_client_is_removed_by_one_of_its_user_with_a_login_of_its_own_only() {
    let world = World::new();
    let (first, stranger) = (world.register(1), world.register(3));
    let second = world.add(&first.id.user, 2);
    let ask = |factor, client, by: &TestClient| {
        world.ask::<op::RemoveClient>(remove_uuid(factor, client), By::Client(by)).err()
    };

    assert_eq!(ask(world.factor(&second), second.id.client, &first), Some(Reject::Unauthenticated));
    let public = world.log_in_from(&first.id.user, client::PASSWORD, ("192.0.2.1", None)).unwrap();
    assert_eq!(ask(public, second.id.client, &first), Some(Reject::Unauthenticated));
    assert_eq!(ask(wrong(&world, &first), second.id.client, &first), Some(Reject::Unauthenticated));
    assert_eq!(ask(world.factor(&stranger), second.id.client, &stranger), Some(Reject::NotFound));
    assert_eq!(ask(world.factor(&first), Uuid([9; 16]), &first), Some(Reject::NotFound));
    let by_key = remove(world.factor(&first), 2);
    assert_eq!(
        world.ask::<op::RemoveClient>(by_key, By::Key(&first.key)).err(),
        Some(Reject::Unauthenticated)
    );
    assert!(world.ask::<op::DequeueOffers>(dequeue(0, 0, 0), By::Client(&second)).is_ok());
}

#[test]
fn a_deleted_user_leaves_nothing_but_its_revocations_and_its_id_is_never_given_away() {
    let world = World::new();
    let (first, other) = (world.register(1), world.register(3));
    let second = world.add(&first.id.user, 2);
    let begun = world.begin_adding(&first.id.user, 4);
    let profile = Profile { version: 1, ciphertext: Opaque::new(b"what they say".to_vec()).unwrap() };
    world.ask::<op::UpdateProfile>(profile, By::Client(&first)).unwrap();
    assert!(world.holds(b"what they say"));
    let request = DeleteUserRequest { factor: world.factor(&first), domains: List::default() };

    world.ask::<op::DeleteUser>(request, By::Client(&first)).unwrap();

    for client in [&first, &second] {
        assert!(!world.holds(&client.key.verifying_key().encode()));
        let refused = world.ask::<op::DequeueOffers>(dequeue(0, 0, 0), By::Client(client));
        assert_eq!(refused.err(), Some(Reject::Unauthenticated));
    }
    assert!(!world.holds(first.id.user.uuid.as_bytes()) && !world.holds(b"what they say"));
    assert_eq!(world.finish_adding(&begun).err(), Some(Reject::Unauthenticated));
    let keys = published(&world);
    assert!(keys.verify_chain(&second.credential, world.now()).is_err());
    assert!(keys.verify_chain(&other.credential, world.now()).is_ok());
    world.pass(200 * DAY);
    assert_eq!(world.finish(&world.begin(1)).err(), Some(Reject::AlreadyExists));
    assert!(world.finish(&world.begin(5)).is_ok());
}

#[test]
fn a_user_is_deleted_with_its_password_and_tells_a_hundred_domains_at_most() {
    let world = World::new();
    let client = world.register(1);
    let domains = |count: usize| (0..count).map(|at| domain(&format!("d{at}.test"))).collect::<Vec<_>>();
    let wrong = DeleteUserRequest { factor: wrong(&world, &client), domains: List::default() };

    assert!(List::<_, { phoenix_core::api::auth::MAX_NOTICES }>::new(domains(101)).is_err());
    assert_eq!(world.ask::<op::DeleteUser>(wrong, By::Client(&client)), Err(Reject::Unauthenticated));
    let domains = List::new(domains(100)).unwrap();
    let request = DeleteUserRequest { factor: world.factor(&client), domains };
    assert_eq!(world.ask::<op::DeleteUser>(request, By::Client(&client)), Ok(Empty {}));
    assert!(!world.holds(b"d7.test"));
}

#[test]
fn a_stranger_has_none_of_it() {
    let world = World::new();
    let (client, stranger) = (world.register(1), world.stranger(1));
    let factor = world.factor(&client);
    let ke1 = Opaque::new(client::log_in(client::PASSWORD, &mut world.chance()).unwrap().1).unwrap();
    let by = || By::Client(&stranger);

    assert_eq!(world.ask::<op::LoginInit>(ke1, by()).err(), Some(Reject::Forbidden));
    assert_eq!(world.ask::<op::RemoveClient>(remove(factor.clone(), 1), by()), Err(Reject::Forbidden));
    let delete = DeleteUserRequest { factor, domains: List::default() };
    assert_eq!(world.ask::<op::DeleteUser>(delete, by()), Err(Reject::Forbidden));
    let renewed = world.ask::<op::RenewCredential>(renewal(&world, &stranger), by());
    assert_eq!(renewed.err(), Some(Reject::Forbidden));
    assert_eq!(world.fetches(), 0, "nobody was asked for its keys");
}

fn published(world: &World) -> AsKeys {
    let identity = world.ask::<op::AsCredentials>(Empty {}, By::Nobody).unwrap();
    AsKeys::verify(identity, &domain("alpha.test"), world.now()).unwrap()
}

fn renewal(world: &World, client: &TestClient) -> Csr {
    csr(client.id.clone(), &client.key, &world.engine.ring().service, world.now())
}

fn remove(factor: SecondFactor, client: u8) -> RemoveClientRequest {
    remove_uuid(factor, Uuid([client; 16]))
}

fn remove_uuid(factor: SecondFactor, client: Uuid) -> RemoveClientRequest {
    RemoveClientRequest { factor, client }
}

fn wrong(world: &World, client: &TestClient) -> SecondFactor {
    world.factor_with(client, b"wrong").unwrap()
}
