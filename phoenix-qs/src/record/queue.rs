//! A queue's head, with what its entries' expiry needs.

use bytes::Bytes;
use phoenix_core::{
    ConfigId, Reject, Timestamp,
    api::queue::{Entry, EntryKind, NotifyClass, QueueEntry},
    crypto::{Chance, HpkePublicKey},
    port::Write,
    queue::{Head, Months, QueuePolicy, row_key},
    wire::Opaque,
};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use super::to_row;
use crate::kinds::QUEUE;

/// A queue, beside its entries.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct QueueRecord {
    /// The queue.
    pub(crate) head: Head,
    /// From which number on entries are of which month, oldest first: they expire by months.
    months: Months,
}

impl QueueRecord {
    /// A new queue and the rows of its first entry.
    ///
    /// # Errors
    /// [`Reject::Malformed`] where nothing can be sealed to the key.
    pub(crate) fn create(
        key: HpkePublicKey,
        now: Timestamp,
        chance: &mut Chance,
    ) -> Result<(Self, Vec<Write>), Reject> {
        let (head, entry) = Head::create(key, now, chance)?;
        let months = Months::default().with(entry.seq, now);
        Ok((Self { head, months }, vec![put(entry)]))
    }

    /// The queue with one more entry, and the rows to store with it.
    ///
    /// # Errors
    /// [`Reject::TooLarge`] for an entry over its bound.
    pub(crate) fn push(
        self,
        entry: &Entry,
        policy: &QueuePolicy,
        now: Timestamp,
        chance: &mut Chance,
    ) -> Result<(Self, Vec<Write>), Reject> {
        let Self { head, months } = self;
        let months = months.with(head.next_seq(), now);
        let (head, entries) = head.push(entry, policy, now, chance)?;
        Ok((Self { head, months }, entries.into_iter().map(put).collect()))
    }

    /// The queue begun again with another key, and the rows that change: the unread entries go (06, "Ratchet").
    ///
    /// # Errors
    /// [`Reject::Malformed`] where nothing can be sealed to the key.
    pub(crate) fn restart(
        self,
        key: HpkePublicKey,
        now: Timestamp,
        chance: &mut Chance,
    ) -> Result<Vec<Write>, Reject> {
        let (head, entry) = self.head.restart(key, 0, now, chance)?;
        let queue = Self { head, months: Months::default().with(entry.seq, now) };
        Ok(vec![queue.delete_below(), put(entry), queue.put()])
    }

    /// The queue without entries whose time is over (09); what was unread of them is told as a gap.
    pub(crate) fn expire(self, now: Timestamp) -> Self {
        let Self { head, months } = self;
        let (months, below) = months.expire(head.next_seq(), now);
        Self { head: head.expire(below.unwrap_or_default()), months }
    }

    /// The queue with everything below a number acknowledged.
    pub(crate) fn acknowledge(self, below: u64) -> Self {
        Self { head: self.head.acknowledge(below), months: self.months }
    }

    /// The row of this record.
    pub(crate) fn put(&self) -> Write {
        Write::Put(QUEUE, to_row(self))
    }

    /// Deletes the rows of what was acknowledged or has expired.
    pub(crate) fn delete_below(&self) -> Write {
        Write::DeleteBelow(entry_key(self.head.first_seq()))
    }
}

/// What tells a client that few AddPackages are left.
pub(crate) fn packages_low(now: Timestamp) -> Entry {
    Entry {
        kind: EntryKind::PackagesLow,
        config: ConfigId([0; 16]),
        notify: NotifyClass::Silent,
        accepted_at: now.as_secs(),
        content: Opaque::default(),
    }
}

/// The row key of an entry.
pub(crate) fn entry_key(seq: u64) -> Bytes {
    row_key(seq).to_vec().into()
}

fn put(entry: QueueEntry) -> Write {
    Write::Put(entry_key(entry.seq), to_row(&entry))
}
