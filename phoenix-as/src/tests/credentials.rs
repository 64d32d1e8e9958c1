//! Ways to a credential of a user, for somebody who does not know its password (T16).

use phoenix_core::{
    ClientId, Reject, Uuid,
    api::auth::{RemoveClientRequest, SecondFactor},
    credential::Csr,
    crypto::SigningKey,
    wire::Opaque,
};

use super::world::{By, TestClient, World, csr};
use crate::{op, opaque::client::PASSWORD};

#[test]
fn t16_who_registers_under_the_name_of_a_user_gets_no_credential_of_it() {
    let world = World::new();
    let user = world.register(1);
    // With a registration of its own, which the name of another is put into.
    let mut stolen = world.begin(2);
    stolen.request.csr = csr_of(&world, &user, 9, &stolen.key);
    let same_client = csr(user.id.clone(), &stolen.key, &world.engine.ring().service, world.now());

    let refused = [
        world.finish(&stolen).err(),
        {
            stolen.request.csr = same_client;
            world.finish(&stolen).err()
        },
        {
            stolen.request.registration = [0; 16];
            world.finish(&stolen).err()
        },
        world.begin_with(1, Vec::new()).and_then(|begun| world.finish(&begun)).err(),
    ];

    assert!(refused.iter().all(Option::is_some), "{refused:?}");
    assert!(stands_alone(&world, &user));
}

#[test]
fn t16_no_login_but_the_users_own_with_its_password_gets_a_further_client() {
    let world = World::new();
    let (user, mallory) = (world.register(1), world.register(2));
    let name = &user.id.user;
    let wrong = world.log_in_from(name, b"wrong horse", (HERE, None)).unwrap();
    let of_mallory = world.log_in_from(&mallory.id.user, PASSWORD, (HERE, None)).unwrap();
    let open = world.log_in_from(name, PASSWORD, (HERE, None)).unwrap();
    let factors = [
        // The proof of a login with a wrong password; of somebody else's; none; of a login that never was.
        wrong.clone(),
        of_mallory.clone(),
        SecondFactor { login: open.login, ke3: of_mallory.ke3 },
        SecondFactor { login: open.login, ke3: Opaque::default() },
        SecondFactor { login: [0; 16], ke3: open.ke3.clone() },
        // A client's own login is for what that client does.
        world.factor(&user),
    ];

    for (number, factor) in (10..).zip(factors) {
        let refused = world.finish_adding(&world.adding(name, number, factor)).err();
        assert_eq!(refused, Some(Reject::Unauthenticated), "{number}");
    }

    // The right one is good once.
    let right = world.log_in_from(name, PASSWORD, (HERE, None)).unwrap();
    world.finish_adding(&world.adding(name, 20, right.clone())).unwrap();
    let again = world.finish_adding(&world.adding(name, 21, right)).err();
    assert_eq!(again, Some(Reject::Unauthenticated));
}

#[test]
fn t16_nobody_renews_what_is_not_its_own_or_was_taken_from_it() {
    let world = World::new();
    let (user, mallory) = (world.register(1), world.register(2));
    let (ring, now) = (world.engine.ring(), world.now());
    let service = &ring.service;
    let ask = |csr, by: &TestClient| world.ask::<op::RenewCredential>(csr, By::Client(by)).err();
    // The credential is public; the key is not.
    let forged = TestClient { key: mallory.key.clone(), ..user.clone() };

    let refused = [
        ask(csr(user.id.clone(), &mallory.key, service, now), &mallory),
        ask(csr(user.id.clone(), &user.key, service, now), &mallory),
        ask(csr(user.id.clone(), &mallory.key, service, now), &forged),
        ask(csr(user.id.clone(), &mallory.key, service, now), &user),
        ask(csr_of(&world, &user, 9, &user.key), &user),
    ];

    assert!(refused.iter().all(Option::is_some), "{refused:?}");
    let second = world.add(&user.id.user, 3);
    let request = RemoveClientRequest { factor: world.factor(&user), client: second.id.client };
    world.ask::<op::RemoveClient>(request, By::Client(&user)).unwrap();
    let removed = ask(csr(second.id.clone(), &second.key, service, now), &second);
    assert_eq!(removed, Some(Reject::Unauthenticated));
}

/// A request for a credential of another client of a user.
fn csr_of(world: &World, user: &TestClient, client: u8, key: &SigningKey) -> Csr {
    let id = ClientId { user: user.id.user.clone(), client: Uuid([client; 16]) };
    csr(id, key, &world.engine.ring().service, world.now())
}

/// Whether a user has its one client still, and nobody has replaced its password.
fn stands_alone(world: &World, user: &TestClient) -> bool {
    let request = RemoveClientRequest { factor: world.factor(user), client: user.id.client };
    world.ask::<op::RemoveClient>(request, By::Client(user)).is_ok()
}

const HERE: &str = "192.0.2.1";
