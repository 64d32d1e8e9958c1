//! Both ends of the ratchet.

use super::{NOW, entry, pair, push};
use crate::{
    api::queue::{EntryPayload, QueueEntry},
    crypto::{Chance, HpkeSecretKey, Suite},
    queue::{ClientRatchet, Head, QueuePolicy, RatchetError, RatchetPolicy},
    time::DAY,
    wire::{Opaque, Wire},
};

#[test]
fn every_entry_opens_once_and_in_order_through_updates_of_the_ratchet() {
    for suite in [Suite::Ed25519, Suite::P256] {
        let mut chance = Chance::from_seed([1; 32]);
        let (mut head, first, mut client) = pair(suite, &mut chance);
        let policy = QueuePolicy { ratchet: RatchetPolicy { entries: 3, seconds: DAY }, ..QueuePolicy::QS };
        assert_eq!(client.open(&first), Ok(None));

        let (mut seqs, mut updates) = (Vec::new(), 0);
        for number in 0..20_u8 {
            let (next, entries) = head.push(&entry(&[number]), &policy, NOW, &mut chance).unwrap();
            head = next;
            let opened: Vec<_> = entries.iter().filter_map(|entry| client.open(entry).unwrap()).collect();
            assert_eq!(opened, [entry(&[number])]);
            updates += entries.len() - 1;
            seqs.extend(entries.iter().map(|entry| entry.seq));
            // Both survive being stored.
            (head, client) =
                (Head::decode(&head.encode()).unwrap(), ClientRatchet::decode(&client.encode()).unwrap());
        }

        assert_eq!(updates, 6);
        assert_eq!(seqs, (1..=26).collect::<Vec<_>>());
        assert_eq!(head.next_seq(), client.next_seq());
    }
}

#[test]
fn after_a_day_with_traffic_a_fresh_secret_comes_in() {
    let mut chance = Chance::from_seed([1; 32]);
    let (head, _, _) = pair(Suite::Ed25519, &mut chance);
    let later = NOW.plus_secs(DAY);

    // Without traffic since the last one there is nothing to protect.
    let (head, quiet) = head.push(&entry(b"a"), &QueuePolicy::QS, later, &mut chance).unwrap();
    let (head, due) = head.push(&entry(b"b"), &QueuePolicy::QS, later, &mut chance).unwrap();
    let (_, again) = head.push(&entry(b"c"), &QueuePolicy::QS, later, &mut chance).unwrap();

    assert_eq!([quiet.len(), due.len(), again.len()], [1, 2, 1]);
    assert!(matches!(due[0].payload, EntryPayload::Ratchet(_)));
}

#[test]
fn a_record_tells_the_day_of_its_last_fresh_secret_and_nothing_finer() {
    let record = |later_s: u64| {
        let mut chance = Chance::from_seed([1; 32]);
        let key = HpkeSecretKey::generate(Suite::Ed25519, &mut chance);
        let begun = NOW.plus_secs(later_s);
        let (head, _) = Head::create(key.public_key().clone(), begun, &mut chance).unwrap();
        let (head, _) = head.push(&entry(b"a"), &QueuePolicy::QS, begun, &mut chance).unwrap();
        let next = begun.plus_secs(DAY);
        let (updated, entries) =
            head.clone().push(&entry(b"b"), &QueuePolicy::QS, next, &mut chance).unwrap();
        assert_eq!(entries.len(), 2);
        (head.encode(), updated.encode())
    };

    assert_eq!(record(0), record(3_600));
    assert_ne!(record(0).0, record(DAY).0);
}

#[test]
fn the_record_opens_nothing_stored_before_it_and_nothing_after_the_next_update() {
    let mut chance = Chance::from_seed([1; 32]);
    let (head, first, client) = pair(Suite::Ed25519, &mut chance);
    let policy = QueuePolicy { ratchet: RatchetPolicy { entries: 1, seconds: DAY }, ..QueuePolicy::QS };
    let (stolen, before) = head.push(&entry(b"a"), &policy, NOW, &mut chance).unwrap();
    let (_, after) = stolen.clone().push(&entry(b"b"), &policy, NOW, &mut chance).unwrap();

    // The thief has the ratchet key of the record, but not the queue key's secret half.
    let key = &stolen.encode()[2 + 1 + 32..][..32];
    let thief = |seq: u64| {
        let other = HpkeSecretKey::generate(Suite::Ed25519, &mut Chance::from_seed([9; 32]));
        let stored = [&other.encode()[..], &[1], key, &seq.to_be_bytes()].concat();
        ClientRatchet::decode(&stored).unwrap()
    };

    // Until the next update, it opens what comes; that is why updates come.
    let (_, without_update) = push(stolen.clone(), b"b", &mut chance);
    assert_eq!(thief(2).open(&without_update[0]), Ok(Some(entry(b"b"))));
    assert_eq!(thief(1).open(&before[0]), Err(RatchetError::Lost));
    assert_eq!(thief(2).open(&after[0]), Err(RatchetError::Lost));
    assert_eq!(thief(3).open(&after[1]), Err(RatchetError::Lost));
    let mut client = client;
    let all = [vec![first], before, after].concat();
    assert!(all.iter().all(|entry| client.open(entry).is_ok()));
}

#[test]
fn a_missing_changed_or_repeated_entry_is_an_error_and_changes_nothing() {
    let mut chance = Chance::from_seed([1; 32]);
    let (head, first, mut client) = pair(Suite::Ed25519, &mut chance);
    let (head, one) = push(head, b"one", &mut chance);
    let (_, two) = push(head, b"two", &mut chance);

    assert_eq!(client.open(&one[0]), Err(RatchetError::Lost));
    client.open(&first).unwrap();
    assert_eq!(client.open(&two[0]), Err(RatchetError::Lost));
    for tampered in tampered(&one[0]) {
        assert_eq!(client.open(&tampered), Err(RatchetError::Lost));
    }
    assert_eq!(client.open(&one[0]), Ok(Some(entry(b"one"))));
    assert_eq!(client.open(&one[0]), Err(RatchetError::Replayed));
    assert_eq!(client.open(&first), Err(RatchetError::Replayed));
    assert_eq!(client.open(&two[0]), Ok(Some(entry(b"two"))));
    let end = QueueEntry { seq: u64::MAX, ..two[0].clone() };
    assert_eq!(client.open(&end), Err(RatchetError::Malformed));
}

/// The entry with its number, its salt and each byte of its ciphertext changed.
fn tampered(entry: &QueueEntry) -> Vec<QueueEntry> {
    let EntryPayload::Message(sealed) = &entry.payload else { return Vec::new() };
    let mut all = vec![QueueEntry { seq: entry.seq + 1, ..entry.clone() }];
    let mut salted = sealed.clone();
    salted.salt[3] ^= 1;
    all.push(QueueEntry { payload: EntryPayload::Message(salted), ..entry.clone() });
    for at in 0..sealed.ciphertext.len() {
        let mut ciphertext = sealed.ciphertext.to_vec();
        ciphertext[at] ^= 0x80;
        let mut sealed = sealed.clone();
        sealed.ciphertext = Opaque::new(ciphertext).unwrap();
        all.push(QueueEntry { payload: EntryPayload::Message(sealed), ..entry.clone() });
    }
    all
}

#[test]
fn a_queue_that_begins_again_goes_on_with_the_old_client_and_with_a_new_one() {
    let mut chance = Chance::from_seed([1; 32]);
    let (head, first, mut client) = pair(Suite::Ed25519, &mut chance);
    client.open(&first).unwrap();
    let (head, _unread) = push(head, b"lost", &mut chance);
    let (same, skip) = (head.queue_key().clone(), 1 << 32);

    // A restore keeps the queue key; the client must not mix its old ratchet key in.
    let (head, key) = head.restart(same, skip, NOW, &mut chance).unwrap();
    assert_eq!((key.seq, head.gap_before()), (2 + skip, Some(2 + skip)));
    let (head, entries) = push(head, b"after", &mut chance);
    assert_eq!(client.open(&key), Ok(None));
    assert_eq!(client.open(&entries[0]), Ok(Some(entry(b"after"))));

    let new_key = HpkeSecretKey::generate(Suite::P256, &mut chance);
    let (head, key) = head.restart(new_key.public_key().clone(), 0, NOW, &mut chance).unwrap();
    let (_, entries) = push(head, b"new", &mut chance);
    let mut new_client = ClientRatchet::new(new_key);
    assert_eq!(client.open(&key), Err(RatchetError::Lost));
    assert_eq!(new_client.open(&key), Ok(None));
    assert_eq!(new_client.open(&entries[0]), Ok(Some(entry(b"new"))));
}

#[test]
fn sealed_entries_show_a_padded_length_only() {
    let mut chance = Chance::from_seed([1; 32]);
    let (mut head, ..) = pair(Suite::Ed25519, &mut chance);
    let mut lengths = Vec::new();
    for length in [0, 1, 100, 200] {
        let (next, entries) = push(head, &vec![1; length], &mut chance);
        head = next;
        lengths.extend(entries.iter().map(|entry| entry.encode().len()));
    }

    assert!(lengths.iter().all(|length| *length == lengths[0]));
}
