//! Stores that do not do what they say.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use phoenix_core::{
    Timestamp,
    port::{
        Base, Batch, Commit, Mark, PartitionKey, Place, Snapshot, Space, Store, StoreError, Wanted, Write,
    },
};

use super::Switch;

/// Changes what is written, or what was found.
pub(super) trait StoreBreaker: Send + Sync + 'static {
    /// Changes a batch before it is written.
    fn batch(&self, _batch: &mut Batch, _switch: &Switch) {}

    /// Changes what was found at a place before it is given back.
    fn found(&self, _place: &Place, _found: &mut Snapshot, _switch: &Switch) {}
}

/// A store with a breaker before it.
pub(super) struct BentStore {
    pub(super) inner: Arc<dyn Store>,
    pub(super) switch: Switch,
    pub(super) breaker: Arc<dyn StoreBreaker>,
}

#[async_trait]
impl Store for BentStore {
    async fn read(&self, places: &[Place]) -> Result<Vec<Snapshot>, StoreError> {
        let mut found = self.inner.read(places).await?;
        if self.switch.is_on() {
            for (place, snapshot) in places.iter().zip(&mut found) {
                self.breaker.found(place, snapshot, &self.switch);
            }
        }
        Ok(found)
    }

    async fn commit(&self, batch: &Batch) -> Result<Commit, StoreError> {
        if !self.switch.is_on() {
            return self.inner.commit(batch).await;
        }
        let mut batch = batch.clone();
        self.breaker.batch(&mut batch, &self.switch);
        self.inner.commit(&batch).await
    }

    async fn due(&self, space: Space, now: Timestamp, limit: usize) -> Result<Vec<PartitionKey>, StoreError> {
        self.inner.due(space, now, limit).await
    }
}

/// Drops what is appended to partitions of a space and kind: all of it, or one batch's.
pub(super) struct LosesAppends {
    space: Space,
    kind: u8,
    only: Option<usize>,
    seen: AtomicUsize,
}

impl LosesAppends {
    /// All that is appended.
    pub(super) const fn all(space: Space, kind: u8) -> Self {
        Self { space, kind, only: None, seen: AtomicUsize::new(0) }
    }

    /// What is appended in one batch.
    pub(super) const fn one(space: Space, kind: u8, only: usize) -> Self {
        Self { space, kind, only: Some(only), seen: AtomicUsize::new(0) }
    }
}

impl StoreBreaker for LosesAppends {
    fn batch(&self, batch: &mut Batch, _: &Switch) {
        let is_append = |write: &Write| matches!(write, Write::Append(_));
        for part in batch.parts.iter_mut().filter(|part| is_of(&part.partition, self.space, self.kind)) {
            if part.writes.iter().any(is_append) {
                let number = self.seen.fetch_add(1, Ordering::SeqCst);
                if self.only.is_none_or(|only| only == number) {
                    part.writes.retain(|write| !is_append(write));
                }
            }
        }
    }
}

/// Forgets all partitions of a kind, as soon as they are written.
pub(super) struct Forgets {
    pub(super) space: Space,
    /// All kinds where there is none.
    pub(super) kind: Option<u8>,
}

impl Forgets {
    fn concerns(&self, partition: &PartitionKey) -> bool {
        partition.space() == self.space && self.kind.is_none_or(|kind| is_of(partition, self.space, kind))
    }
}

impl StoreBreaker for Forgets {
    fn batch(&self, batch: &mut Batch, _: &Switch) {
        for part in batch.parts.iter_mut().filter(|part| self.concerns(&part.partition)) {
            part.base = Base::Any;
        }
    }

    fn found(&self, place: &Place, found: &mut Snapshot, _: &Switch) {
        if self.concerns(&place.partition) {
            *found = Snapshot::default();
        }
    }
}

/// Shows a group as it was before it was changed, once its breaker is armed.
#[derive(Default)]
pub(super) struct ShowsOldGroups {
    before: Mutex<Option<Sight>>,
    shown: AtomicUsize,
    /// Which of the reads after the change is shown what was before it.
    shows: usize,
    readers: Readers,
}

/// Whose reads are concerned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Readers {
    /// Those who commit: they read the tree besides.
    #[default]
    Committers,
    /// Those who send: they read the roster alone.
    Senders,
}

impl ShowsOldGroups {
    /// To one reader after the change, counted from 0.
    pub(super) fn to(readers: Readers, shows: usize) -> Self {
        Self { shows, readers, ..Self::default() }
    }
}

/// A partition as it was seen.
#[derive(Clone)]
struct Sight {
    partition: PartitionKey,
    mark: Option<Mark>,
    rows: Vec<(Bytes, Bytes)>,
}

impl StoreBreaker for ShowsOldGroups {
    fn found(&self, place: &Place, found: &mut Snapshot, switch: &Switch) {
        let holds_roster = found.rows.iter().any(|(key, _)| key.as_ref() == ROSTER);
        if !switch.is_armed() || !holds_roster || !is_of(&place.partition, Space::Ds, GROUP) {
            return;
        }
        let mut before = self.before.lock().unwrap();
        let sight = Sight { partition: place.partition.clone(), mark: found.mark, rows: found.rows.clone() };
        let before = before.get_or_insert(sight);
        let is_sending = matches!(&place.wanted, Wanted::Keys(keys) if keys.len() == 1);
        let reader = if is_sending { Readers::Senders } else { Readers::Committers };
        let counts =
            before.partition == place.partition && before.mark != found.mark && reader == self.readers;
        if counts && self.shown.fetch_add(1, Ordering::SeqCst) == self.shows {
            for (key, value) in &mut found.rows {
                let old = before.rows.iter().find(|(it, _)| it == key);
                *value = old.map_or_else(|| value.clone(), |(_, old)| old.clone());
            }
        }
    }
}

/// Writes something beside what is written to a space.
pub(super) struct Writes {
    pub(super) space: Space,
    pub(super) what: Bytes,
}

impl StoreBreaker for Writes {
    fn batch(&self, batch: &mut Batch, _: &Switch) {
        // Only where there are rows already: a partition that is to vanish must.
        let puts = |write: &Write| matches!(write, Write::Put(..));
        let part = batch
            .parts
            .iter_mut()
            .find(|part| part.partition.space() == self.space && part.writes.iter().any(puts));
        if let Some(part) = part {
            part.writes.push(Write::Put(Bytes::from_static(b"zz"), self.what.clone()));
        }
    }
}

/// The first byte of a partition's key is its kind.
fn is_of(partition: &PartitionKey, space: Space, kind: u8) -> bool {
    partition.space() == space && partition.key().first() == Some(&kind)
}

/// Partitions of the lane space: a lane.
pub(super) const LANE: u8 = 1;
/// Partitions of the QS: what became of a delivery, and what waits for another homeserver.
pub(super) const RECEIPT: u8 = 4;
pub(super) const MAILBOX: u8 = 6;
/// Partitions of the DS: a group, and the row of its roster.
const GROUP: u8 = 1;
const ROSTER: &[u8] = b"r";
