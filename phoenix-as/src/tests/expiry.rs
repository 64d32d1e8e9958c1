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
fn what_nobody_read_for_ninety_days_goes_and_younger_offers_open_without_it() {
    // given an alias with offers of three days of one month, and one of 80 days later
    let (world, owner) = alias();
    let mut ratchet = ClientRatchet::new(owner.queue_key.clone());
    for offer in [b"first", b"other", b"third"] {
        enqueue(&world, offer).unwrap();
        world.pass_unswept(DAY);
    }
    world.pass_unswept(77 * DAY);
    enqueue(&world, b"young").unwrap();
    assert_eq!(read(&world, &owner, 0, 0).entries.len(), 8, "with the ratchet's keys of four days");

    // when their month has been over for 90 days
    world.pass_unswept(41 * DAY);
    enqueue(&world, b"fresh").unwrap();

    // then those of later months are there and open, and what is gone is told
    let reply = read(&world, &owner, 0, 0);
    assert_eq!((reply.entries[0].seq, reply.gap_before), (6, Some(6)));
    let opened: Vec<_> = reply.entries.iter().filter_map(|entry| ratchet.open(entry).unwrap()).collect();
    let opened: Vec<_> = opened.iter().map(|entry| entry.content.as_slice()).collect();
    assert_eq!(opened, [b"young", b"fresh"]);
    assert_eq!(rows(&world), 5, "its head, and each month's key and offer");
    assert_eq!(read(&world, &owner, 10, 10).gap_before, None);
}

#[test]
fn who_has_read_some_of_a_month_that_expires_opens_the_next_one() {
    // given an owner that has read the first of two offers of one month
    let (world, owner) = alias();
    let mut ratchet = ClientRatchet::new(owner.queue_key.clone());
    enqueue(&world, b"first").unwrap();
    read(&world, &owner, 0, 0).entries.iter().for_each(|entry| drop(ratchet.open(entry).unwrap()));
    enqueue(&world, b"other").unwrap();

    // when one comes in a later month, and the second of them expires
    world.pass_unswept(80 * DAY);
    enqueue(&world, b"young").unwrap();
    world.pass_unswept(41 * DAY);
    let reply = read(&world, &owner, 2, 2);

    // then the later one opens
    assert_eq!(reply.gap_before, Some(3));
    let opened: Vec<_> = reply.entries.iter().filter_map(|entry| ratchet.open(entry).unwrap()).collect();
    assert_eq!(opened.iter().map(|entry| entry.content.as_slice()).collect::<Vec<_>>(), [b"young"]);
    assert_eq!(rows(&world), 3, "its head, the month's key, and the offer");
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
