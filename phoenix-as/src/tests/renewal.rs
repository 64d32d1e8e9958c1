use futures::{executor::block_on, future::join};
use phoenix_core::{
    Origin, Reject,
    api::{Empty, auth::RemoveClientRequest},
    credential::{AsKeys, Csr},
    crypto::{SigningKey, Suite},
    time::{DAY, MINUTE, Month},
    wire::Wire,
};

use super::world::{By, TestClient, World, csr, dequeue, domain, refusal};
use crate::{
    op,
    record::{self, Client},
};

#[test]
fn a_renewed_client_goes_on_beyond_its_first_credential_and_keeps_its_queue() {
    let world = World::new();
    let mut client = world.register(1);
    world.pass(60 * DAY);

    let renewed = world.ask::<op::RenewCredential>(renewal(&world, &client), By::Client(&client)).unwrap();

    assert!(world.ask::<op::DequeueOffers>(dequeue(0, 0, 0), By::Client(&client)).is_ok(), "both are good");
    world.pass(60 * DAY);
    let refused = world.ask::<op::DequeueOffers>(dequeue(0, 0, 0), By::Client(&client)).err();
    assert_eq!(refused, Some(Reject::Unauthenticated), "it has ended");
    client.credential = renewed;
    assert!(world.ask::<op::DequeueOffers>(dequeue(0, 0, 0), By::Client(&client)).is_ok());
    world.pass(32 * DAY);
    assert!(!world.holds(&client.key.verifying_key().encode()));
}

#[test]
fn the_same_request_is_answered_with_the_same_credential() {
    let world = World::new();
    let client = world.register(1);
    world.pass(DAY);
    let request = renewal(&world, &client);
    let renewed = world.ask::<op::RenewCredential>(request.clone(), By::Client(&client)).unwrap();
    let before = world.store.dump();

    let again = world.ask::<op::RenewCredential>(request, By::Client(&client)).unwrap();

    assert_eq!(again, renewed);
    assert_eq!(world.store.dump(), before);
}

#[test]
fn renewal_keeps_client_and_key_and_never_shortens() {
    let world = World::new();
    let client = world.register(1);
    let other = world.register(2);
    world.pass(DAY);
    let ring = world.engine.ring();
    let key = SigningKey::generate(Suite::Ed25519, &mut world.chance());
    let ask = |csr: Csr| world.ask::<op::RenewCredential>(csr, By::Client(&client)).err();
    let mut shorter = renewal(&world, &client).payload;
    shorter.validity.not_after = client.credential.payload.validity.not_after - 1;
    let mut longer = renewal(&world, &client).payload;
    longer.validity.not_after += DAY;

    assert_eq!(ask(csr(client.id.clone(), &key, &ring.service, world.now())), Some(Reject::Malformed("key")));
    let others = csr(other.id, &client.key, &ring.service, world.now());
    assert_eq!(ask(others), Some(Reject::Malformed("client")));
    assert_eq!(ask(Csr::new(&client.key, shorter).unwrap()), Some(Reject::Malformed("validity")));
    assert_eq!(ask(Csr::new(&client.key, longer).unwrap()), Some(Reject::Malformed("validity")));
    let mut unsigned = renewal(&world, &client);
    unsigned.self_signature = Default::default();
    assert_eq!(ask(unsigned), Some(Reject::Unauthenticated));
    assert_eq!(ask(renewal(&world, &client)), None);
}

#[test]
fn three_earlier_credentials_are_remembered_and_a_fourth_waits_for_the_first_to_end() {
    let world = World::new();
    let mut client = world.register(1);
    let mut renew = |after: u64| {
        world.pass_unswept(after);
        let renewed = world.ask::<op::RenewCredential>(renewal(&world, &client), By::Client(&client));
        renewed.map(|credential| client.credential = credential)
    };
    for _ in 0..3 {
        renew(DAY).unwrap();
    }

    let refused = renew(DAY);

    assert_eq!(refused, Err(Reject::RateLimited(u32::try_from(86 * DAY + 1).unwrap())));
    assert_eq!(renew(86 * DAY), Err(Reject::RateLimited(1)));
    assert_eq!(renew(1), Ok(()));
}

#[test]
fn answers_that_were_lost_do_not_keep_a_client_from_its_renewal_and_all_of_them_are_revoked() {
    let world = World::new();
    let mut client = world.register(1);
    let renew = |client: &TestClient| {
        world.pass_unswept(DAY);
        world.ask::<op::RenewCredential>(renewal(&world, client), By::Client(client))
    };

    let lost = [(); 3].map(|()| renew(&client).unwrap());
    let answered = renew(&client).unwrap();

    assert_eq!(answered, lost[2], "no other can be given");
    client.credential = answered;
    assert!(matches!(renew(&client), Err(Reject::RateLimited(_))));
    let request = RemoveClientRequest { factor: world.factor(&client), client: client.id.client };
    world.ask::<op::RemoveClient>(request, By::Client(&client)).unwrap();
    let identity = world.ask::<op::AsCredentials>(Empty {}, By::Nobody).unwrap();
    let keys = AsKeys::verify(identity, &domain("alpha.test"), world.now()).unwrap();
    for credential in lost {
        assert!(keys.verify_chain(&credential, world.now()).is_err());
    }
}

#[test]
fn a_renewal_that_races_a_removal_is_refused_or_revoked_with_it() {
    for removal_first in [false, true] {
        let world = World::new();
        let client = world.register(1);
        let replicas = [world.engine.clone(), world.replica()];
        let remove = RemoveClientRequest { factor: world.factor(&client), client: client.id.client };
        let remove = world.call::<op::RemoveClient>(&remove, By::Client(&client), None);
        world.pass_unswept(MINUTE);
        let renew = world.call::<op::RenewCredential>(&renewal(&world, &client), By::Client(&client), None);

        let removing = replicas[0].call::<op::RemoveClient>(remove, Origin::default());
        let renewing = replicas[1].call::<op::RenewCredential>(renew, Origin::default());
        let (removed, renewed) = if removal_first {
            block_on(join(removing, renewing))
        } else {
            let (renewed, removed) = block_on(join(renewing, removing));
            (removed, renewed)
        };

        assert!(removed.is_ok());
        let identity = world.ask::<op::AsCredentials>(Empty {}, By::Nobody).unwrap();
        let keys = AsKeys::verify(identity, &domain("alpha.test"), world.now()).unwrap();
        assert!(keys.verify_chain(&client.credential, world.now()).is_err());
        match renewed.map_err(refusal) {
            Ok(renewed) => assert!(keys.verify_chain(&renewed, world.now()).is_err()),
            Err(reject) => assert_eq!(reject, Reject::Unauthenticated),
        }
    }
}

#[test]
fn a_sign_of_life_marks_the_month_and_nothing_finer() {
    let world = World::new();
    let client = world.register(1);
    let marked = |world: &World| {
        let dump = world.store.dump();
        let rows = dump.iter().flat_map(|(_, found)| &found.rows);
        let clients = rows.filter_map(|(_, row)| record::decode::<Client>(row).ok());
        clients.map(|client| client.activity).collect::<Vec<_>>()
    };
    assert_eq!(marked(&world), [Month::of(world.now())]);

    for _ in 0..3 {
        world.pass(31 * DAY / 2);
        world.factor(&client);
        assert_eq!(marked(&world), [Month::of(world.now())]);
    }
}

fn renewal(world: &World, client: &TestClient) -> Csr {
    csr(client.id.clone(), &client.key, &world.engine.ring().service, world.now())
}
