//! Breaks S2: never looks at a base.

use async_trait::async_trait;
use phoenix_core::Timestamp;
use phoenix_core::port::{
    Base, Batch, Commit, Part, PartitionKey, Place, Snapshot, Space, Store, StoreError,
};
use phoenix_core::store::MemoryStore;

/// As a store would that only ever overwrites.
#[derive(Clone, Default)]
pub(super) struct Blind {
    inner: MemoryStore,
}

#[async_trait]
impl Store for Blind {
    async fn read(&self, places: &[Place]) -> Result<Vec<Snapshot>, StoreError> {
        self.inner.read(places).await
    }

    async fn commit(&self, batch: &Batch) -> Result<Commit, StoreError> {
        let blind = |part: &Part| Part { base: Base::Any, ..part.clone() };
        self.inner.commit(&Batch { parts: batch.parts.iter().map(blind).collect() }).await
    }

    async fn due(&self, space: Space, now: Timestamp, limit: usize) -> Result<Vec<PartitionKey>, StoreError> {
        self.inner.due(space, now, limit).await
    }
}
