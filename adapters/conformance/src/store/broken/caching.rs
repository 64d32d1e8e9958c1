//! Breaks S2, S10 and S11 between replicas, and nothing in one that is alone.

use std::sync::Arc;

use async_trait::async_trait;
use futures::lock::Mutex;
use phoenix_core::Timestamp;
use phoenix_core::port::{
    Base, Batch, Commit, Part, PartitionKey, Place, Snapshot, Space, Store, StoreError, Wanted, Write,
};
use phoenix_core::store::{MemoryStore, number_key};

use crate::store::Candidate;
use crate::store::sitting::{append, number_of, write};

/// As a database would whose every replica keeps the heads of partitions, with mark and number, in its memory.
pub(super) struct Caching {
    disk: MemoryStore,
    first: Arc<Replica>,
}

impl Default for Caching {
    fn default() -> Self {
        let disk = MemoryStore::new();
        let first = Arc::new(Replica::of(&disk));
        Self { disk, first }
    }
}

#[async_trait]
impl Candidate for Caching {
    fn store(&self) -> Arc<dyn Store> {
        Arc::<Replica>::clone(&self.first)
    }

    async fn revived(&self) -> Option<Arc<dyn Store>> {
        // What the first replica knows of numbers is on the disk too, where `disk` has none of its own.
        let known = Mutex::new(self.first.known.lock().await.fork());
        Some(Arc::new(Replica { disk: self.disk.fork(), known }))
    }

    async fn replica(&self) -> Option<Arc<dyn Store>> {
        Some(Arc::new(Replica::of(&self.disk)))
    }
}

struct Replica {
    disk: MemoryStore,
    /// What this replica has seen and done, by which alone it judges.
    known: Mutex<MemoryStore>,
}

impl Replica {
    fn of(disk: &MemoryStore) -> Self {
        Self { disk: disk.clone(), known: Mutex::new(disk.fork()) }
    }
}

#[async_trait]
impl Store for Replica {
    async fn read(&self, places: &[Place]) -> Result<Vec<Snapshot>, StoreError> {
        self.disk.read(places).await
    }

    async fn commit(&self, batch: &Batch) -> Result<Commit, StoreError> {
        let known = self.known.lock().await;
        let before = known.fork();
        if known.commit(batch).await? == Commit::Conflict {
            return Ok(Commit::Conflict);
        }
        let mut parts = Vec::new();
        for part in batch.parts.iter().filter(|part| part.is_write()) {
            parts.push(judged(&before, part).await?);
        }
        self.disk.commit(&Batch { parts }).await
    }

    async fn due(&self, space: Space, now: Timestamp, limit: usize) -> Result<Vec<PartitionKey>, StoreError> {
        self.disk.due(space, now, limit).await
    }
}

/// The part as it goes to the disk: on any base, and with the numbers that this replica knows.
async fn judged(known: &MemoryStore, part: &Part) -> Result<Part, StoreError> {
    let mut numbers = next_number(known, &part.partition).await?..;
    let judged = |write: &Write| match write {
        Write::Append(value) => Write::Put(number_key(numbers.next().unwrap_or(u64::MAX)), value.clone()),
        Write::Take(row) => Write::Delete(row.clone()),
        other => other.clone(),
    };
    Ok(Part { base: Base::Any, writes: part.writes.iter().map(judged).collect(), ..part.clone() })
}

/// The number that the partition would give next.
async fn next_number(known: &MemoryStore, partition: &PartitionKey) -> Result<u64, StoreError> {
    let fork = known.fork();
    let _ = fork.commit(&Batch { parts: vec![write(partition, [append(PROBE)])] }).await?;
    let place = Place { partition: partition.clone(), wanted: Wanted::first(u32::MAX) };
    let found = fork.read(&[place]).await?;
    let mut rows = found.iter().flat_map(|snapshot| &snapshot.rows);
    Ok(rows.find(|(_, value)| value == PROBE).and_then(|(row, _)| number_of(row)).unwrap_or_default())
}

/// A value that no case writes.
const PROBE: &str = "which number comes next?";
