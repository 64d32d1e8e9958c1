use futures::{FutureExt, executor::block_on};
use phoenix_core::{
    ClientId, Origin, Reject,
    api::{
        Empty,
        auth::EnqueueOfferRequest,
        queue::{DequeueReply, DequeueRequest, EntryKind, EntryPayload},
    },
    queue::{ClientRatchet, QueuePolicy},
    token::Class,
    wire::Opaque,
};

use super::world::{By, TestClient, World, client_id, dequeue};
use crate::{AuthSettings, op};

#[test]
fn offers_arrive_in_order_sealed_for_their_client() {
    let world = World::new();
    let bob = world.register(1);
    let offers: [&[u8]; 3] = [b"a first sealed offer", b"a second sealed offer", b"a third sealed offer"];
    for offer in offers {
        assert_eq!(enqueue(&world, &bob.id, offer), Ok(Empty {}));
    }

    let reply = read(&world, &bob, dequeue(0, 0, 0)).unwrap();

    let mut ratchet = ClientRatchet::new(bob.queue_key);
    let opened: Vec<_> = reply.entries.iter().filter_map(|entry| ratchet.open(entry).unwrap()).collect();
    assert!(opened.iter().all(|entry| entry.kind == EntryKind::Direct));
    assert_eq!(opened.iter().map(|entry| entry.content.as_slice()).collect::<Vec<_>>(), offers);
    assert_eq!((reply.entries.len(), reply.remaining, reply.gap_before), (4, 0, None));
    assert!(offers.iter().all(|offer| !world.holds(offer)));
}

#[test]
fn reading_deletes_nothing_and_acknowledging_does() {
    let world = World::new();
    let bob = world.register(1);
    (0..3).for_each(|_| assert_eq!(enqueue(&world, &bob.id, b"offer"), Ok(Empty {})));
    let numbers = |request| {
        let reply = read(&world, &bob, request).unwrap();
        reply.entries.iter().map(|entry| entry.seq).collect::<Vec<_>>()
    };

    assert_eq!(numbers(dequeue(0, 0, 0)), [0, 1, 2, 3]);
    assert_eq!(numbers(dequeue(0, 0, 0)), [0, 1, 2, 3]);
    assert_eq!(numbers(dequeue(2, 2, 0)), [2, 3]);
    assert_eq!(numbers(dequeue(0, 0, 0)), [2, 3]);
    assert_eq!(numbers(dequeue(4, 4, 0)), [0_u64; 0]);
    enqueue(&world, &bob.id, b"offer").unwrap();
    assert_eq!(numbers(dequeue(4, 4, 0)), [4], "numbers do not repeat");
}

#[test]
fn a_page_says_how_many_entries_wait_behind_it() {
    let world = World::new();
    let bob = world.register(1);
    (0..80).for_each(|_| assert_eq!(enqueue(&world, &bob.id, b"offer"), Ok(Empty {})));

    let page = read(&world, &bob, dequeue(0, 0, 0)).unwrap();
    let few = read(&world, &bob, DequeueRequest { from: 10, max: 3, ack_below: 0, wait_s: 0 }).unwrap();

    assert_eq!((page.entries.len(), page.remaining), (64, 17));
    assert_eq!((few.entries.len(), few.remaining), (3, 68));
    let rest = read(&world, &bob, dequeue(64, 64, 0)).unwrap();
    assert_eq!((rest.entries.len(), rest.remaining), (17, 0));
}

#[test]
fn a_reader_waits_for_an_offer_and_is_woken_by_it() {
    let world = World::new();
    let bob = world.register(1);
    let call = world.call::<op::DequeueOffers>(&dequeue(1, 1, 30), By::Client(&bob), None);
    let token = world.token(Class::Contact);
    let offer = world.call::<op::EnqueueOffer>(&offer_to(&bob.id, b"offer"), By::Nobody, Some(token));

    let reply = block_on(async {
        let mut reading = Box::pin(world.engine.call::<op::DequeueOffers>(call, Origin::default()));
        assert!((&mut reading).now_or_never().is_none(), "nothing is there yet");
        world.engine.call::<op::EnqueueOffer>(offer, Origin::default()).await.unwrap();
        reading.await.unwrap()
    });

    assert_eq!(reply.entries.len(), 1);
    assert!(matches!(reply.entries[0].payload, EntryPayload::Message(_)));
    assert_eq!(world.clock.elapsed_s(), 0);
}

#[test]
fn a_reader_waits_no_longer_than_it_said() {
    let world = World::new();
    let bob = world.register(1);

    let reply = read(&world, &bob, dequeue(1, 0, 20)).unwrap();

    assert!(reply.entries.is_empty());
    assert_eq!(world.clock.elapsed_s(), 20);
}

#[test]
fn a_reader_from_below_the_first_entry_gets_what_is_there() {
    let world = World::new();
    let bob = world.register(1);
    (0..70).for_each(|_| assert_eq!(enqueue(&world, &bob.id, b"offer"), Ok(Empty {})));
    read(&world, &bob, dequeue(68, 68, 0)).unwrap();

    let reply = read(&world, &bob, dequeue(0, 0, 30)).unwrap();

    assert_eq!(reply.entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [68, 69, 70]);
    assert_eq!((reply.remaining, world.clock.elapsed_s()), (0, 0));
}

#[test]
fn a_reader_from_below_waits_where_nothing_is_left() {
    let world = World::new();
    let bob = world.register(1);
    (0..3).for_each(|_| assert_eq!(enqueue(&world, &bob.id, b"offer"), Ok(Empty {})));
    read(&world, &bob, dequeue(4, 4, 0)).unwrap();

    let reply = read(&world, &bob, dequeue(0, 0, 20)).unwrap();

    assert_eq!((reply.entries.len(), reply.remaining), (0, 0));
    assert_eq!(world.clock.elapsed_s(), 20);
}

#[test]
fn a_full_queue_refuses_until_its_owner_has_read() {
    let queue = QueuePolicy { max_entries: 3, ..QueuePolicy::DIRECT };
    let world = World::with(AuthSettings { queue, ..AuthSettings::default() });
    let bob = world.register(1);
    (0..2).for_each(|_| assert_eq!(enqueue(&world, &bob.id, b"offer"), Ok(Empty {})));

    let refused = enqueue(&world, &bob.id, b"offer");
    read(&world, &bob, dequeue(3, 3, 0)).unwrap();

    assert!(matches!(refused, Err(Reject::RateLimited(_))));
    assert_eq!(enqueue(&world, &bob.id, b"offer"), Ok(Empty {}));
}

#[test]
fn a_client_that_is_not_here_gets_no_offers() {
    let world = World::new();
    let bob = world.register(1);
    let other_client = ClientId { client: phoenix_core::Uuid([9; 16]), ..bob.id };

    for to in [other_client, client_id(2, "alpha.test"), client_id(1, "beta.test")] {
        assert_eq!(enqueue(&world, &to, b"offer"), Err(Reject::NotFound));
    }
}

#[test]
fn requests_out_of_bounds_are_refused() {
    let world = World::new();
    let bob = world.register(1);
    let request = dequeue(0, 0, 0);

    assert_eq!(
        read(&world, &bob, DequeueRequest { max: 0, ..request.clone() }),
        Err(Reject::Malformed("max"))
    );
    assert_eq!(
        read(&world, &bob, DequeueRequest { max: 501, ..request.clone() }),
        Err(Reject::Malformed("max"))
    );
    assert_eq!(read(&world, &bob, dequeue(1, 2, 0)), Err(Reject::Malformed("ack_below")));
    assert_eq!(read(&world, &bob, dequeue(0, 0, 31)), Err(Reject::Malformed("wait_s")));
    let far = read(&world, &bob, dequeue(u64::MAX, u64::MAX, 0)).unwrap();
    assert!(far.entries.is_empty());
}

#[test]
fn a_queue_is_read_by_its_owner_only() {
    let world = World::new();
    let (alice, bob) = (world.register(1), world.register(2));
    let thief = TestClient { key: alice.key.clone(), ..bob.clone() };
    let forged = TestClient { credential: alice.credential, ..bob.clone() };

    assert_eq!(read(&world, &thief, dequeue(0, 0, 0)), Err(Reject::Unauthenticated));
    assert_eq!(read(&world, &forged, dequeue(0, 0, 0)), Err(Reject::Unauthenticated));
    assert_eq!(read(&world, &world.stranger(2), dequeue(0, 0, 0)), Err(Reject::Forbidden));
    assert_eq!(world.ask::<op::DequeueOffers>(dequeue(0, 0, 0), By::Nobody), Err(Reject::Unauthenticated));
    assert_eq!(
        world.ask::<op::DequeueOffers>(dequeue(0, 0, 0), By::Key(&bob.key)),
        Err(Reject::Unauthenticated)
    );
}

fn enqueue(world: &World, to: &ClientId, offer: &[u8]) -> Result<Empty, Reject> {
    world.ask::<op::EnqueueOffer>(offer_to(to, offer), By::Nobody)
}

fn offer_to(to: &ClientId, offer: &[u8]) -> EnqueueOfferRequest {
    EnqueueOfferRequest { to: to.clone(), ciphertext: Opaque::new(offer.to_vec()).unwrap() }
}

fn read(world: &World, by: &TestClient, request: DequeueRequest) -> Result<DequeueReply, Reject> {
    world.ask::<op::DequeueOffers>(request, By::Client(by))
}
