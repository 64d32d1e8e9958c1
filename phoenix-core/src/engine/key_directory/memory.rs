//! What is remembered of other homeservers over restarts, and on all replicas.

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    Fault, Fqdn, Timestamp,
    crypto::{AtRestKey, Chance},
    engine::batch,
    operation::Local,
    port::{
        Alarm, Base, Batch, Commit, Entropy, Mark, Part, PartitionKey, Place, Ports, Space, Store, Wanted,
        Write,
    },
    published::Latest,
    time::DAY,
    wire::Wire,
};

/// Keeps how far the documents of homeservers have come, in a few bytes for each.
pub(super) struct Memory {
    store: Arc<dyn Store>,
    entropy: Arc<dyn Entropy>,
    at_rest: AtRestKey,
}

impl Memory {
    pub(super) fn new(ports: &Ports, at_rest: AtRestKey) -> Self {
        Self { store: ports.store.clone(), entropy: ports.entropy.clone(), at_rest }
    }

    /// How far the documents of a homeserver had come.
    ///
    /// # Errors
    /// Where the store fails, or does not hold what was written.
    pub(super) async fn recall(&self, domain: &Fqdn) -> Result<Option<Latest>, Fault> {
        Ok(self.read(&self.partition(domain)).await?.1)
    }

    /// Remembers how far they have come.
    ///
    /// # Errors
    /// Where the store fails, or another replica was faster.
    pub(super) async fn keep(&self, domain: &Fqdn, latest: Latest, now: Timestamp) -> Result<bool, Fault> {
        let partition = self.partition(domain);
        let (mark, known) = self.read(&partition).await?;
        let latest = known.into_iter().fold(latest, Latest::or);
        let (mut fresh, mut seed) = ([0; 16], [0; 32]);
        self.entropy.fill(&mut fresh);
        self.entropy.fill(&mut seed);
        let row = self.at_rest.seal(partition.key(), &latest.encode(), &mut Chance::from_seed(seed));
        let alarm = Alarm::At(batch::rounded(&self.at_rest, &partition, now.plus_secs(FORGET_DAYS * DAY)));
        let (base, writes) = (mark.map_or(Base::Absent, Base::At), vec![Write::Put(LATEST, row)]);
        let part = Part { partition, base, mark: Mark(fresh), writes, alarm };
        Ok(self.store.commit(&Batch { parts: vec![part] }).await? == Commit::Done)
    }

    async fn read(&self, partition: &PartitionKey) -> Result<(Option<Mark>, Option<Latest>), Fault> {
        let place = Place { partition: partition.clone(), wanted: Wanted::Keys(vec![LATEST]) };
        let found =
            self.store.read(std::slice::from_ref(&place)).await?.into_iter().next().unwrap_or_default();
        let Some((_, row)) = found.rows.first() else { return Ok((found.mark, None)) };
        let opened = self.at_rest.open(partition.key(), row)?;
        let latest = Latest::decode(&opened).map_err(|_| Fault::Broken("what is remembered of a peer"))?;
        Ok((found.mark, Some(latest)))
    }

    /// What orders homeservers on a day as nobody chooses or foresees it.
    pub(super) fn lot(&self, domain: &Fqdn, day: u64) -> [u8; 32] {
        self.at_rest.prf("lot of a peer", &[day.to_be_bytes().as_slice(), &domain.encode()].concat())
    }

    pub(super) fn partition(&self, domain: &Fqdn) -> PartitionKey {
        Local::new(PEER, self.at_rest.prf("peer", &domain.encode())).in_space(Space::Peers)
    }
}

/// Partitions of the peers' space: how far the documents of a homeserver have come, by a keyed hash of its domain. Their
/// alarm drops them. The homeserver keeps what is its own in this space, too, under the numbers below.
const PEER: u8 = 4;
/// The only row of it.
const LATEST: Bytes = Bytes::from_static(b"latest");
/// Days after which a homeserver is forgotten that nobody has spoken to.
const FORGET_DAYS: u64 = 180;
