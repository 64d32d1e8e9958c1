//! Breaks S10: does not know a batch again.

use async_trait::async_trait;
use phoenix_core::Timestamp;
use phoenix_core::port::{
    Alarm, Base, Batch, Commit, Mark, Part, PartitionKey, Place, Snapshot, Space, Store, StoreError, Wanted,
};
use phoenix_core::store::MemoryStore;

/// As a store would that looks at bases alone.
#[derive(Clone, Default)]
pub(super) struct Traceless {
    inner: MemoryStore,
}

#[async_trait]
impl Store for Traceless {
    async fn read(&self, places: &[Place]) -> Result<Vec<Snapshot>, StoreError> {
        self.inner.read(places).await
    }

    async fn commit(&self, batch: &Batch) -> Result<Commit, StoreError> {
        batch.validate()?;
        for part in &batch.parts {
            // An alarm that is set where there is one changes nothing but the mark.
            let place = Place { partition: part.partition.clone(), wanted: Wanted::Mark };
            let found = self.inner.read(&[place]).await?.pop().unwrap_or_default();
            if !part.is_applied(found.mark) {
                continue;
            }
            let alarm = found.alarm.map_or(Alarm::Never, Alarm::At);
            let other = Part {
                base: Base::Any,
                mark: Mark(part.mark.0.map(|byte| !byte)),
                writes: Vec::new(),
                alarm,
                ..part.clone()
            };
            let _ = self.inner.commit(&Batch { parts: vec![other] }).await?;
        }
        self.inner.commit(batch).await
    }

    async fn due(&self, space: Space, now: Timestamp, limit: usize) -> Result<Vec<PartitionKey>, StoreError> {
        self.inner.due(space, now, limit).await
    }
}
