//! Breaks S11: numbers an appended row by how many there are.

use async_trait::async_trait;
use phoenix_core::Timestamp;
use phoenix_core::port::{
    Batch, Commit, Part, PartitionKey, Place, Snapshot, Space, Store, StoreError, Wanted, Write,
};
use phoenix_core::store::{MemoryStore, number_key};

/// As a store would that keeps no counter.
#[derive(Clone, Default)]
pub(super) struct Recounting {
    inner: MemoryStore,
}

#[async_trait]
impl Store for Recounting {
    async fn read(&self, places: &[Place]) -> Result<Vec<Snapshot>, StoreError> {
        self.inner.read(places).await
    }

    async fn commit(&self, batch: &Batch) -> Result<Commit, StoreError> {
        batch.validate()?;
        let mut parts = Vec::new();
        for part in &batch.parts {
            let place = Place { partition: part.partition.clone(), wanted: Wanted::first(u32::MAX) };
            let found = self.inner.read(&[place]).await?;
            let mut numbers = (0..).skip(found.iter().map(|snapshot| snapshot.rows.len()).sum());
            let mut numbered = |write: &Write| match write {
                Write::Append(value) => {
                    Write::Put(number_key(numbers.next().unwrap_or(u64::MAX)), value.clone())
                }
                other => other.clone(),
            };
            parts.push(Part { writes: part.writes.iter().map(&mut numbered).collect(), ..part.clone() });
        }
        self.inner.commit(&Batch { parts }).await
    }

    async fn due(&self, space: Space, now: Timestamp, limit: usize) -> Result<Vec<PartitionKey>, StoreError> {
        self.inner.due(space, now, limit).await
    }
}
