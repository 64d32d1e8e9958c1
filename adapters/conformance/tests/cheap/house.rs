//! A homeserver on one thread that counts what its calls ask of the store and of threads for heavy computations.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{
    executor::{LocalPool, block_on},
    task::LocalSpawnExt,
};
use phoenix_conformance::network::Network;
use phoenix_core::{
    ErrorReply, Origin, Timestamp,
    api::Endpoint,
    port::{
        Batch, Commit, Compute, Job, PartitionKey, Place, Saturated, Snapshot, Space, Store, StoreError,
        Write,
    },
    store::MemoryStore,
    wire::{Call, Wire},
};
use phoenix_homeserver::Homeserver;

use crate::home::{Arrivals, opened};

/// A homeserver whose calls and whose work behind them are waited for apart.
pub(crate) struct House {
    pub(crate) home: Homeserver,
    pub(crate) network: Network,
    store: Counted,
    threads: Threads,
    arrivals: Arrivals,
    pool: LocalPool,
}

/// What was asked of the store and of the threads.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    /// Calls that read.
    pub(crate) reads: usize,
    /// Places that they read.
    pub(crate) places: usize,
    /// Rows that were found, with their spaces, keys and lengths.
    pub(crate) rows: Vec<(Space, Bytes, usize)>,
    /// Batches, each with its parts.
    pub(crate) commits: Vec<Vec<PartCount>>,
    /// Computations on threads of their own.
    pub(crate) jobs: usize,
}

/// A part of a batch.
#[derive(Clone, Debug)]
pub(crate) struct PartCount {
    pub(crate) space: Space,
    pub(crate) kind: u8,
    pub(crate) writes: usize,
    pub(crate) is_write: bool,
    pub(crate) bytes: usize,
}

impl Counts {
    /// Bytes that were read.
    pub(crate) fn bytes_read(&self) -> usize {
        self.rows.iter().map(|(_, _, length)| length).sum()
    }

    /// Bytes that were written.
    pub(crate) fn bytes_written(&self) -> usize {
        self.commits.iter().flatten().map(|part| part.bytes).sum()
    }

    /// Batches that wrote anything in a space.
    pub(crate) fn commits_to(&self, space: Space) -> usize {
        let writes = |parts: &&Vec<PartCount>| parts.iter().any(|part| part.space == space && part.is_write);
        self.commits.iter().filter(writes).count()
    }
}

impl House {
    pub(crate) fn new() -> Self {
        let (store, threads, arrivals) = (Counted::default(), Threads::default(), Arrivals::default());
        let network = Network::default();
        let home = opened(&network, &arrivals, store.clone(), threads.clone());
        let pool = LocalPool::new();
        pool.spawner().spawn_local(home.clone().run()).unwrap();
        Self { home, network, store, threads, arrivals, pool }
    }

    /// Has a call answered; what it causes is left to be done.
    pub(crate) fn ask<E: Endpoint>(&self, call: Call) -> E::Reply {
        self.try_ask::<E>(call).unwrap()
    }

    pub(crate) fn try_ask<E: Endpoint>(&self, call: Call) -> Result<E::Reply, ErrorReply> {
        let description = E::DESCRIPTION;
        let answer = self.home.call(description.service, description.name, call, Origin::default());
        block_on(answer).map(|reply| E::Reply::decode(&reply).unwrap())
    }

    /// Has all done that was caused so far. Nothing waits for a time.
    pub(crate) fn settle(&mut self) {
        self.pool.run_until_stalled();
    }

    /// Has a call answered, and what it causes done: what each took, and how many entries came into queues.
    pub(crate) fn measured<E: Endpoint>(&mut self, call: Call) -> (Counts, Counts, u64) {
        self.settle();
        self.counted();
        let before = self.arrivals.count();
        self.ask::<E>(call);
        let answered = self.counted();
        self.settle();
        (answered, self.counted(), self.arrivals.count() - before)
    }

    /// From now on, no thread takes a computation, or all do again.
    pub(crate) fn saturate(&self, is_saturated: bool) {
        self.threads.is_saturated.store(is_saturated, Ordering::Relaxed);
    }

    /// What was asked for since the last time.
    fn counted(&self) -> Counts {
        let counts = std::mem::take(&mut *self.store.counts.lock().unwrap());
        Counts { jobs: self.threads.jobs.swap(0, Ordering::Relaxed), ..counts }
    }
}

/// A store that counts.
#[derive(Clone, Default)]
struct Counted {
    store: MemoryStore,
    counts: Arc<Mutex<Counts>>,
}

#[async_trait]
impl Store for Counted {
    async fn read(&self, places: &[Place]) -> Result<Vec<Snapshot>, StoreError> {
        let found = self.store.read(places).await?;
        let mut counts = self.counts.lock().unwrap();
        counts.reads += 1;
        counts.places += places.len();
        for (place, snapshot) in places.iter().zip(&found) {
            let space = place.partition.space();
            counts.rows.extend(snapshot.rows.iter().map(|(key, value)| (space, key.clone(), value.len())));
        }
        Ok(found)
    }

    async fn commit(&self, batch: &Batch) -> Result<Commit, StoreError> {
        let parts = batch.parts.iter().map(|part| PartCount {
            space: part.partition.space(),
            kind: part.partition.key()[0],
            writes: part.writes.len(),
            is_write: part.is_write(),
            bytes: part.writes.iter().map(written).sum(),
        });
        self.counts.lock().unwrap().commits.push(parts.collect());
        self.store.commit(batch).await
    }

    async fn due(&self, space: Space, now: Timestamp, limit: usize) -> Result<Vec<PartitionKey>, StoreError> {
        self.store.due(space, now, limit).await
    }
}

fn written(write: &Write) -> usize {
    match write {
        Write::Put(row, value) => row.len() + value.len(),
        Write::Append(value) => value.len(),
        Write::Delete(row) | Write::DeleteBelow(row) | Write::Take(row) => row.len(),
        Write::Drop => 0,
    }
}

/// Threads for heavy computations: one, which does what it is given at once.
#[derive(Clone, Default)]
struct Threads {
    jobs: Arc<AtomicUsize>,
    is_saturated: Arc<AtomicBool>,
}

impl Compute for Threads {
    fn submit(&self, job: Job) -> Result<(), Saturated> {
        if self.is_saturated.load(Ordering::Relaxed) {
            return Err(Saturated(job));
        }
        self.jobs.fetch_add(1, Ordering::Relaxed);
        job();
        Ok(())
    }
}
