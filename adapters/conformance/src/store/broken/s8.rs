//! Breaks S8: remembers the mark of a partition that is gone.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use phoenix_core::Timestamp;
use phoenix_core::port::{Batch, Commit, Mark, PartitionKey, Place, Snapshot, Space, Store, StoreError};
use phoenix_core::store::MemoryStore;

/// As a store would that never deletes the head of a partition.
#[derive(Clone, Default)]
pub(super) struct Hoarding {
    inner: MemoryStore,
    marks: Arc<Mutex<BTreeMap<PartitionKey, Mark>>>,
}

#[async_trait]
impl Store for Hoarding {
    async fn read(&self, places: &[Place]) -> Result<Vec<Snapshot>, StoreError> {
        let mut snapshots = self.inner.read(places).await?;
        let marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        for (snapshot, place) in snapshots.iter_mut().zip(places) {
            snapshot.mark = snapshot.mark.or_else(|| marks.get(&place.partition).copied());
        }
        Ok(snapshots)
    }

    async fn commit(&self, batch: &Batch) -> Result<Commit, StoreError> {
        let commit = self.inner.commit(batch).await?;
        if commit == Commit::Done {
            let written = batch.parts.iter().filter(|part| part.is_write());
            let marks = written.map(|part| (part.partition.clone(), part.mark));
            self.marks.lock().unwrap_or_else(PoisonError::into_inner).extend(marks);
        }
        Ok(commit)
    }

    async fn due(&self, space: Space, now: Timestamp, limit: usize) -> Result<Vec<PartitionKey>, StoreError> {
        self.inner.due(space, now, limit).await
    }
}
