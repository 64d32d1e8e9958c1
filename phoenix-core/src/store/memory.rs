//! A [`Store`] in memory.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;

use super::number_key;
use crate::Timestamp;
use crate::port::{
    Batch, Commit, Mark, Part, PartitionKey, Place, RowKey, Snapshot, Space, Store, StoreError, Wanted, Write,
};

/// Keeps everything in memory, and keeps every clause of the contract but S5.
///
/// A clone shares the state, as a second replica on one database would; [`MemoryStore::fork`] copies it.
#[derive(Clone, Default)]
pub struct MemoryStore {
    state: Arc<Mutex<State>>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A store of its own that starts with what this one holds. Rows are shared until one side writes them.
    #[must_use]
    pub fn fork(&self) -> Self {
        let state = self.lock().clone();
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Everything that is stored, ordered by space and key: what a copy of the disk would show.
    #[must_use]
    pub fn dump(&self) -> Vec<(PartitionKey, Snapshot)> {
        let state = self.lock();
        let mut partitions: Vec<_> = state.partitions.iter().collect();
        partitions.sort_unstable_by_key(|(key, _)| *key);
        let everything = Wanted::first(u32::MAX);
        let dumped = partitions.into_iter().map(|(key, found)| (key.clone(), found.snapshot(&everything)));
        dumped.collect()
    }

    /// No step of a call leaves the state half changed, so one that panicked leaves it usable.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn read(&self, places: &[Place]) -> Result<Vec<Snapshot>, StoreError> {
        let state = self.lock();
        let found =
            |place: &Place| state.partitions.get(&place.partition).map(|found| found.snapshot(&place.wanted));
        Ok(places.iter().map(|place| found(place).unwrap_or_default()).collect())
    }

    async fn commit(&self, batch: &Batch) -> Result<Commit, StoreError> {
        batch.validate()?;
        let mut state = self.lock();
        let found = |part: &Part| state.partitions.get(&part.partition);
        let found: Vec<_> = batch.parts.iter().map(|part| (part, found(part))).collect();
        if found.iter().any(|(part, found)| part.is_applied(found.map(|found| found.mark))) {
            return Ok(Commit::Done);
        }
        if !found.iter().all(|(part, found)| allows(*found, part)) {
            return Ok(Commit::Conflict);
        }
        batch.parts.iter().filter(|part| part.is_write()).for_each(|part| state.apply(part));
        Ok(Commit::Done)
    }

    async fn due(&self, space: Space, now: Timestamp, limit: usize) -> Result<Vec<PartitionKey>, StoreError> {
        let state = self.lock();
        let first = (space, Timestamp(0), PartitionKey::new(space, Bytes::new()));
        let ringing = state.alarms.range(first..).take_while(|(other, at, _)| *other == space && *at <= now);
        Ok(ringing.take(limit).map(|(_, _, key)| key.clone()).collect())
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("partitions", &self.lock().partitions.len())
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Default)]
struct State {
    /// Never walked in their order, which is another in each run.
    partitions: HashMap<PartitionKey, Arc<Partition>>,
    alarms: BTreeSet<(Space, Timestamp, PartitionKey)>,
}

impl State {
    fn apply(&mut self, part: &Part) {
        let key = &part.partition;
        let stored = match self.partitions.get_mut(key) {
            // Most are there, and need no copy of their key.
            Some(stored) => stored,
            None => self.partitions.entry(key.clone()).or_insert_with(|| Arc::new(Partition::new(part.mark))),
        };
        let partition = Arc::make_mut(stored);
        let before = partition.alarm;
        part.writes.iter().for_each(|write| partition.write(write));
        partition.mark = part.mark;
        partition.alarm = part.alarm.applied(partition.alarm);
        let (after, is_empty) = (partition.alarm, partition.rows.is_empty());
        if before != after {
            let entry = |alarm| (key.space(), alarm, key.clone());
            if let Some(alarm) = before {
                self.alarms.remove(&entry(alarm));
            }
            self.alarms.extend(after.map(entry));
        }
        if after.is_none() && is_empty {
            self.partitions.remove(key);
        }
    }
}

/// Whether all that a part asks for holds of its partition as it was found.
fn allows(found: Option<&Arc<Partition>>, part: &Part) -> bool {
    let next = found.map_or(0, |partition| partition.next);
    let stored = |row: &RowKey| {
        Ok::<_, Infallible>(found.is_some_and(|found| found.place(&Sorted::from(row)).is_ok()))
    };
    part.base.holds(found.map(|partition| partition.mark)) && part.takes_hold(next, stored) == Ok(true)
}

#[derive(Clone)]
struct Partition {
    mark: Mark,
    alarm: Option<Timestamp>,
    next: u64,
    /// In the order of their keys. Most come at the end or close to it, go from the beginning, and are few.
    rows: VecDeque<(Sorted, Bytes)>,
}

/// A row's key with its first bytes at hand: they tell most keys apart, and are where they are compared.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Sorted {
    first: u64,
    key: RowKey,
}

impl From<&RowKey> for Sorted {
    fn from(key: &RowKey) -> Self {
        let mut first = [0; 8];
        first.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
        Self { first: u64::from_be_bytes(first), key: key.clone() }
    }
}

impl Partition {
    const fn new(mark: Mark) -> Self {
        Self { mark, alarm: None, next: 0, rows: VecDeque::new() }
    }

    fn write(&mut self, write: &Write) {
        match write {
            Write::Put(row, value) => self.put(row, value),
            Write::Delete(row) | Write::Take(row) => {
                if let Ok(place) = self.place(&Sorted::from(row)) {
                    self.rows.remove(place);
                }
            }
            Write::DeleteBelow(row) => {
                self.rows.drain(..self.first(&Sorted::from(row)));
            }
            Write::Append(value) => {
                self.put(&number_key(self.next), value);
                self.next = self.next.saturating_add(1);
            }
            Write::Drop => {
                self.rows.clear();
                self.alarm = None;
            }
        }
    }

    fn put(&mut self, row: &RowKey, value: &Bytes) {
        let row = (Sorted::from(row), value.clone());
        match self.place(&row.0) {
            Ok(place) => {
                if let Some(stored) = self.rows.get_mut(place) {
                    *stored = row;
                }
            }
            Err(place) => self.rows.insert(place, row),
        }
    }

    /// Where a row is, or would be.
    fn place(&self, row: &Sorted) -> Result<usize, usize> {
        self.rows.binary_search_by(|(at, _)| at.cmp(row))
    }

    /// Where the first row is that is not before this one.
    fn first(&self, row: &Sorted) -> usize {
        self.place(row).unwrap_or_else(|place| place)
    }

    fn snapshot(&self, wanted: &Wanted) -> Snapshot {
        let (rows, more) = match wanted {
            Wanted::Mark => (Vec::new(), false),
            Wanted::Keys(keys) => (self.keys(keys), false),
            Wanted::Range { from, below, limit, bytes } => self.range((from, below), *limit, *bytes),
        };
        Snapshot { mark: Some(self.mark), alarm: self.alarm, rows, more }
    }

    fn keys(&self, keys: &[RowKey]) -> Vec<(RowKey, Bytes)> {
        let mut keys: Vec<Sorted> = keys.iter().map(Sorted::from).collect();
        keys.sort_unstable();
        keys.dedup();
        let (mut found, mut next) = (Vec::with_capacity(keys.len()), 0);
        for key in &keys {
            // What is wanted often lies side by side, so most need no search.
            if self.rows.get(next).is_some_and(|(at, _)| at < key) {
                next = self.first(key);
            }
            if let Some(row) = self.rows.get(next).filter(|(at, _)| at == key) {
                found.push(owned(row));
                next = next.saturating_add(1);
            }
        }
        found
    }

    fn range(
        &self,
        (from, below): (&RowKey, &RowKey),
        limit: u32,
        bytes: usize,
    ) -> (Vec<(RowKey, Bytes)>, bool) {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let from = Sorted::from(from);
        let is_wanted = |key: &Sorted| below.is_empty() || key.key < *below;
        let mut rows = self.rows.range(self.first(&from)..).take_while(|(key, _)| is_wanted(key)).peekable();
        let (mut found, mut room) = (Vec::new(), bytes);
        while let Some(row @ (_, value)) = rows.peek() {
            let fits = found.is_empty() || value.len() <= room;
            if found.len() >= limit || !fits {
                return (found, true);
            }
            room = room.saturating_sub(value.len());
            found.push(owned(row));
            rows.next();
        }
        (found, false)
    }
}

fn owned((sorted, value): &(Sorted, Bytes)) -> (RowKey, Bytes) {
    (sorted.key.clone(), value.clone())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

    use bytes::Bytes;
    use futures::executor::block_on;

    use super::MemoryStore;
    use crate::port::{Alarm, Base, Batch, Commit, Mark, Part, PartitionKey, Space, Store, Write};

    #[test]
    fn a_clone_shares_the_state_and_a_fork_does_not() {
        // given a store with a row, its clone and its fork
        let store = MemoryStore::new();
        append(&store, 1);
        let (clone, fork) = (store.clone(), store.fork());

        // when both are written
        append(&clone, 2);
        append(&fork, 3);
        append(&fork, 4);

        // then the clone's row is the store's, and the fork's are its own
        assert_eq!([rows(&store), rows(&clone), rows(&fork)], [2, 2, 3]);
    }

    #[test]
    fn a_dump_shows_every_partition_of_every_space() {
        let store = MemoryStore::new();
        for space in Space::ALL {
            append_to(&store, PartitionKey::new(space, Bytes::from_static(b"p")), 1);
        }

        let dump = store.dump();

        assert!(dump.iter().map(|(key, _)| key.space()).eq(Space::ALL));
        assert!(dump.iter().all(|(_, snapshot)| snapshot.rows.len() == 1 && !snapshot.more));
    }

    fn append(to: &MemoryStore, mark: u8) {
        append_to(to, PartitionKey::new(Space::Qs, Bytes::new()), mark);
    }

    fn append_to(store: &MemoryStore, partition: PartitionKey, mark: u8) {
        let writes = vec![Write::Append(Bytes::from_static(b"row"))];
        let part = Part { partition, base: Base::Any, mark: Mark([mark; 16]), writes, alarm: Alarm::Keep };
        assert_eq!(block_on(store.commit(&Batch { parts: vec![part] })), Ok(Commit::Done));
    }

    fn rows(store: &MemoryStore) -> usize {
        store.dump().iter().map(|(_, snapshot)| snapshot.rows.len()).sum()
    }
}
