use phoenix_core::{
    Reject, UserId,
    api::{Empty, auth::PublishPackagesRequest},
    credential::ConnectionPackage,
    time::DAY,
    wire::List,
};

use super::world::{By, TestClient, World, client_id};
use crate::op;

#[test]
fn packages_are_served_once_and_the_last_of_them_stays() {
    let world = World::new();
    let bob = world.register(1);
    let packages = packages(&world, &bob, [5, 5, 5]);
    assert_eq!(publish(&world, &bob, packages.clone()), Ok(Empty {}));

    let served: Vec<_> = (0..5).map(|_| take(&world, &bob.id.user).unwrap()).collect();

    let [first, second, last] = [&packages[0], &packages[1], &packages[2]].map(Clone::clone);
    assert_eq!(served, [first, second, last.clone(), last.clone(), last]);
}

#[test]
fn published_packages_take_the_place_of_those_before() {
    let world = World::new();
    let bob = world.register(1);
    publish(&world, &bob, packages(&world, &bob, [5, 5, 5])).unwrap();
    let newer = packages(&world, &bob, [5]);

    publish(&world, &bob, newer.clone()).unwrap();

    assert_eq!(take(&world, &bob.id.user), Ok(newer[0].clone()));
    assert_eq!(take(&world, &bob.id.user), Ok(newer[0].clone()));
}

#[test]
fn packages_that_have_ended_are_not_served() {
    let world = World::new();
    let bob = world.register(1);
    let packages = packages(&world, &bob, [1, 40, 20]);
    publish(&world, &bob, packages.clone()).unwrap();

    world.pass(2 * DAY);
    let after_the_first = take(&world, &bob.id.user);
    world.pass(10 * DAY);
    let last_resort = take(&world, &bob.id.user);
    world.pass(10 * DAY);

    assert_eq!(after_the_first, Ok(packages[1].clone()));
    assert_eq!(last_resort, Ok(packages[2].clone()));
    assert_eq!(take(&world, &bob.id.user), Err(Reject::NotFound));
}

#[test]
fn an_unknown_user_and_one_without_packages_look_the_same() {
    let world = World::new();
    let bob = world.register(1);

    assert_eq!(take(&world, &bob.id.user), Err(Reject::NotFound));
    assert_eq!(take(&world, &client_id(2, "alpha.test").user), Err(Reject::NotFound));
    assert_eq!(take(&world, &client_id(1, "beta.test").user), Err(Reject::NotFound));
}

#[test]
fn as_much_is_read_of_an_unknown_user_as_of_one_without_packages() {
    let world = World::new();
    let bob = world.register(1);
    let reads_of = |user: &UserId| {
        world.reads();
        assert_eq!(take(&world, user), Err(Reject::NotFound));
        world.reads()
    };

    let (known, unknown) = (reads_of(&bob.id.user), reads_of(&client_id(2, "alpha.test").user));

    assert_eq!(known, [1, 1]);
    assert_eq!(unknown, known);
}

#[test]
fn only_usable_packages_of_the_sender_are_published() {
    let world = World::new();
    let (alice, bob) = (world.register(1), world.register(2));
    let good = packages(&world, &bob, [5]).remove(0);
    let foreign = packages(&world, &alice, [5]).remove(0);
    let mut tampered = good.clone();
    tampered.payload.package.lifetime.not_after += 1;
    let too_long = packages(&world, &bob, [400]).remove(0);
    let beyond_its_credential = packages(&world, &bob, [91]).remove(0);
    world.pass(6 * DAY);
    let rejected = |package: &ConnectionPackage| publish(&world, &bob, vec![package.clone()]);

    assert_eq!(rejected(&foreign), Err(Reject::Malformed("credential")));
    assert_eq!(rejected(&tampered), Err(Reject::Malformed("signature")));
    assert_eq!(rejected(&good), Err(Reject::Malformed("lifetime")));
    assert_eq!(rejected(&too_long), Err(Reject::Malformed("lifetime")));
    assert_eq!(rejected(&beyond_its_credential), Err(Reject::Malformed("lifetime")));
    assert_eq!(publish(&world, &bob, Vec::new()), Err(Reject::Malformed("packages")));
    assert_eq!(take(&world, &bob.id.user), Err(Reject::NotFound));
    assert!(rejected(&packages(&world, &bob, [84]).remove(0)).is_ok(), "it ends with its credential");
}

#[test]
fn only_a_known_client_of_this_homeserver_publishes() {
    let world = World::new();
    let bob = world.register(1);
    let package = packages(&world, &bob, [5]);
    let thief = TestClient { key: world.register(2).key, ..bob.clone() };
    let stranger = world.stranger(1);

    assert_eq!(publish(&world, &thief, package.clone()), Err(Reject::Unauthenticated));
    assert_eq!(publish(&world, &stranger, package.clone()), Err(Reject::Forbidden));
    assert_eq!(world.fetches(), 0, "nobody is asked for a stranger's keys");
    let request = PublishPackagesRequest { packages: List::new(package).unwrap() };
    assert_eq!(world.ask::<op::PublishConnectionPackages>(request, By::Nobody), Err(Reject::Unauthenticated));
}

#[test]
fn a_client_whose_record_is_gone_is_nobody() {
    let world = World::new();
    let bob = World::new().register(1);
    let package = packages(&world, &bob, [5]);

    // The other world has the same keys, so the credential verifies here, too.
    assert_eq!(publish(&world, &bob, package), Err(Reject::Unauthenticated));
}

fn packages<const N: usize>(world: &World, owner: &TestClient, days: [u64; N]) -> Vec<ConnectionPackage> {
    let sign = |days| {
        let payload = world.payload(days * DAY);
        ConnectionPackage::sign(payload, owner.credential.clone(), &owner.key).unwrap()
    };
    days.into_iter().map(sign).collect()
}

fn publish(world: &World, by: &TestClient, packages: Vec<ConnectionPackage>) -> Result<Empty, Reject> {
    let request = PublishPackagesRequest { packages: List::new(packages).unwrap() };
    world.ask::<op::PublishConnectionPackages>(request, By::Client(by))
}

/// The one package of a user's one client.
fn take(world: &World, user: &UserId) -> Result<ConnectionPackage, Reject> {
    let taken = world.ask::<op::GetConnectionPackage>(user.clone(), By::Nobody)?;
    assert_eq!(taken.packages.len(), 1);
    Ok(taken.packages[0].clone())
}
