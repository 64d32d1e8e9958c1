//! Places to read, and the rows found there.

use bytes::Bytes;

use crate::{
    Fault,
    port::{PartitionKey, RowKey, Snapshot, Space, Wanted},
};

/// A partition inside an operation's own service: a kind, and bytes that are unique for that kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Local(Bytes);

impl Local {
    /// The partition of this kind and key.
    #[must_use]
    pub fn new(kind: u8, key: impl AsRef<[u8]>) -> Self {
        Self([[kind].as_slice(), key.as_ref()].concat().into())
    }

    /// The partition of this [name](Self::name).
    #[must_use]
    pub const fn named(name: Bytes) -> Self {
        Self(name)
    }

    /// What is kept there; also says what its alarm does.
    #[must_use]
    pub fn kind(&self) -> u8 {
        self.0.first().copied().unwrap_or_default()
    }

    /// Which one.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        self.0.get(1..).unwrap_or_default()
    }

    /// Its name in its service's space: the kind, and the key behind it.
    #[must_use]
    pub const fn name(&self) -> &Bytes {
        &self.0
    }

    /// The same partition, as the store knows it.
    pub(crate) fn in_space(self, space: Space) -> PartitionKey {
        PartitionKey::new(space, self.0)
    }
}

/// What a place is read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To change it: checked when the decision is committed, and locked alone.
    Change,
    /// To rely on it: checked when the decision is committed, and locked together with other watchers.
    Watch,
    /// For a hint or a limit: not checked. A stale value must never cause a wrong write.
    Glance,
}

/// A place that an operation wants to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Where.
    pub at: Local,
    /// Which rows.
    pub wanted: Wanted,
    /// What for.
    pub purpose: Purpose,
}

impl Reading {
    /// Reads in order to change.
    #[must_use]
    pub const fn change(at: Local, wanted: Wanted) -> Self {
        Self { at, wanted, purpose: Purpose::Change }
    }

    /// Reads in order to rely on.
    #[must_use]
    pub const fn watch(at: Local, wanted: Wanted) -> Self {
        Self { at, wanted, purpose: Purpose::Watch }
    }

    /// Reads for a hint.
    #[must_use]
    pub const fn glance(at: Local, wanted: Wanted) -> Self {
        Self { at, wanted, purpose: Purpose::Glance }
    }
}

/// What was found, in the order of the readings over all rounds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows(Vec<Snapshot>);

impl Rows {
    /// Whether nothing has been read yet: the first round of `locate`.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many places have been read.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// What was found at a place, counted from 0 in the order asked.
    ///
    /// # Errors
    /// [`Fault::Broken`] where fewer places were asked for.
    pub fn place(&self, place: usize) -> Result<&Snapshot, Fault> {
        self.0.get(place).ok_or(Fault::Broken("a place that was not asked for"))
    }

    /// The row with this key at a place, if it is there.
    ///
    /// # Errors
    /// [`Fault::Broken`] where fewer places were asked for.
    pub fn row(&self, place: usize, key: &[u8]) -> Result<Option<&Bytes>, Fault> {
        let found = self.place(place)?;
        Ok(found.rows.iter().find(|(at, _)| at == key).map(|(_, value)| value))
    }

    /// All rows at a place.
    ///
    /// # Errors
    /// [`Fault::Broken`] where fewer places were asked for.
    pub fn rows(&self, place: usize) -> Result<&[(RowKey, Bytes)], Fault> {
        Ok(&self.place(place)?.rows)
    }

    pub(crate) fn extend(&mut self, found: Vec<Snapshot>) {
        self.0.extend(found);
    }
}

impl From<Vec<Snapshot>> for Rows {
    fn from(found: Vec<Snapshot>) -> Self {
        Self(found)
    }
}
