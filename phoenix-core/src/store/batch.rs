//! What every store does with a batch before it touches its tables.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::port::{
    Alarm, Base, Batch, MAX_BATCH_BYTES, MAX_PARTS, MAX_VALUE, MAX_WRITES, Mark, Part, RowKey, StoreError,
    Write,
};

/// The row key of an appended row: its number in eight bytes, big-endian (S11).
#[must_use]
pub fn number_key(number: u64) -> RowKey {
    Bytes::copy_from_slice(&number.to_be_bytes())
}

impl Batch {
    /// Checks the bounds of the contract. Every store calls this before anything else.
    ///
    /// # Errors
    /// [`StoreError::Invalid`], where the batch has too many parts, writes or bytes, a value is too large, or a
    /// partition is named twice.
    pub fn validate(&self) -> Result<(), StoreError> {
        if !self.names_each_once() {
            return Err(StoreError::Invalid);
        }
        let mut writes = 0_usize;
        let mut bytes = 0_usize;
        for part in &self.parts {
            writes = writes.saturating_add(part.writes.len());
            bytes = bytes.saturating_add(part.partition.key().len());
            for write in &part.writes {
                if write.value_len() > MAX_VALUE {
                    return Err(StoreError::Invalid);
                }
                bytes = bytes.saturating_add(write.key_len()).saturating_add(write.value_len());
            }
        }
        let fits = self.parts.len() <= MAX_PARTS && writes <= MAX_WRITES && bytes <= MAX_BATCH_BYTES;
        if fits { Ok(()) } else { Err(StoreError::Invalid) }
    }

    /// Whether no partition is named twice. Most batches name them in order.
    fn names_each_once(&self) -> bool {
        let mut names: Vec<_> = self.parts.iter().map(|part| &part.partition).collect();
        names.sort_unstable();
        names.windows(2).all(|pair| pair.first() != pair.last())
    }
}

impl Base {
    /// Whether a partition with this mark, or none where it does not exist, is at this base (S2).
    #[must_use]
    pub fn holds(self, current: Option<Mark>) -> bool {
        match self {
            Self::Any => true,
            Self::Absent => current.is_none(),
            Self::At(mark) => current == Some(mark),
        }
    }
}

impl Alarm {
    /// The alarm that a partition has afterwards, where it had `current` before.
    #[must_use]
    pub fn applied(self, current: Option<crate::Timestamp>) -> Option<crate::Timestamp> {
        match self {
            Self::Keep => current,
            Self::At(time) => Some(time),
            Self::IfNone(time) => current.or(Some(time)),
            Self::Never => None,
        }
    }
}

impl Part {
    /// Whether the partition's mark shows that this part was applied already (S10).
    #[must_use]
    pub fn is_applied(&self, current: Option<Mark>) -> bool {
        self.is_write() && current == Some(self.mark)
    }

    /// Whether each [`Write::Take`] of the part finds its row at its turn, so that a store can tell a conflict
    /// before it writes anything. `next` is the partition's next number, `stored` tells whether a row is there
    /// before the part.
    ///
    /// # Errors
    /// What `stored` fails with.
    pub fn takes_hold<E>(
        &self,
        next: u64,
        mut stored: impl FnMut(&RowKey) -> Result<bool, E>,
    ) -> Result<bool, E> {
        if !self.writes.iter().any(|write| matches!(write, Write::Take(_))) {
            return Ok(true);
        }
        let mut touched = Touched { next, ..Touched::default() };
        for write in &self.writes {
            if let Write::Take(row) = write {
                let found = match touched.is_there(row) {
                    Some(found) => found,
                    None => stored(row)?,
                };
                if !found {
                    return Ok(false);
                }
            }
            touched.follow(write);
        }
        Ok(true)
    }
}

impl Write {
    fn key_len(&self) -> usize {
        match self {
            Self::Put(row, _) | Self::Delete(row) | Self::DeleteBelow(row) | Self::Take(row) => row.len(),
            Self::Append(_) => size_of::<u64>(),
            Self::Drop => 0,
        }
    }

    fn value_len(&self) -> usize {
        match self {
            Self::Put(_, value) | Self::Append(value) => value.len(),
            Self::Delete(_) | Self::DeleteBelow(_) | Self::Take(_) | Self::Drop => 0,
        }
    }
}

/// What the writes of a part did so far to the rows that they touched.
#[derive(Default)]
struct Touched {
    next: u64,
    rows: BTreeMap<RowKey, bool>,
    below: RowKey,
    dropped: bool,
}

impl Touched {
    /// Whether the row is there, as far as the writes tell.
    fn is_there(&self, row: &RowKey) -> Option<bool> {
        let gone = self.dropped || *row < self.below;
        self.rows.get(row).copied().or(gone.then_some(false))
    }

    fn follow(&mut self, write: &Write) {
        match write {
            Write::Put(row, _) => {
                self.rows.insert(row.clone(), true);
            }
            Write::Delete(row) | Write::Take(row) => {
                self.rows.insert(row.clone(), false);
            }
            Write::DeleteBelow(row) => {
                self.rows.range_mut(..row.clone()).for_each(|(_, there)| *there = false);
                self.below = row.clone().max(self.below.clone());
            }
            Write::Append(_) => {
                self.rows.insert(number_key(self.next), true);
                self.next = self.next.saturating_add(1);
            }
            Write::Drop => {
                self.rows.clear();
                self.dropped = true;
            }
        }
    }
}
