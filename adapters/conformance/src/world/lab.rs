//! A recorded call, given again and again, as it was and changed.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use phoenix_core::{
    ErrorReply, Fqdn, Origin, Timestamp,
    api::{Description, ServiceName},
    limit::Limits,
    port::{Batch, Commit, Inline, Part, PartitionKey, Place, Snapshot, Space, Store, StoreError},
    store::MemoryStore,
    wire::Call,
};
use phoenix_homeserver::{BuildError, Homeserver};

use super::{
    clock::VirtualClock,
    executor::{Executor, Stuck},
    recorder::Recorded,
    settings,
    tape::Tape,
};
use crate::network::Network;

/// Homeservers as they were before a call that was recorded. Nothing that a call writes stays, so that each call
/// finds the same; what it would have written is told.
pub struct Lab {
    executor: Executor,
    network: Network,
    sketches: BTreeMap<Fqdn, Sketch>,
}

/// What became of a call.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The answer.
    pub answer: Result<Bytes, ErrorReply>,
    /// Partitions that it wrote, but for what is spent.
    pub written: Vec<PartitionKey>,
}

impl Lab {
    /// The homeservers of a recorded call, with clocks that are off by so many milliseconds from then.
    ///
    /// # Errors
    /// [`BuildError`], where a homeserver does not start from what its store held.
    pub fn of(recorded: &Recorded, later_ms: u64) -> Result<Self, BuildError> {
        let clock = VirtualClock::starting_at(recorded.before.at.plus_millis(later_ms));
        let tape = Tape::of_seed(1);
        let mut executor = Executor::new(clock.clone(), tape.clone());
        let (network, mut sketches) = (Network::default(), BTreeMap::new());
        for (domain, store) in &recorded.before.disks {
            let sketch = Sketch { store: store.fork(), written: Arc::default() };
            let home = Homeserver::builder(domain.clone())
                .store(sketch.clone())
                .transport(network.transport())
                .clock(clock.clone())
                .entropy(tape.entropy_apart())
                .compute(Inline)
                .auth_settings(settings::auth())
                .queue_settings(settings::queue())
                // What is refused here is refused for itself.
                .limits(Limits::unlimited());
            let built = executor.run(home.build());
            network.join(built.unwrap_or(Err(BuildError::Missing("clock")))?);
            sketches.insert(domain.clone(), sketch);
        }
        Ok(Self { executor, network, sketches })
    }

    /// The endpoints of the homeservers.
    #[must_use]
    pub fn descriptions(&self) -> Vec<Description> {
        let domain = self.sketches.keys().next();
        domain
            .and_then(|domain| self.network.home(domain))
            .map(|home| home.descriptions())
            .unwrap_or_default()
    }

    /// The domains of the homeservers.
    #[must_use]
    pub fn domains(&self) -> Vec<Fqdn> {
        self.sketches.keys().cloned().collect()
    }

    /// Gives a homeserver a call.
    ///
    /// # Errors
    /// [`Stuck`], where the call is never answered.
    pub fn give(
        &mut self,
        to: &Fqdn,
        service: ServiceName,
        name: &str,
        call: Call,
    ) -> Result<Outcome, Stuck> {
        let home = self.network.home(to).ok_or(Stuck)?;
        let name = name.to_owned();
        let answer =
            self.executor.run(async move { home.call(service, &name, call, Origin::default()).await })?;
        let written = self.sketches.values().flat_map(Sketch::take).collect();
        Ok(Outcome { answer, written })
    }
}

/// A store that tells what would be written, and forgets it.
#[derive(Clone)]
struct Sketch {
    store: MemoryStore,
    written: Arc<Mutex<Vec<PartitionKey>>>,
}

impl Sketch {
    fn take(&self) -> Vec<PartitionKey> {
        std::mem::take(&mut *self.written.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl Store for Sketch {
    async fn read(&self, places: &[Place]) -> Result<Vec<Snapshot>, StoreError> {
        self.store.read(places).await
    }

    async fn commit(&self, batch: &Batch) -> Result<Commit, StoreError> {
        let outcome = self.store.fork().commit(batch).await?;
        if outcome == Commit::Done {
            let written = batch.parts.iter().filter(|part| Part::is_write(part)).map(|part| &part.partition);
            let kept = written.filter(|partition| partition.space() != Space::Spent).cloned();
            self.written.lock().unwrap_or_else(PoisonError::into_inner).extend(kept);
        }
        Ok(outcome)
    }

    async fn due(&self, space: Space, now: Timestamp, limit: usize) -> Result<Vec<PartitionKey>, StoreError> {
        self.store.due(space, now, limit).await
    }
}
