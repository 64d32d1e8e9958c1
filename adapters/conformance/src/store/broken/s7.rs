//! Breaks S7: takes keys for text, and what is not text for a question mark.

use async_trait::async_trait;
use phoenix_core::Timestamp;
use phoenix_core::port::{
    Batch, Commit, Part, PartitionKey, Place, RowKey, Snapshot, Space, Store, StoreError, Write,
};
use phoenix_core::store::MemoryStore;

/// As a store would that keeps keys in a column of text.
#[derive(Clone, Default)]
pub(super) struct Textual {
    inner: MemoryStore,
}

#[async_trait]
impl Store for Textual {
    async fn read(&self, places: &[Place]) -> Result<Vec<Snapshot>, StoreError> {
        self.inner.read(places).await
    }

    async fn commit(&self, batch: &Batch) -> Result<Commit, StoreError> {
        let write = |write: &Write| match write {
            Write::Put(row, value) => Write::Put(text(row), value.clone()),
            Write::Delete(row) => Write::Delete(text(row)),
            Write::DeleteBelow(row) => Write::DeleteBelow(text(row)),
            Write::Take(row) => Write::Take(text(row)),
            Write::Append(value) => Write::Append(value.clone()),
            Write::Drop => Write::Drop,
        };
        let part = |part: &Part| Part { writes: part.writes.iter().map(write).collect(), ..part.clone() };
        self.inner.commit(&Batch { parts: batch.parts.iter().map(part).collect() }).await
    }

    async fn due(&self, space: Space, now: Timestamp, limit: usize) -> Result<Vec<PartitionKey>, StoreError> {
        self.inner.due(space, now, limit).await
    }
}

fn text(key: &RowKey) -> RowKey {
    String::from_utf8_lossy(key).into_owned().into()
}
