//! Full queues, acknowledgements, gaps, and answers to `dequeue`.

use super::{NOW, entry, pair, push};
use crate::{
    Reject,
    api::queue::{DequeueRequest, EntryPayload, QueueEntry, SealedEntry},
    crypto::{Chance, Suite},
    queue::{Head, MAX_REPLY_BYTES, QueuePolicy, check_dequeue, row_key},
    wire::Opaque,
};

#[test]
fn a_full_queue_takes_the_number_stores_nothing_and_its_client_goes_on_behind_the_gap() {
    let mut chance = Chance::from_seed([1; 32]);
    let policy = QueuePolicy { max_entries: 3, ..QueuePolicy::QS };
    let (mut head, first, mut client) = pair(Suite::Ed25519, &mut chance);
    let mut stored = vec![first];
    for number in 0..4 {
        let (next, entries) = head.push(&entry(&[number]), &policy, NOW, &mut chance).unwrap();
        head = next;
        stored.extend(entries);
    }
    assert_eq!((stored.len(), head.length(), head.next_seq(), head.gap_before()), (3, 3, 5, Some(5)));

    let head = head.acknowledge(2);
    assert_eq!(head.gap_before(), Some(5));
    let (head, entries) = head.push(&entry(b"late"), &policy, NOW, &mut chance).unwrap();
    stored.extend(entries);

    let opened: Vec<_> = stored.iter().map(|entry| client.open(entry)).collect();
    assert_eq!(opened, [Ok(None), Ok(Some(entry(&[0]))), Ok(Some(entry(&[1]))), Ok(Some(entry(b"late")))]);
    assert_eq!(client.next_seq(), 6);
    assert_eq!(head.acknowledge(6).gap_before(), None);
}

#[test]
fn a_queue_that_was_full_again_and_again_stores_no_more_than_its_bound() {
    // given a queue that fills up behind what its owner reads, many times over
    let mut chance = Chance::from_seed([1; 32]);
    let policy = QueuePolicy { max_entries: 3, ..QueuePolicy::QS };
    let (mut head, first, _) = pair(Suite::Ed25519, &mut chance);
    let mut stored = vec![first.seq];
    for round in 0..40_u64 {
        for _ in 0..=round % 5 {
            let (next, entries) = head.push(&entry(b"x"), &policy, NOW, &mut chance).unwrap();
            head = next;
            stored.extend(entries.iter().map(|entry| entry.seq));
            // then it knows how many it has, or takes them for more
            assert!(head.length() >= stored.len() as u64, "{} of {stored:?}", head.length());
            assert!(stored.len() <= 4, "{stored:?}");
        }
        // when its owner reads one, two or three of them
        let read = stored.len().min(usize::try_from(round % 3).unwrap() + 1);
        if let Some(last) = stored.drain(..read).next_back() {
            head = head.acknowledge(last + 1);
        }
    }

    // and whoever reads all has room for as many again
    let next = head.next_seq();
    let head = head.acknowledge(next);
    assert_eq!((head.length(), head.gap_before()), (0, None));
}

#[test]
fn a_full_direct_queue_refuses() {
    let mut chance = Chance::from_seed([1; 32]);
    let policy = QueuePolicy { max_entries: 1, ..QueuePolicy::DIRECT };
    let (head, ..) = pair(Suite::Ed25519, &mut chance);

    let refused = head.clone().push(&entry(b"x"), &policy, NOW, &mut chance);

    assert!(matches!(refused, Err(Reject::RateLimited(_))));
    assert!(head.acknowledge(1).push(&entry(b"x"), &policy, NOW, &mut chance).is_ok());
}

#[test]
fn bytes_count_and_are_free_again_when_acknowledged() {
    let mut chance = Chance::from_seed([1; 32]);
    let policy = QueuePolicy { max_bytes: 3_000, ..QueuePolicy::DIRECT };
    let (mut head, ..) = pair(Suite::Ed25519, &mut chance);
    let mut pushed = 0;
    while let Ok((next, _)) = head.clone().push(&entry(&[0; 700]), &policy, NOW, &mut chance) {
        head = next;
        pushed += 1;
    }

    assert_eq!(pushed, 4);
    let head = head.acknowledge(u64::MAX);
    assert_eq!((head.length(), head.first_seq()), (0, head.next_seq()));
    assert!(head.push(&entry(&[0; 700]), &policy, NOW, &mut chance).is_ok());
}

#[test]
fn what_expires_unread_is_told_as_a_gap_and_acknowledging_goes_forward_only() {
    let mut chance = Chance::from_seed([1; 32]);
    let (head, ..) = pair(Suite::Ed25519, &mut chance);
    let (head, _) = push(head, b"a", &mut chance);
    let (head, _) = push(head, b"b", &mut chance);

    let head = head.expire(2);
    assert_eq!((head.first_seq(), head.gap_before(), head.length()), (2, Some(2), 1));
    assert_eq!(head.clone().acknowledge(1), head);
    assert_eq!(head.acknowledge(3).gap_before(), None);
}

#[test]
fn a_request_out_of_its_bounds_is_refused_by_name() {
    let good = DequeueRequest { from: 5, max: 500, ack_below: 5, wait_s: 30 };

    assert_eq!(check_dequeue(&good), Ok(()));
    for (request, field) in [
        (DequeueRequest { max: 0, ..good }, "max"),
        (DequeueRequest { max: 501, ..good }, "max"),
        (DequeueRequest { ack_below: 6, ..good }, "ack_below"),
        (DequeueRequest { wait_s: 31, ..good }, "wait_s"),
    ] {
        assert_eq!(check_dequeue(&request), Err(Reject::Malformed(field)));
    }
}

#[test]
fn an_answer_holds_what_was_asked_for_and_fits_and_tells_what_remains() {
    let mut chance = Chance::from_seed([1; 32]);
    let (mut head, ..) = pair(Suite::Ed25519, &mut chance);
    for _ in 0..4 {
        head = push(head, b"x", &mut chance).0;
    }
    let request = |max| DequeueRequest { from: 1, max, ack_below: 0, wait_s: 0 };
    let sized = |size: usize| (1..5).map(|seq| sealed(seq, size)).collect::<Vec<_>>();
    let told = |head: &Head, max, entries| {
        let reply = head.reply(&request(max), entries).unwrap();
        (reply.entries.len(), reply.remaining, reply.gap_before)
    };

    assert_eq!(told(&head, 2, sized(10)), (2, 2, None));
    assert_eq!(told(&head, 500, sized(10)), (4, 0, None));
    assert_eq!(told(&head, 500, sized(MAX_REPLY_BYTES / 2 - 100)), (2, 2, None));
    assert_eq!(told(&head, 500, vec![]), (0, 4, None));
    assert_eq!(told(&head.expire(3), 500, vec![sealed(3, 10), sealed(4, 10)]), (2, 0, Some(3)));
}

fn sealed(seq: u64, size: usize) -> QueueEntry {
    let ciphertext = Opaque::new(vec![0; size]).unwrap();
    QueueEntry { seq, payload: EntryPayload::Message(SealedEntry { salt: [0; 16], ciphertext }) }
}

#[test]
fn the_largest_content_fits_and_a_larger_one_is_refused() {
    let mut chance = Chance::from_seed([1; 32]);
    let (head, first, mut client) = pair(Suite::Ed25519, &mut chance);
    client.open(&first).unwrap();
    let largest = entry(&vec![1; crate::queue::MAX_CONTENT]);

    let (head, entries) = head.push(&largest, &QueuePolicy::QS, NOW, &mut chance).unwrap();

    assert_eq!(client.open(&entries[0]), Ok(Some(largest)));
    let larger = entry(&vec![1; (2 << 20) - 10]);
    assert!(matches!(head.push(&larger, &QueuePolicy::QS, NOW, &mut chance), Err(Reject::TooLarge(_))));
}

#[test]
fn rows_stand_in_the_order_of_their_numbers() {
    let keys = [0, 1, 255, 256, 1 << 32, u64::MAX].map(row_key);

    assert!(keys.is_sorted());
}
