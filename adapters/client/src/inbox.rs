//! One queue, as its owner reads it (06, "Queue").

use phoenix_core::{
    api::queue::{DequeueReply, DequeueRequest, Entry},
    crypto::{HpkePublicKey, HpkeSecretKey},
    queue::{ClientRatchet, RatchetError},
    wire::Flag,
};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use crate::{settings::Acknowledge, table::Table};

/// A queue's ratchet, and what was read from it and not dealt with yet.
#[derive(Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct Inbox {
    ratchet: ClientRatchet,
    /// Below it, all entries stand in a state that was saved.
    saved: u64,
    /// Below it, all entries stand in the state that was written last, be it safe or not.
    #[tls_codec(skip)]
    exported: u64,
    /// Opened entries by their number, until what they are about could be done.
    pub(crate) waiting: Table<u64, Entry>,
    /// Below it, it was told already that entries are missing: a gap that is far ahead is named on each page until the
    /// reader has come there.
    told_gap: u64,
    /// Whether an entry was opened since: where none was, more is missing of what is missing anyway.
    has_moved: Flag,
}

/// What came of reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Read {
    /// How many entries wait behind those read.
    pub(crate) remaining: u32,
    /// Whether entries are missing, and it was not told before.
    pub(crate) gap: bool,
    /// Whether nothing from here on can be opened, as it came: it may have been changed on its way, and is no gap before
    /// the queue begins again.
    pub(crate) lost: bool,
}

impl Inbox {
    /// The inbox of a queue that is made with the public half of the key.
    pub(crate) fn new(key: HpkeSecretKey) -> Self {
        Self {
            ratchet: ClientRatchet::new(key),
            saved: 0,
            exported: 0,
            waiting: Table::default(),
            told_gap: 0,
            has_moved: Flag::Yes,
        }
    }

    /// The key that the queue is made with.
    pub(crate) fn key(&self) -> &HpkePublicKey {
        self.ratchet.queue_key()
    }

    /// Asks for what was not read yet, and acknowledges what was.
    pub(crate) fn request(&self, acknowledge: Acknowledge, wait_s: u8) -> DequeueRequest {
        let from = self.ratchet.next_seq();
        let ack_below = match acknowledge {
            Acknowledge::Processed => from,
            Acknowledge::Saved => self.saved.min(from),
        };
        DequeueRequest { from, max: PAGE, ack_below, wait_s: wait_s.min(MAX_WAIT_S) }
    }

    /// Opens what was read. Entries that were read before change nothing; nothing behind one that does not open is
    /// looked at.
    pub(crate) fn take(&mut self, reply: &DequeueReply) -> Read {
        // Below it, entries are missing.
        let mut gap = reply.gap_before.filter(|gap| *gap > self.ratchet.next_seq());
        let mut lost = false;
        for entry in &reply.entries {
            let skipped = Some(entry.seq).filter(|seq| *seq > self.ratchet.next_seq());
            let begins = self.begins_again();
            match self.ratchet.open(entry) {
                Ok(opened) => {
                    self.has_moved = (self.has_moved.is_set() || begins || opened.is_some()).into();
                    self.waiting.extend(opened.map(|opened| (entry.seq, opened)));
                    if begins {
                        // All that is missing before it is known, and nothing of what is behind it.
                        self.told_gap = self.told_gap.max(entry.seq);
                    } else {
                        gap = gap.max(skipped);
                    }
                }
                Err(RatchetError::Replayed) => {}
                Err(RatchetError::Malformed) => gap = gap.max(Some(entry.seq.saturating_add(1))),
                Err(RatchetError::Lost) => {
                    lost = true;
                    break;
                }
            }
        }
        let news = gap.filter(|gap| *gap > self.told_gap && self.has_moved.is_set());
        if let Some(gap) = news {
            (self.told_gap, self.has_moved) = (gap, Flag::No);
        }
        Read { remaining: reply.remaining, gap: news.is_some(), lost }
    }

    /// Whether all that was read was dealt with, and acknowledging it loses nothing.
    pub(crate) fn is_done(&self, acknowledge: Acknowledge) -> bool {
        self.waiting.is_empty() && self.request(acknowledge, 0).ack_below == self.next_seq()
    }

    /// The queue begins again with another key, at whichever number: what was read stays. That entries are missing until
    /// then is known.
    pub(crate) fn begin_again(&mut self, key: HpkeSecretKey) {
        self.ratchet = ClientRatchet::new(key);
        (self.told_gap, self.has_moved) = (0, Flag::No);
    }

    /// Whether the next entry is the first one of a queue of which it is known that entries are missing before it.
    fn begins_again(&self) -> bool {
        self.ratchet.next_seq() == 0 && !self.has_moved.is_set()
    }

    /// Opens what this inbox would open, for tests that stand in its QS's place.
    #[cfg(test)]
    pub(crate) fn twin(&self) -> ClientRatchet {
        self.ratchet.clone()
    }

    /// Loses what opens the next entries, for tests.
    #[cfg(test)]
    pub(crate) fn lose_ratchet(&mut self) {
        let seed = [4; 32];
        let (suite, chance) = (self.key().suite, &mut phoenix_core::crypto::Chance::from_seed(seed));
        self.ratchet = ClientRatchet::new(HpkeSecretKey::generate(suite, chance));
    }

    /// The number of the next entry.
    pub(crate) const fn next_seq(&self) -> u64 {
        self.ratchet.next_seq()
    }

    /// The state that holds all that was read is being written.
    pub(crate) const fn mark_exported(&mut self) {
        self.exported = self.ratchet.next_seq();
    }

    /// The state that was written last is safe.
    pub(crate) const fn confirm_export(&mut self) {
        self.saved = self.exported;
    }
}

/// Entries in one answer: some hundred kilobytes as a rule.
const PAGE: u16 = 200;
/// Longest wait (06).
const MAX_WAIT_S: u8 = 30;

#[cfg(test)]
mod tests {
    use phoenix_core::{
        ConfigId, Timestamp,
        api::queue::{DequeueReply, Entry, EntryKind, NotifyClass, QueueEntry},
        crypto::{Chance, HpkeSecretKey, Suite},
        queue::{Head, QueuePolicy},
        wire::{List, Opaque},
    };

    use super::Inbox;

    #[test]
    fn a_gap_that_each_page_repeats_is_told_once_and_a_further_one_again() {
        let (mut inbox, entries) = full_inbox(7);
        let page = |range: std::ops::Range<usize>, gap_before| DequeueReply {
            entries: List::new(entries[range].to_vec()).expect("few"),
            remaining: 1,
            gap_before,
        };
        let mut told = Vec::new();

        for (range, gap) in [(0..2, Some(900)), (2..4, Some(900)), (4..6, Some(900)), (6..8, Some(901))] {
            told.push(inbox.take(&page(range, gap)).gap);
        }

        assert_eq!(told, [true, false, false, true]);
        assert_eq!((inbox.next_seq(), inbox.waiting.len()), (8, 7));
    }

    #[test]
    fn an_entry_that_does_not_open_is_no_gap_before_the_queue_begins_again() {
        let (mut inbox, entries) = full_inbox(1);
        let reply = DequeueReply {
            entries: List::new(entries[1..].to_vec()).expect("few"),
            remaining: 0,
            gap_before: None,
        };

        let read = [inbox.take(&reply), inbox.take(&reply)];

        // The key entry before it is missing.
        assert_eq!(read.map(|read| (read.gap, read.lost)), [(false, true); 2]);
    }

    #[test]
    fn gaps_that_only_grow_while_nothing_comes_are_told_once() {
        let (mut inbox, _) = full_inbox(0);

        let told = [5, 6, 7].map(|gap| {
            let reply = DequeueReply { entries: List::default(), remaining: 0, gap_before: Some(gap) };
            inbox.take(&reply).gap
        });

        assert_eq!(told, [true, false, false]);
    }

    #[test]
    fn of_a_queue_that_began_again_what_is_missing_before_its_key_is_known_and_what_is_behind_is_told() {
        for (gap_before, is_told) in [(Some(3), false), (Some(7), true)] {
            // given a queue that began again at its fourth entry
            let (mut inbox, _) = full_inbox(2);
            let mut chance = Chance::from_seed([8; 32]);
            let key = HpkeSecretKey::generate(Suite::Ed25519, &mut chance);
            inbox.begin_again(key.clone());
            let head = Head::create(key.public_key().clone(), Timestamp(0), &mut chance).expect("a queue").0;
            let jump = 3 - head.next_seq();
            let restarted = head.restart(key.public_key().clone(), jump, Timestamp(0), &mut chance);

            // when its key is read, and what is missing
            let (_, first) = restarted.expect("a queue");
            let page = |entries: &[QueueEntry]| DequeueReply {
                entries: List::new(entries.to_vec()).expect("few"),
                remaining: 0,
                gap_before,
            };
            let read = [inbox.take(&page(&[first])), inbox.take(&page(&[]))];

            // then what is missing behind the key is told, once
            assert_eq!(read.map(|read| read.gap), [is_told, false]);
            assert_eq!(inbox.next_seq(), 4);
        }
    }

    /// An inbox that has read nothing, and its queue's entries: the key, and so many messages.
    fn full_inbox(messages: usize) -> (Inbox, Vec<QueueEntry>) {
        let mut chance = Chance::from_seed([6; 32]);
        let key = HpkeSecretKey::generate(Suite::Ed25519, &mut chance);
        let created = Head::create(key.public_key().clone(), Timestamp(0), &mut chance);
        let (mut head, first) = created.expect("a queue");
        let mut entries = vec![first];
        let entry = Entry {
            kind: EntryKind::FanOut,
            config: ConfigId([7; 16]),
            notify: NotifyClass::Silent,
            accepted_at: 0,
            content: Opaque::default(),
        };
        for _ in 0..messages {
            let pushed = head.push(&entry, &QueuePolicy::QS, Timestamp(0), &mut chance).expect("it fits");
            head = pushed.0;
            entries.extend(pushed.1);
        }
        (Inbox::new(key), entries)
    }
}
