//! Breaks S6: an alarm rings a moment late.

use async_trait::async_trait;
use phoenix_core::Timestamp;
use phoenix_core::port::{Batch, Commit, PartitionKey, Place, Snapshot, Space, Store, StoreError};
use phoenix_core::store::MemoryStore;

/// As a store would that compares with `<`.
#[derive(Clone, Default)]
pub(super) struct Late {
    inner: MemoryStore,
}

#[async_trait]
impl Store for Late {
    async fn read(&self, places: &[Place]) -> Result<Vec<Snapshot>, StoreError> {
        self.inner.read(places).await
    }

    async fn commit(&self, batch: &Batch) -> Result<Commit, StoreError> {
        self.inner.commit(batch).await
    }

    async fn due(&self, space: Space, now: Timestamp, limit: usize) -> Result<Vec<PartitionKey>, StoreError> {
        let Some(before) = now.0.checked_sub(1) else { return Ok(Vec::new()) };
        self.inner.due(space, Timestamp(before), limit).await
    }
}
