//! What a queue is, beside its entries.

use tls_codec::{Size, TlsDeserializeBytes, TlsSerialize, TlsSize};

use super::{
    gaps::Gaps,
    ratchet::{self, Fresh},
};
use crate::{
    Reject, Timestamp,
    api::queue::{Entry, EntryPayload, QueueEntry},
    crypto::{Chance, HpkeCiphertext, HpkePublicKey},
    time::DAY,
    wire::Secret,
};

/// A queue's record: its keys and counters. Its entries are rows, one for each number.
///
/// The record holds the ratchet's current key and nothing from which an earlier one could be found, so a copy of it
/// opens no entry that was stored before; and none after the next update, whose secret only the client can open.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct Head {
    queue_key: HpkePublicKey,
    ratchet_key: Secret<32>,
    /// Lowest number not acknowledged.
    first_seq: u64,
    next_seq: u64,
    /// Entries sealed since a fresh secret came into the ratchet.
    since_update: u32,
    /// When that was, told no finer than it need be: sorted by it, queues of two services would line up (09).
    updated_at: Timestamp,
    /// Bytes of the stored entries; an estimate once some were acknowledged.
    bytes: u64,
    /// Numbers taken while the queue was full, with nothing stored: those that are not acknowledged.
    gaps: Gaps,
    /// Entries below were given up unread.
    expired_before: Option<u64>,
}

/// How a queue behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueuePolicy {
    /// When fresh secrets come into the ratchet.
    pub ratchet: RatchetPolicy,
    /// Most entries.
    pub max_entries: u64,
    /// Most bytes of entries.
    pub max_bytes: u64,
    /// What becomes of an entry for a full queue.
    pub when_full: WhenFull,
}

/// When fresh secrets come into a queue's ratchet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RatchetPolicy {
    /// After so many entries.
    pub entries: u32,
    /// Or after so many seconds, where there was an entry.
    pub seconds: u64,
}

/// What becomes of an entry for a full queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// It takes its number and is dropped; the client is told of the gap, and resyncs (06, "Delivery").
    Drop,
    /// It is refused with `rate_limited` (04).
    Refuse,
}

impl RatchetPolicy {
    /// Every 100 entries, or 24 h with traffic (06).
    pub const DEFAULT: Self = Self { entries: 100, seconds: DAY };

    /// The beginning of the interval that a time lies in, all counted from the epoch. So the first update of an interval
    /// comes with its first traffic, and a record tells which interval it was, but no more.
    fn coarse(self, time: Timestamp) -> Timestamp {
        let into = time.as_secs().checked_rem(self.seconds).unwrap_or_default();
        Timestamp::from_secs(time.as_secs().saturating_sub(into))
    }
}

impl QueuePolicy {
    /// Queues of the QS: 100,000 entries, 1 GiB (06).
    pub const QS: Self = Self {
        ratchet: RatchetPolicy::DEFAULT,
        max_entries: 100_000,
        max_bytes: 1 << 30,
        when_full: WhenFull::Drop,
    };
    /// Direct queues of the AS: 1,000 entries (04), of at most 32 KiB each.
    pub const DIRECT: Self = Self {
        ratchet: RatchetPolicy::DEFAULT,
        max_entries: 1_000,
        max_bytes: 1_000 * (32 << 10),
        when_full: WhenFull::Refuse,
    };
}

impl Head {
    /// Makes a queue. Its entry 0 tells the client the ratchet's first key.
    ///
    /// # Errors
    /// [`Reject::Malformed`] where nothing can be sealed to the queue key.
    pub fn create(
        queue_key: HpkePublicKey,
        now: Timestamp,
        chance: &mut Chance,
    ) -> Result<(Self, QueueEntry), Reject> {
        Self::begin(queue_key, 0, now, chance)
    }

    /// Begins the queue again at its next number, with a new ratchet and perhaps a new queue key: what is stored can
    /// be opened no more and is to be deleted below the new entry (06, "Ratchet"). `skip` numbers are left out: none,
    /// or 2^32 after a restore (09).
    ///
    /// # Errors
    /// As [`Head::create`].
    pub fn restart(
        self,
        queue_key: HpkePublicKey,
        skip: u64,
        now: Timestamp,
        chance: &mut Chance,
    ) -> Result<(Self, QueueEntry), Reject> {
        Self::begin(queue_key, self.next_seq.saturating_add(skip), now, chance)
    }

    /// Gives the ratchet a new first key, and keeps what is stored: an entry tells the client. What comes behind it opens
    /// also for who missed what came before.
    ///
    /// # Errors
    /// As [`Head::create`].
    pub fn renew(mut self, now: Timestamp, chance: &mut Chance) -> Result<(Self, QueueEntry), Reject> {
        let (ratchet_key, sealed) = first_key(&self.queue_key, self.next_seq, chance)?;
        self.ratchet_key = ratchet_key;
        self.since_update = 0;
        self.updated_at = RatchetPolicy::DEFAULT.coarse(now);
        let entry = self.number(EntryPayload::Ratchet(sealed))?;
        Ok((self, entry))
    }

    /// Adds an entry: advances the ratchet, takes the next number and gives the rows to store, all of which must
    /// happen in one batch. Before the entry there may be an update of the ratchet; a full queue gives no rows.
    ///
    /// # Errors
    /// [`Reject::RateLimited`] where a full queue refuses; [`Reject::TooLarge`] for an entry over its bound.
    pub fn push(
        mut self,
        entry: &Entry,
        policy: &QueuePolicy,
        now: Timestamp,
        chance: &mut Chance,
    ) -> Result<(Self, Vec<QueueEntry>), Reject> {
        if self.is_full(policy) {
            return self.overflow(policy).map(|head| (head, Vec::new()));
        }
        let mut entries = Vec::with_capacity(2);
        if self.wants_update(policy.ratchet, now) {
            entries.push(self.update(policy.ratchet.coarse(now), chance)?);
        }
        let (sealed, next_key) = ratchet::seal(&self.ratchet_key, self.next_seq, entry, chance)?;
        self.ratchet_key = next_key;
        self.since_update = self.since_update.saturating_add(1);
        entries.push(self.number(EntryPayload::Message(sealed))?);
        Ok((self, entries))
    }

    /// Acknowledges what lies below a number: those rows are to be deleted with it.
    #[must_use]
    pub fn acknowledge(mut self, below: u64) -> Self {
        let below = below.min(self.next_seq);
        let acknowledged = below.saturating_sub(self.first_seq);
        if acknowledged == 0 {
            return self;
        }
        let length = self.length();
        self.first_seq = below;
        self.gaps = self.gaps.from(below);
        self.expired_before = self.expired_before.filter(|end| *end > below);
        let left = self.length();
        // Entries tell their sizes no more once they are only numbers: each counts as the mean of all.
        let share = |part: u64| u128::from(self.bytes).saturating_mul(u128::from(part));
        let mean = |part: u64| share(part).checked_div(u128::from(length)).unwrap_or(0);
        self.bytes = u64::try_from(mean(left)).unwrap_or(u64::MAX);
        self
    }

    /// Gives up what lies below a number unread, since its time is over: those rows are to be deleted with it, and
    /// the client is told of the gap (06, "Queue").
    #[must_use]
    pub fn expire(self, below: u64) -> Self {
        if below <= self.first_seq {
            return self;
        }
        let mut head = self.acknowledge(below);
        head.expired_before = head.expired_before.max(Some(head.first_seq));
        head
    }

    /// The number of the next entry.
    #[must_use]
    pub const fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// The lowest number that is not acknowledged.
    #[must_use]
    pub const fn first_seq(&self) -> u64 {
        self.first_seq
    }

    /// How many entries wait.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.next_seq.saturating_sub(self.first_seq).saturating_sub(self.gaps.dropped())
    }

    /// About how many bytes its entries have.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Entries below this number were dropped unread.
    #[must_use]
    pub fn gap_before(&self) -> Option<u64> {
        self.expired_before.max(self.gaps.end())
    }

    /// The key that the ratchet is sealed to.
    #[must_use]
    pub const fn queue_key(&self) -> &HpkePublicKey {
        &self.queue_key
    }

    fn begin(
        queue_key: HpkePublicKey,
        seq: u64,
        now: Timestamp,
        chance: &mut Chance,
    ) -> Result<(Self, QueueEntry), Reject> {
        let (ratchet_key, sealed) = first_key(&queue_key, seq, chance)?;
        let mut head = Self {
            queue_key,
            ratchet_key,
            first_seq: seq,
            next_seq: seq,
            since_update: 0,
            updated_at: RatchetPolicy::DEFAULT.coarse(now),
            bytes: 0,
            gaps: Gaps::default(),
            expired_before: (seq > 0).then_some(seq),
        };
        let entry = head.number(EntryPayload::Ratchet(sealed))?;
        Ok((head, entry))
    }

    /// Mixes a fresh secret into the ratchet, and tells it to the client.
    fn update(&mut self, at: Timestamp, chance: &mut Chance) -> Result<QueueEntry, Reject> {
        let secret = Secret::new(chance.bytes());
        let sealed = Fresh::Secret.seal(&self.queue_key, self.next_seq, &secret, chance)?;
        self.ratchet_key = ratchet::update(&self.ratchet_key, &secret);
        self.since_update = 0;
        self.updated_at = at;
        self.number(EntryPayload::Ratchet(sealed))
    }

    /// Gives an entry its number.
    fn number(&mut self, payload: EntryPayload) -> Result<QueueEntry, Reject> {
        let entry = QueueEntry { seq: self.next_seq, payload };
        self.next_seq = self.next_seq.checked_add(1).ok_or(Reject::Internal)?;
        self.bytes = self.bytes.saturating_add(size(&entry));
        Ok(entry)
    }

    /// The number that a full queue takes for an entry that it drops. The ratchet stays: the client cannot advance
    /// over an entry whose salt it never sees.
    fn overflow(mut self, policy: &QueuePolicy) -> Result<Self, Reject> {
        match policy.when_full {
            WhenFull::Refuse => Err(Reject::RateLimited(FULL_RETRY_S)),
            WhenFull::Drop => {
                self.gaps = self.gaps.with(self.next_seq);
                self.next_seq = self.next_seq.checked_add(1).ok_or(Reject::Internal)?;
                Ok(self)
            }
        }
    }

    fn is_full(&self, policy: &QueuePolicy) -> bool {
        self.length() >= policy.max_entries || self.bytes >= policy.max_bytes
    }

    const fn wants_update(&self, policy: RatchetPolicy, now: Timestamp) -> bool {
        let is_old = now.millis_since(self.updated_at) >= policy.seconds.saturating_mul(1_000);
        self.since_update >= policy.entries || (is_old && self.since_update > 0)
    }
}

/// A key that the ratchet begins with, and what tells it to the client under a number.
fn first_key(
    to: &HpkePublicKey,
    seq: u64,
    chance: &mut Chance,
) -> Result<(Secret<32>, HpkeCiphertext), Reject> {
    let key = Secret::new(chance.bytes());
    let sealed = Fresh::Key.seal(to, seq, &key, chance)?;
    Ok((key, sealed))
}

/// The row key of an entry: its number, so that rows stand in order.
#[must_use]
pub const fn row_key(seq: u64) -> [u8; 8] {
    seq.to_be_bytes()
}

fn size(entry: &QueueEntry) -> u64 {
    u64::try_from(entry.tls_serialized_len()).unwrap_or(u64::MAX)
}

/// When to come back to a full direct queue: its owner has to read it first.
const FULL_RETRY_S: u32 = 3_600;
