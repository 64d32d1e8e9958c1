//! Queues and packages of a store that was brought back from an older copy (09, "Restore").

use phoenix_core::{
    Generation,
    api::{
        federation::RecipientResult,
        queue::{DequeueRequest, EntryKind, EntryPayload, UpdateQsClientRequest},
    },
    operation::KeyRing,
    queue::ClientRatchet,
};

use super::{client::Client, update_client::nothing, world::Home};
use crate::{keys::QueueKeys, op::update_client::UpdateClient};

#[test]
fn a_queue_that_is_written_begins_again_behind_numbers_that_may_have_been_used() {
    // given a queue with two messages of before the copy
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    let config = client.config(&home, Some("alpha.test"));
    home.deliver(home.local(&[&config], "one"));
    assert_eq!(client.read_texts(&home), ["one"]);
    home.deliver(home.local(&[&config], "lost"));

    // when a message comes after a restore
    home.restored(1);
    home.deliver(home.local(&[&config], "two"));
    home.deliver(home.local(&[&config], "three"));

    // then it opens, and what is between is left out
    let request = DequeueRequest { from: 2, max: 500, ack_below: 2, wait_s: 0 };
    let reply = client.dequeue(&home, &request).unwrap();
    let first = 3 + (1 << 32);
    let seqs: Vec<_> = reply.entries.iter().map(|entry| entry.seq).collect();
    assert_eq!(seqs, [first, first + 1, first + 2, first + 3]);
    assert!(matches!(reply.entries[0].payload, EntryPayload::Ratchet(_)));
    assert_eq!(reply.gap_before, Some(first));
    let opened: Vec<_> =
        reply.entries.iter().filter_map(|entry| client.ratchet.open(entry).unwrap()).collect();
    assert_eq!(opened.iter().map(|entry| entry.kind).collect::<Vec<_>>()[..1], [EntryKind::PackagesLow]);
    assert_eq!([&opened[1].content[..], &opened[2].content[..]], [&b"two"[..], b"three"]);
}

#[test]
fn a_batch_takes_as_many_queues_also_where_all_of_them_begin_again() {
    let home = Home::alone();
    let mut clients: Vec<_> = (0..250).map(|seed| Client::at(&home, seed)).collect();
    let configs: Vec<_> = clients.iter_mut().map(|client| client.config(&home, Some("alpha.test"))).collect();
    home.restored(1);

    let results = home.deliver(home.local(&configs.iter().collect::<Vec<_>>(), &"x".repeat(21_300)));

    assert_eq!(results, [RecipientResult::Delivered; 250]);
    assert_eq!(clients.last_mut().unwrap().read(&home).len(), 2, "that packages are gone, and the message");
}

#[test]
fn a_queue_that_is_read_begins_again_once_also_for_who_has_read_on_since_the_copy() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    home.restored(1);

    // Of numbers that the copy knows nothing of.
    let ahead = DequeueRequest { from: 70, max: 500, ack_below: 70, wait_s: 0 };
    let replies = [client.dequeue(&home, &ahead).unwrap(), client.dequeue(&home, &ahead).unwrap()];

    assert_eq!(replies[0], replies[1]);
    let seqs: Vec<_> = replies[0].entries.iter().map(|entry| entry.seq).collect();
    assert_eq!(seqs, [1 + (1 << 32), 2 + (1 << 32)]);
    let told: Vec<_> = client.read(&home).into_iter().map(|entry| entry.kind).collect();
    assert_eq!(told, [EntryKind::PackagesLow]);
    assert_eq!(client.read(&home), []);
}

#[test]
fn each_restore_leaves_out_numbers_of_its_own_and_a_new_queue_begins_at_nought() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    // Twice from the same copy.
    home.restored(2);

    client.read(&home);

    assert_eq!(client.ratchet.next_seq(), 3 + (2 << 32));
    let mut new = Client::at(&home, 2);
    assert_eq!(new.read(&home), []);
    assert_eq!(new.ratchet.next_seq(), 1);
}

#[test]
fn a_queue_that_its_client_begins_again_leaves_them_out_as_well() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    home.restored(1);

    let key = client.queue_key.public_key().clone();
    let request = UpdateQsClientRequest { queue_key: Some(key), ..nothing() };
    client.as_client::<UpdateClient>(&home, &request, &[]).unwrap();
    client.ratchet = ClientRatchet::new(client.queue_key.clone());

    assert_eq!(client.read(&home).len(), 1);
    assert_eq!(client.ratchet.next_seq(), 3 + (1 << 32));
}

#[test]
fn packages_that_may_have_been_served_are_served_no_more_but_for_last_resort_ones() {
    let home = Home::alone();
    let mut client = Client::at(&home, 1);
    let request = client.publication(&home, 12, 1);
    client.publish(&home, &request).unwrap();
    home.restored(1);

    let served = [client.fetch(&home, 1).unwrap(), client.fetch(&home, 1).unwrap()];

    for served in served {
        assert_eq!(served.packages.to_vec(), request.last_resort.to_vec());
    }
    let told: Vec<_> = client.read(&home).into_iter().map(|entry| entry.kind).collect();
    assert_eq!(told, [EntryKind::PackagesLow], "once");
    let again = client.publication(&home, 12, 1);
    client.publish(&home, &again).unwrap();
    assert_eq!(client.fetch(&home, 1).unwrap().packages.to_vec(), again.packages[..1]);
}

impl Home {
    /// Its store is an older copy that was brought back, for so many times.
    fn restored(&self, times: u32) {
        let before = self.engine.ring();
        self.engine.rotate(KeyRing {
            tokens: before.tokens.clone(),
            at_rest: before.at_rest.clone(),
            generation: Generation(times),
            service: QueueKeys::decode(&before.service.encode()).unwrap(),
        });
    }
}
