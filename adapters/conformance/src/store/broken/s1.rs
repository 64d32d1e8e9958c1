//! Breaks S1: applies the parts of a batch one after another, and stops at the first that does not hold.

use async_trait::async_trait;
use phoenix_core::Timestamp;
use phoenix_core::port::{Batch, Commit, PartitionKey, Place, Snapshot, Space, Store, StoreError};
use phoenix_core::store::MemoryStore;

/// As a store would without transactions.
#[derive(Clone, Default)]
pub(super) struct Piecemeal {
    inner: MemoryStore,
}

#[async_trait]
impl Store for Piecemeal {
    async fn read(&self, places: &[Place]) -> Result<Vec<Snapshot>, StoreError> {
        self.inner.read(places).await
    }

    async fn commit(&self, batch: &Batch) -> Result<Commit, StoreError> {
        batch.validate()?;
        for part in &batch.parts {
            if self.inner.commit(&Batch { parts: vec![part.clone()] }).await? == Commit::Conflict {
                return Ok(Commit::Conflict);
            }
        }
        Ok(Commit::Done)
    }

    async fn due(&self, space: Space, now: Timestamp, limit: usize) -> Result<Vec<PartitionKey>, StoreError> {
        self.inner.due(space, now, limit).await
    }
}
