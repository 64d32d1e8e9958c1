//! Clients that have ended, before an alarm has rung.

use futures::{FutureExt, executor::block_on};
use phoenix_core::{
    Origin, Reject,
    api::auth::{DeleteUserRequest, EnqueueOfferRequest, PublishPackagesRequest},
    credential::ConnectionPackage,
    port::{Alarm, Base, Batch, Commit, Mark, Part, PartitionKey, Space, Store, Write},
    time::DAY,
    wire::{List, Opaque, Wire},
};

use super::world::{By, TestClient, World, csr, refusal};
use crate::{kinds, op};

#[test]
fn a_client_that_has_ended_gets_no_offers() {
    let world = World::new();
    let client = world.register(1);
    let offer = || {
        let ciphertext = Opaque::new(b"offer".to_vec()).unwrap();
        let request = EnqueueOfferRequest { to: client.id.clone(), ciphertext };
        world.ask::<op::EnqueueOffer>(request, By::Nobody).map(|_| ())
    };

    world.pass_unswept(90 * DAY);
    assert_eq!(offer(), Ok(()), "its last second");
    world.pass_unswept(1);
    assert_eq!(offer(), Err(Reject::NotFound));
}

#[test]
fn what_is_left_of_a_client_that_makes_room_goes_with_it() {
    let world = World::new();
    let old = world.register(1);
    publish(&world, &old);
    world.pass_unswept(91 * DAY);

    let new = world.add(&old.id.user, 2);

    assert!(!world.holds(&old.key.verifying_key().encode()) && !world.holds(old.id.client.as_bytes()));
    let request = DeleteUserRequest { factor: world.factor(&new), domains: List::default() };
    world.ask::<op::DeleteUser>(request, By::Client(&new)).unwrap();
    assert!(!world.holds(old.id.user.uuid.as_bytes()));
}

#[test]
fn a_client_that_is_renewed_while_another_takes_its_place_is_no_more() {
    let world = World::new();
    let old = world.register(1);
    let replica = world.replica();
    world.pass_unswept(90 * DAY);
    let adding = world.begin_adding(&old.id.user, 2);
    let request = csr(old.id.clone(), &old.key, &world.engine.ring().service, world.now());
    let renew = world.call::<op::RenewCredential>(&request, By::Client(&old), None);

    // It is read in its last second, and taken away in the next.
    let mut renewing = Box::pin(replica.call::<op::RenewCredential>(renew, Origin::default()));
    assert!((&mut renewing).now_or_never().is_none());
    world.pass_unswept(1);
    assert!(world.finish_adding(&adding).is_ok());
    let renewed = block_on(renewing).map_err(refusal);

    assert_eq!(renewed, Err(Reject::Unauthenticated));
    assert!(!world.holds(&old.key.verifying_key().encode()));
}

#[test]
fn who_takes_the_id_of_a_client_that_has_ended_finds_nothing_of_it() {
    let world = World::new();
    let old = world.register(1);
    publish(&world, &old);
    for _ in 0..10 {
        world.factor_with(&old, b"wrong").unwrap();
    }
    // Of all that is the client's, its record went first.
    drop_record(&world, &old);

    let new = world.add(&old.id.user, old.id.client.as_bytes()[0]);

    assert_eq!(new.id, old.id);
    let taken = world.ask::<op::GetConnectionPackage>(new.id.user.clone(), By::Nobody);
    assert_eq!(taken.err(), Some(Reject::NotFound), "they were for another key");
    assert!(world.factor_with(&new, b"wrong").is_ok(), "another tried that often");
}

fn publish(world: &World, client: &TestClient) {
    let package =
        ConnectionPackage::sign(world.payload(DAY), client.credential.clone(), &client.key).unwrap();
    let request = PublishPackagesRequest { packages: List::new(vec![package]).unwrap() };
    world.ask::<op::PublishConnectionPackages>(request, By::Client(client)).unwrap();
}

fn drop_record(world: &World, client: &TestClient) {
    let at = kinds::client(&client.id);
    let part = Part {
        partition: PartitionKey::new(Space::As, at.name().clone()),
        base: Base::Any,
        mark: Mark([0; 16]),
        writes: vec![Write::Drop],
        alarm: Alarm::Never,
    };
    assert_eq!(block_on(world.store.commit(&Batch { parts: vec![part] })), Ok(Commit::Done));
}
