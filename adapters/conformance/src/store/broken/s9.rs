//! Breaks S9: a commit that is dropped on its way leaves the half that it had written.

use async_trait::async_trait;
use phoenix_core::Timestamp;
use phoenix_core::port::{
    Base, Batch, Commit, Part, PartitionKey, Place, Snapshot, Space, Store, StoreError,
};
use phoenix_core::store::MemoryStore;

use crate::store::sitting::pause;

/// As a store would that waits for its connection inside a transaction that it does not roll back.
#[derive(Clone, Default)]
pub(super) struct Halved {
    inner: MemoryStore,
}

#[async_trait]
impl Store for Halved {
    async fn read(&self, places: &[Place]) -> Result<Vec<Snapshot>, StoreError> {
        self.inner.read(places).await
    }

    async fn commit(&self, batch: &Batch) -> Result<Commit, StoreError> {
        batch.validate()?;
        if self.inner.fork().commit(batch).await? == Commit::Conflict {
            return Ok(Commit::Conflict);
        }
        let (first, rest) = batch.parts.split_at(batch.parts.len() / 2);
        for parts in [first, rest] {
            let parts = parts.iter().map(|part| Part { base: Base::Any, ..part.clone() }).collect();
            if self.inner.commit(&Batch { parts }).await? == Commit::Conflict {
                return Ok(Commit::Conflict);
            }
            pause().await;
        }
        Ok(Commit::Done)
    }

    async fn due(&self, space: Space, now: Timestamp, limit: usize) -> Result<Vec<PartitionKey>, StoreError> {
        self.inner.due(space, now, limit).await
    }
}
