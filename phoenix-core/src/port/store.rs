//! The port to durable state.

use async_trait::async_trait;
use bytes::Bytes;

/// Keeps partitions: rows of bytes under one key, with a mark and at most one alarm.
///
/// The contract has eleven clauses, each with tests of its name in `phoenix-conformance`:
///
/// - **S1 atomic**: a batch is applied whole or not at all, whatever fails and whoever looks.
/// - **S2 conditional**: only if every named partition is at its base; a written partition then carries its
///   part's mark, one only checked keeps its own.
/// - **S3 current**: a read shows all commits that returned before it began, from any replica.
/// - **S4 snapshot**: rows, mark and alarm of one place are of one instant; several places need not agree.
/// - **S5 durable**: what [`Commit::Done`] was returned for outlives `kill -9` and power loss.
/// - **S6 alarmed**: `due` returns a partition exactly while its last committed alarm is at or before `now`.
/// - **S7 opaque**: keys are ordered as bytes; keys and values are not interpreted.
/// - **S8 forgetful**: a partition that has neither rows nor alarm is gone, with its mark.
/// - **S9 cancel-safe**: a dropped future leaves the state as before or as committed.
/// - **S10 traceable**: the same batch given again answers `Done` and changes nothing, as long as one of its
///   partitions carries its mark.
/// - **S11 ordered**: appended rows are numbered in commit order, never twice while the partition lives; a
///   read that shows a row shows all that were appended before it and not taken.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Reads the rows of each place, in the order asked; each place as of one instant (S3, S4).
    ///
    /// # Errors
    /// [`StoreError`], when the state cannot be read now or at all.
    async fn read(&self, places: &[Place]) -> Result<Vec<Snapshot>, StoreError>;

    /// Applies the whole batch, or none of it where a base no longer holds (S1, S2).
    ///
    /// # Errors
    /// [`StoreError`]: whether the batch was applied is unknown, unless it is [`StoreError::Invalid`]; the same
    /// batch may be given again (S10).
    async fn commit(&self, batch: &Batch) -> Result<Commit, StoreError>;

    /// Partitions of a space whose alarm is at or before `now`, oldest alarm first, at most `limit` (S6).
    ///
    /// # Errors
    /// [`StoreError`], when the state cannot be read now or at all.
    async fn due(
        &self,
        space: Space,
        now: crate::Timestamp,
        limit: usize,
    ) -> Result<Vec<PartitionKey>, StoreError>;
}

#[async_trait]
impl<T: Store + ?Sized> Store for std::sync::Arc<T> {
    async fn read(&self, places: &[Place]) -> Result<Vec<Snapshot>, StoreError> {
        self.as_ref().read(places).await
    }

    async fn commit(&self, batch: &Batch) -> Result<Commit, StoreError> {
        self.as_ref().commit(batch).await
    }

    async fn due(
        &self,
        space: Space,
        now: crate::Timestamp,
        limit: usize,
    ) -> Result<Vec<PartitionKey>, StoreError> {
        self.as_ref().due(space, now, limit).await
    }
}

/// The key spaces of one homeserver. A store keeps each in a table of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Space {
    /// Identities.
    As = 1,
    /// Queues.
    Qs = 2,
    /// Groups.
    Ds = 3,
    /// Spent tokens and frames.
    Spent = 4,
    /// Messages on their way: lanes and mailboxes.
    Lane = 5,
    /// What is known of other homeservers, and this one's own secrets.
    Peers = 6,
}

impl Space {
    /// All spaces, for stores that make their tables up front.
    pub const ALL: [Self; 6] = [Self::As, Self::Qs, Self::Ds, Self::Spent, Self::Lane, Self::Peers];
}

/// Names a partition: a space, and bytes that are unique in it.
///
/// Only the driver makes these for operations, so that no operation can name another service's partition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionKey {
    space: Space,
    key: Bytes,
}

impl PartitionKey {
    /// The partition `key` of `space`.
    #[must_use]
    pub const fn new(space: Space, key: Bytes) -> Self {
        Self { space, key }
    }

    /// The space that the partition is in.
    #[must_use]
    pub const fn space(&self) -> Space {
        self.space
    }

    /// The key inside its space.
    #[must_use]
    pub const fn key(&self) -> &Bytes {
        &self.key
    }
}

/// A row's key; rows of a partition are ordered by it, as bytes.
pub type RowKey = Bytes;

/// Sixteen bytes that a batch gives to each partition it writes: the partition's revision from then on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark(pub [u8; 16]);

/// Which rows of a partition are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// None: only whether it exists, its mark and its alarm.
    Mark,
    /// The rows with these keys; those that exist come back, in key order.
    Keys(Vec<RowKey>),
    /// The first rows with `from <= key < below`, in key order: as many as `limit` and `bytes` allow.
    Range {
        /// The first key that is wanted.
        from: RowKey,
        /// The first key that is not; empty for no upper bound.
        below: RowKey,
        /// How many rows at most.
        limit: u32,
        /// How many bytes of values at most, so that no read takes more memory than its reader has use for. One row comes
        /// whatever it has, where `limit` allows one.
        bytes: usize,
    },
}

impl Wanted {
    /// The first `limit` rows of the partition.
    #[must_use]
    pub const fn first(limit: u32) -> Self {
        Self::Range { from: Bytes::new(), below: Bytes::new(), limit, bytes: usize::MAX }
    }
}

/// A partition and what is wanted of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which partition.
    pub partition: PartitionKey,
    /// Which of its rows.
    pub wanted: Wanted,
}

/// What was found at a place, all of one instant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The partition's mark, or none where there is no such partition.
    pub mark: Option<Mark>,
    /// Its alarm.
    pub alarm: Option<crate::Timestamp>,
    /// The rows wanted of it, in key order.
    pub rows: Vec<(RowKey, Bytes)>,
    /// Whether a range has rows beyond its limits.
    pub more: bool,
}

/// What a part expects of its partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// Anything.
    Any,
    /// That there is no such partition.
    Absent,
    /// That its mark is this.
    At(Mark),
}

/// One change of a partition's rows. The writes of a part are applied in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Sets a row.
    Put(RowKey, Bytes),
    /// Removes a row, if it is there.
    Delete(RowKey),
    /// Removes all rows with a smaller key.
    DeleteBelow(RowKey),
    /// Removes a row, and makes the batch a conflict where it is not there.
    Take(RowKey),
    /// Stores a row under the partition's next number: eight bytes, big-endian, counted from 0 (S11).
    Append(Bytes),
    /// Removes all rows and the alarm.
    Drop,
}

/// What becomes of a partition's alarm, after the part's writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// It stays as it is.
    Keep,
    /// It rings at this time.
    At(crate::Timestamp),
    /// It rings at this time, unless it has one already.
    IfNone(crate::Timestamp),
    /// It does not ring.
    Never,
}

/// What a batch does with one partition. A part without writes that keeps the alarm is only a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Which partition; a batch names each at most once.
    pub partition: PartitionKey,
    /// What must hold of it.
    pub base: Base,
    /// The mark that it gets if it is written.
    pub mark: Mark,
    /// What is written.
    pub writes: Vec<Write>,
    /// What becomes of its alarm.
    pub alarm: Alarm,
}

impl Part {
    /// Whether the part changes its partition, rather than only checking it.
    #[must_use]
    pub fn is_write(&self) -> bool {
        !self.writes.is_empty() || self.alarm != Alarm::Keep
    }
}

/// Changes that happen together or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// One part a partition; at most [`MAX_PARTS`].
    pub parts: Vec<Part>,
}

/// How a commit ended.
#[must_use = "a conflict must be decided again"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    /// Applied, and durable.
    Done,
    /// Nothing was applied: a base did not hold, or a row to take was gone.
    Conflict,
}

/// Why a store could not do its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// For the moment; trying again may help.
    #[error("the store does not answer")]
    Unavailable,
    /// No room is left.
    #[error("the store is full")]
    Full,
    /// What is stored is not what was written.
    #[error("the store is damaged")]
    Corrupt,
    /// The batch breaks a bound of the contract, or names a partition twice.
    #[error("the batch is not valid")]
    Invalid,
}

/// Parts in a batch: a message to 250 local queues, and what pays for it.
pub const MAX_PARTS: usize = 256;
/// Writes in a batch: more would hold the single writer of an embedded database up for everyone.
pub const MAX_WRITES: usize = 4_096;
/// Bytes of keys and values in a batch, for the same reason.
pub const MAX_BATCH_BYTES: usize = 8 << 20;
/// Bytes of one value: the largest body that a client may send fits, with its seal.
pub const MAX_VALUE: usize = 2 << 20;
