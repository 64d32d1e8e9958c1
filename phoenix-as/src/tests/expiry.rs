//! Direct queues that nobody reads for long: those of aliases, which outlive their owners' last look.

use phoenix_core::{
    api::queue::{DequeueReply, EntryPayload, QueueEntry},
    port::Space,
    queue::ClientRatchet,
    time::DAY,
};

use super::{
    aliases::{NAME, Owner, enqueue},
    world::{By, World, dequeue},
};
use crate::{kinds::ALIAS_QUEUE, op};

#[test]
fn what_nobody_read_for_ninety_days_goes_and_the_queue_begins_again() {
    // given an alias with an offer of today, and one of 80 days later
    let (world, owner) = alias();
    let mut ratchet = ClientRatchet::new(owner.queue_key.clone());
    enqueue(&world, b"first").unwrap();
    world.pass_unswept(80 * DAY);
    enqueue(&world, b"second").unwrap();
    assert_eq!(read(&world, &owner, 0, 0).entries.len(), 4, "with two keys of the ratchet");

    // when the first one's month has been over for 90 days
    world.pass_unswept(41 * DAY);
    enqueue(&world, b"third").unwrap();

    // then what came is all there is, it opens, and what is gone is told
    let reply = read(&world, &owner, 0, 0);
    assert_eq!((reply.entries[0].seq, reply.gap_before), (4, Some(4)));
    let opened: Vec<_> = reply.entries.iter().filter_map(|entry| ratchet.open(entry).unwrap()).collect();
    assert_eq!(opened.iter().map(|entry| entry.content.as_slice()).collect::<Vec<_>>(), [b"third"]);
    assert_eq!(rows(&world), 3, "its head, the ratchet's new key, and the third");
}

#[test]
fn what_expires_goes_when_the_owner_reads_and_what_is_acknowledged_has_not_expired() {
    let [(late, lazy), (in_time, diligent)] = [alias(), alias()];
    for world in [&late, &in_time] {
        enqueue(world, b"offer").unwrap();
        world.pass_unswept(121 * DAY);
    }

    let missed = read(&late, &lazy, 0, 0);
    let nothing = read(&in_time, &diligent, 2, 2);

    assert!(matches!(missed.entries[..], [QueueEntry { seq: 2, payload: EntryPayload::Ratchet(_) }]));
    assert_eq!(missed.gap_before, Some(2));
    assert_eq!((nothing.entries.len(), nothing.gap_before), (0, None));
    assert_eq!((rows(&late), rows(&in_time)), (2, 1));
    assert_eq!(read(&late, &lazy, 0, 0), missed, "once");
}

#[test]
fn after_a_restore_the_queue_begins_again_behind_numbers_that_may_have_been_used() {
    // given an alias with an offer of before the copy
    let (world, owner) = alias();
    let mut ratchet = ClientRatchet::new(owner.queue_key.clone());
    enqueue(&world, b"first").unwrap();

    // when one comes after a restore
    world.restored(1);
    enqueue(&world, b"second").unwrap();

    // then it is all there is, also for who has read what the copy knows nothing of
    let reply = read(&world, &owner, 9, 9);
    let seqs: Vec<_> = reply.entries.iter().map(|entry| entry.seq).collect();
    let first = 2 + (1 << 32);
    assert_eq!((seqs, reply.gap_before), (vec![first, first + 1], Some(first)));
    let opened: Vec<_> = reply.entries.iter().filter_map(|entry| ratchet.open(entry).unwrap()).collect();
    assert_eq!(opened.iter().map(|entry| entry.content.as_slice()).collect::<Vec<_>>(), [b"second"]);
    assert_eq!(read(&world, &owner, 9, 9), reply, "once");
}

fn alias() -> (World, Owner) {
    let world = World::new();
    let owner = Owner::new(&world);
    owner.register(&world).unwrap();
    (world, owner)
}

fn read(world: &World, owner: &Owner, from: u64, ack_below: u64) -> DequeueReply {
    world.ask::<op::AliasDequeue>(dequeue(from, ack_below, 0), By::Alias(NAME, &owner.key)).unwrap()
}

/// Rows of the alias' queue: its head, and its entries.
fn rows(world: &World) -> usize {
    let is_queue = |key: &[u8]| key.first() == Some(&ALIAS_QUEUE);
    let all = world.store.dump().into_iter();
    all.filter(|(at, _)| at.space() == Space::As && is_queue(at.key()))
        .map(|(_, found)| found.rows.len())
        .sum()
}
