//! Breaks S4: reads the mark and alarm first and the rows afterwards.

use async_trait::async_trait;
use phoenix_core::Timestamp;
use phoenix_core::port::{Batch, Commit, PartitionKey, Place, Snapshot, Space, Store, StoreError, Wanted};
use phoenix_core::store::MemoryStore;

use crate::store::sitting::pause;

/// As a store would that reads two tables without a transaction.
#[derive(Clone, Default)]
pub(super) struct Torn {
    inner: MemoryStore,
}

#[async_trait]
impl Store for Torn {
    async fn read(&self, places: &[Place]) -> Result<Vec<Snapshot>, StoreError> {
        let heads: Vec<Place> =
            places.iter().map(|place| Place { wanted: Wanted::Mark, ..place.clone() }).collect();
        let mut snapshots = self.inner.read(&heads).await?;
        pause().await;
        for (snapshot, later) in snapshots.iter_mut().zip(self.inner.read(places).await?) {
            snapshot.rows = later.rows;
            snapshot.more = later.more;
        }
        Ok(snapshots)
    }

    async fn commit(&self, batch: &Batch) -> Result<Commit, StoreError> {
        self.inner.commit(batch).await
    }

    async fn due(&self, space: Space, now: Timestamp, limit: usize) -> Result<Vec<PartitionKey>, StoreError> {
        self.inner.due(space, now, limit).await
    }
}
