//! A store that fails when it is told to.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use futures::future::BoxFuture;
use phoenix_core::{
    Timestamp,
    port::{Batch, Commit, PartitionKey, Place, Snapshot, Space, Store, StoreError},
    store::MemoryStore,
};

/// Passes everything on, but for some commits.
#[derive(Clone)]
pub(super) struct Fragile {
    inner: MemoryStore,
    commits: Arc<AtomicUsize>,
    fails_at: Arc<AtomicUsize>,
    reads: Arc<AtomicUsize>,
    places: Arc<AtomicUsize>,
    race: Arc<Mutex<Option<Race>>>,
    commit_race: Arc<Mutex<Option<Race>>>,
}

/// What happens, and before which read or commit.
type Race = (usize, BoxFuture<'static, ()>);

impl Fragile {
    pub(super) fn over(inner: MemoryStore) -> Self {
        Self {
            inner,
            commits: Arc::default(),
            fails_at: Arc::new(AtomicUsize::new(usize::MAX)),
            reads: Arc::default(),
            places: Arc::default(),
            race: Arc::default(),
            commit_race: Arc::default(),
        }
    }

    /// So many commits from now on succeed; the next batch fails as often as the driver gives it.
    pub(super) fn fail_after(&self, commits: usize) {
        self.fails_at.store(self.commits.load(Ordering::Relaxed) + commits, Ordering::Relaxed);
    }

    /// So many reads from now on show what is there; before the next, something else happens.
    pub(super) fn meanwhile(&self, reads: usize, race: impl Future<Output = ()> + Send + 'static) {
        let at = self.reads.load(Ordering::Relaxed) + reads;
        *self.race.lock().unwrap() = Some((at, Box::pin(race)));
    }

    /// How often it was read until now, and how many places.
    pub(super) fn read_so_far(&self) -> [usize; 2] {
        [&self.reads, &self.places].map(|count| count.load(Ordering::Relaxed))
    }

    /// Something else happens between the next call's decision and its commit.
    pub(super) fn before_commit(&self, race: impl Future<Output = ()> + Send + 'static) {
        let at = self.commits.load(Ordering::Relaxed);
        *self.commit_race.lock().unwrap() = Some((at, Box::pin(race)));
    }
}

#[async_trait]
impl Store for Fragile {
    async fn read(&self, places: &[Place]) -> Result<Vec<Snapshot>, StoreError> {
        let number = self.reads.fetch_add(1, Ordering::Relaxed);
        let race = self.race.lock().unwrap().take_if(|(at, _)| *at == number);
        if let Some((_, race)) = race {
            race.await;
        }
        self.places.fetch_add(places.len(), Ordering::Relaxed);
        self.inner.read(places).await
    }

    async fn commit(&self, batch: &Batch) -> Result<Commit, StoreError> {
        let number = self.commits.fetch_add(1, Ordering::Relaxed);
        let race = self.commit_race.lock().unwrap().take_if(|(at, _)| *at == number);
        if let Some((_, race)) = race {
            race.await;
        }
        let fails_at = self.fails_at.load(Ordering::Relaxed);
        if (fails_at..fails_at.saturating_add(TRIES)).contains(&number) {
            return Err(StoreError::Unavailable);
        }
        self.inner.commit(batch).await
    }

    async fn due(&self, space: Space, now: Timestamp, limit: usize) -> Result<Vec<PartitionKey>, StoreError> {
        self.inner.due(space, now, limit).await
    }
}

/// How often the driver gives a batch to a store that fails.
const TRIES: usize = 3;
