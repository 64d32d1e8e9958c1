//! Breaks S3: a replica that shows what it last fetched.

use std::sync::Arc;

use async_trait::async_trait;
use phoenix_core::Timestamp;
use phoenix_core::port::{Batch, Commit, PartitionKey, Place, Snapshot, Space, Store, StoreError};
use phoenix_core::store::MemoryStore;

use crate::store::Candidate;

/// As a database would whose reads go to a follower.
#[derive(Default)]
pub(super) struct Lagging(MemoryStore);

#[async_trait]
impl Candidate for Lagging {
    fn store(&self) -> Arc<dyn Store> {
        Arc::new(self.0.clone())
    }

    async fn revived(&self) -> Option<Arc<dyn Store>> {
        Some(Arc::new(self.0.fork()))
    }

    async fn replica(&self) -> Option<Arc<dyn Store>> {
        Some(Arc::new(Follower { leader: self.0.clone(), fetched: self.0.fork() }))
    }
}

struct Follower {
    leader: MemoryStore,
    fetched: MemoryStore,
}

#[async_trait]
impl Store for Follower {
    async fn read(&self, places: &[Place]) -> Result<Vec<Snapshot>, StoreError> {
        self.fetched.read(places).await
    }

    async fn commit(&self, batch: &Batch) -> Result<Commit, StoreError> {
        self.leader.commit(batch).await
    }

    async fn due(&self, space: Space, now: Timestamp, limit: usize) -> Result<Vec<PartitionKey>, StoreError> {
        self.leader.due(space, now, limit).await
    }
}
