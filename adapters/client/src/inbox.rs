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
    /// Whether it was told already that entries are missing.
    told_gap: Flag,
}

/// What came of reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Read {
    /// How many entries wait behind those read.
    pub(crate) remaining: u32,
    /// Whether entries are missing, and it was not told before.
    pub(crate) gap: bool,
    /// Whether nothing from here on can be opened.
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
            told_gap: Flag::No,
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
        let mut gap = reply.gap_before.is_some_and(|gap| gap > self.ratchet.next_seq());
        let mut lost = false;
        for entry in &reply.entries {
            gap |= entry.seq > self.ratchet.next_seq();
            match self.ratchet.open(entry) {
                Ok(Some(opened)) => {
                    self.waiting.insert(entry.seq, opened);
                    self.told_gap = Flag::No;
                }
                Ok(None) | Err(RatchetError::Replayed) => {}
                Err(RatchetError::Malformed) => gap = true,
                Err(RatchetError::Lost) => {
                    (gap, lost) = (true, true);
                    break;
                }
            }
        }
        let is_news = gap && !self.told_gap.is_set();
        if gap {
            self.told_gap = Flag::Yes;
        }
        Read { remaining: reply.remaining, gap: is_news, lost }
    }

    /// The queue begins again with another key, at whichever number: what was read stays.
    pub(crate) fn begin_again(&mut self, key: HpkeSecretKey) {
        self.ratchet = ClientRatchet::new(key);
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
