//! A queue and its client's ratchet, side by side.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)] // a test may fail loudly

mod bounds;
mod pair;

use super::{ClientRatchet, Head, QueuePolicy};
use crate::{
    ConfigId, Timestamp,
    api::queue::{Entry, EntryKind, NotifyClass, QueueEntry},
    crypto::{Chance, HpkeSecretKey, Suite},
    wire::Opaque,
};

const NOW: Timestamp = Timestamp::from_secs(1_000_000);

/// A fresh queue, its first entry, and its client.
fn pair(suite: Suite, chance: &mut Chance) -> (Head, QueueEntry, ClientRatchet) {
    let key = HpkeSecretKey::generate(suite, chance);
    let (head, first) = Head::create(key.public_key().clone(), NOW, chance).unwrap();
    (head, first, ClientRatchet::new(key))
}

fn entry(content: &[u8]) -> Entry {
    Entry {
        kind: EntryKind::FanOut,
        config: ConfigId([5; 16]),
        notify: NotifyClass::Normal,
        accepted_at: 7,
        content: Opaque::new(content.to_vec()).unwrap(),
    }
}

fn push(head: Head, content: &[u8], chance: &mut Chance) -> (Head, Vec<QueueEntry>) {
    head.push(&entry(content), &QueuePolicy::QS, NOW, chance).unwrap()
}
