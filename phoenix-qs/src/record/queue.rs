//! A queue's head, with what its entries' expiry needs.

use bytes::Bytes;
use phoenix_core::{
    ConfigId, Generation, Reject, Timestamp,
    api::queue::{Entry, EntryKind, NotifyClass, QueueEntry},
    crypto::{Chance, HpkePublicKey},
    operation::Context,
    port::Write,
    queue::{Head, Months, row_key},
    wire::Opaque,
};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use super::to_row;
use crate::{kinds::QUEUE, service::QueueService};

/// A queue, beside its entries.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct QueueRecord {
    /// The queue.
    pub(crate) head: Head,
    /// From which number on entries are of which month, oldest first: they expire by months.
    months: Months,
    /// The store's, when the queue was made or began again last.
    generation: Generation,
}

impl QueueRecord {
    /// A new queue and the rows of its first entry.
    ///
    /// # Errors
    /// [`Reject::Malformed`] where nothing can be sealed to the key.
    pub(crate) fn create(
        key: HpkePublicKey,
        cx: &Context<QueueService>,
        chance: &mut Chance,
    ) -> Result<(Self, Vec<Write>), Reject> {
        let (head, entry) = Head::create(key, cx.now, chance)?;
        let months = Months::default().with(entry.seq, cx.now);
        Ok((Self { head, months, generation: cx.keys.generation }, vec![put(&entry)]))
    }

    /// The queue with one more entry, and the rows to store with it.
    ///
    /// # Errors
    /// [`Reject::TooLarge`] for an entry over its bound.
    pub(crate) fn push(
        self,
        entry: &Entry,
        cx: &Context<QueueService>,
        chance: &mut Chance,
    ) -> Result<(Self, Vec<Write>), Reject> {
        let (queue, begun) = self.restored(cx, chance)?;
        let mut rows = queue.begun(&begun);
        let (queue, entries) = queue.pushed(entry, cx, chance)?;
        rows.extend(entries.iter().map(put));
        Ok((queue, rows))
    }

    /// The queue begun again with another key, and the rows that change: the unread entries go (06, "Ratchet").
    ///
    /// # Errors
    /// [`Reject::Malformed`] where nothing can be sealed to the key.
    pub(crate) fn restart(
        self,
        key: HpkePublicKey,
        cx: &Context<QueueService>,
        chance: &mut Chance,
    ) -> Result<Vec<Write>, Reject> {
        let (queue, begun) = self.again(key, cx, chance)?;
        let mut rows = queue.begun(&begun);
        rows.push(queue.put());
        Ok(rows)
    }

    /// The queue as it goes on where the store was restored since it began, and the entries that it then begins with: it
    /// has forgotten which numbers and keys it used (09). As it is, and no entries, where it was not.
    ///
    /// # Errors
    /// None in practice: what the key was before can be sealed to.
    pub(crate) fn restored(
        self,
        cx: &Context<QueueService>,
        chance: &mut Chance,
    ) -> Result<(Self, Vec<QueueEntry>), Reject> {
        if cx.keys.generation.jump_from(self.generation).is_none() {
            return Ok((self, Vec::new()));
        }
        let key = self.head.queue_key().clone();
        self.again(key, cx, chance)
    }

    /// The rows of a queue that has begun with these entries: what lies below them goes.
    pub(crate) fn begun(&self, entries: &[QueueEntry]) -> Vec<Write> {
        if entries.is_empty() {
            Vec::new()
        } else {
            [self.delete_below()].into_iter().chain(entries.iter().map(put)).collect()
        }
    }

    /// The queue begun again, and its first entries. After a restore the second of them tells that the packages are gone.
    fn again(
        self,
        key: HpkePublicKey,
        cx: &Context<QueueService>,
        chance: &mut Chance,
    ) -> Result<(Self, Vec<QueueEntry>), Reject> {
        let generation = cx.keys.generation;
        let jump = generation.jump_from(self.generation);
        let (head, entry) = self.head.restart(key, jump.unwrap_or_default(), cx.now, chance)?;
        let months = Months::default().with(entry.seq, cx.now);
        let queue = Self { head, months, generation: self.generation.max(generation) };
        let mut entries = vec![entry];
        if jump.is_none() {
            return Ok((queue, entries));
        }
        let (queue, low) = queue.pushed(&packages_low(cx.now), cx, chance)?;
        entries.extend(low);
        Ok((queue, entries))
    }

    fn pushed(
        self,
        entry: &Entry,
        cx: &Context<QueueService>,
        chance: &mut Chance,
    ) -> Result<(Self, Vec<QueueEntry>), Reject> {
        let Self { head, months, generation } = self;
        let months = months.with(head.next_seq(), cx.now);
        let (head, entries) = head.push(entry, &cx.settings.queue, cx.now, chance)?;
        Ok((Self { head, months, generation }, entries))
    }

    /// The queue without entries whose time is over (09); what was unread of them is told as a gap.
    pub(crate) fn expire(self, now: Timestamp) -> Self {
        let Self { head, months, generation } = self;
        let (months, below) = months.expire(head.next_seq(), now);
        Self { head: head.expire(below.unwrap_or_default()), months, generation }
    }

    /// The queue with everything below a number acknowledged.
    pub(crate) fn acknowledge(self, below: u64) -> Self {
        Self { head: self.head.acknowledge(below), ..self }
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

fn put(entry: &QueueEntry) -> Write {
    Write::Put(entry_key(entry.seq), to_row(entry))
}
