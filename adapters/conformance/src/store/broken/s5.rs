//! Breaks S5: what was done reaches the disk with the next batch.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use phoenix_core::Timestamp;
use phoenix_core::port::{Batch, Commit, PartitionKey, Place, Snapshot, Space, Store, StoreError};
use phoenix_core::store::MemoryStore;

use crate::store::Candidate;

/// As a store would that answers before it has flushed.
#[derive(Clone, Default)]
pub(super) struct Buffered {
    memory: MemoryStore,
    disk: Arc<Mutex<MemoryStore>>,
}

#[async_trait]
impl Candidate for Buffered {
    fn store(&self) -> Arc<dyn Store> {
        Arc::new(self.clone())
    }

    async fn revived(&self) -> Option<Arc<dyn Store>> {
        Some(Arc::new(self.disk.lock().unwrap_or_else(PoisonError::into_inner).clone()))
    }

    async fn replica(&self) -> Option<Arc<dyn Store>> {
        Some(self.store())
    }
}

#[async_trait]
impl Store for Buffered {
    async fn read(&self, places: &[Place]) -> Result<Vec<Snapshot>, StoreError> {
        self.memory.read(places).await
    }

    async fn commit(&self, batch: &Batch) -> Result<Commit, StoreError> {
        *self.disk.lock().unwrap_or_else(PoisonError::into_inner) = self.memory.fork();
        self.memory.commit(batch).await
    }

    async fn due(&self, space: Space, now: Timestamp, limit: usize) -> Result<Vec<PartitionKey>, StoreError> {
        self.memory.due(space, now, limit).await
    }
}
