//! Single rows that a homeserver keeps for itself, beside its secrets.

use bytes::Bytes;
use phoenix_core::port::{
    Alarm, Base, Batch, Commit, Mark, Part, PartitionKey, Place, Ports, Space, StoreError, Wanted, Write,
};

/// A row in a partition of its own in the peers' space.
pub(crate) struct OwnRow {
    /// The partition's kind: all of its key.
    pub(crate) kind: &'static [u8; 1],
    pub(crate) key: &'static [u8],
}

impl OwnRow {
    /// The partition's mark, and the row if there is one.
    pub(crate) async fn read(&self, ports: &Ports) -> Result<(Option<Mark>, Option<Bytes>), StoreError> {
        self.read_as(ports, Wanted::Keys(vec![Bytes::from_static(self.key)])).await
    }

    /// The partition's mark alone.
    pub(crate) async fn mark(&self, ports: &Ports) -> Result<Option<Mark>, StoreError> {
        Ok(self.read_as(ports, Wanted::Mark).await?.0)
    }

    /// Writes the row in place of what was read with the mark `base`.
    pub(crate) async fn put(
        &self,
        ports: &Ports,
        base: Option<Mark>,
        (mark, value): (Mark, Bytes),
    ) -> Result<Commit, StoreError> {
        let part = Part {
            partition: self.partition(),
            base: base.map_or(Base::Absent, Base::At),
            mark,
            writes: vec![Write::Put(Bytes::from_static(self.key), value)],
            alarm: Alarm::Keep,
        };
        ports.store.commit(&Batch { parts: vec![part] }).await
    }

    async fn read_as(
        &self,
        ports: &Ports,
        wanted: Wanted,
    ) -> Result<(Option<Mark>, Option<Bytes>), StoreError> {
        let place = Place { partition: self.partition(), wanted };
        let found = ports.store.read(std::slice::from_ref(&place)).await?.into_iter().next();
        let found = found.unwrap_or_default();
        Ok((found.mark, found.rows.into_iter().next().map(|(_, value)| value)))
    }

    fn partition(&self) -> PartitionKey {
        PartitionKey::new(Space::Peers, Bytes::from_static(self.kind))
    }
}
