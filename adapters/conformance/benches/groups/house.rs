//! A homeserver of which all that a call causes is waited for.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::Poll,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{
    executor::{LocalPool, block_on},
    future::{join_all, poll_fn},
    task::{AtomicWaker, LocalSpawnExt},
};
use phoenix_conformance::network::Network;
use phoenix_core::{
    Fqdn, Origin, Timestamp,
    api::{Description, Endpoint},
    limit::Limits,
    port::{
        Batch, Clock, Commit, Inline, LocalWake, PartitionKey, Place, Snapshot, Space, Store, StoreError,
        Topic, Wake, Wakened, Write,
    },
    store::MemoryStore,
    wire::{Call, Wire},
};
use phoenix_homeserver::{Homeserver, SystemClock, auth::Settings as AuthSettings};
use phoenix_sqlite::SqliteStore;
use tempfile::TempDir;

/// Where a homeserver keeps everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Memory,
    Sqlite,
}

impl Kind {
    pub(crate) const ALL: [Self; 2] = [Self::Memory, Self::Sqlite];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Sqlite => "SQLite",
        }
    }
}

/// A homeserver on one thread, but for those of its store.
pub(crate) struct House {
    pub(crate) home: Homeserver,
    pub(crate) network: Network,
    store: Arc<Weighed>,
    arrivals: Arc<Arrivals>,
    expected: u64,
    pool: LocalPool,
    /// Goes last: the database lies in it.
    _folder: TempDir,
}

impl House {
    pub(crate) fn new(kind: Kind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> = match kind {
            Kind::Memory => Arc::new(MemoryStore::new()),
            Kind::Sqlite => Arc::new(SqliteStore::open(folder.path().join("db")).unwrap()),
        };
        let store = Arc::new(Weighed { store, roster: AtomicUsize::new(0), tree: AtomicUsize::new(0) });
        let (network, arrivals) = (Network::default(), Arc::default());
        let home = opened(&network, &store, &arrivals);
        let pool = LocalPool::new();
        Self { home, network, store, arrivals, expected: 0, pool, _folder: folder }
    }

    /// The same homeserver after a restart: nothing is left of what it keeps in memory.
    pub(crate) fn restart(&mut self) {
        self.pool = LocalPool::new();
        self.home = opened(&self.network, &self.store, &self.arrivals);
        self.work();
    }

    /// How long the rows of the roster and of the tree were when they were written last.
    pub(crate) fn lengths(&self) -> (usize, usize) {
        (self.store.roster.load(Ordering::Relaxed), self.store.tree.load(Ordering::Relaxed))
    }

    /// Has lanes carried from now on.
    pub(crate) fn work(&mut self) {
        self.pool.spawner().spawn_local(self.home.clone().run()).unwrap();
    }

    /// Has a call answered.
    pub(crate) fn ask<E: Endpoint>(&self, call: Call) -> E::Reply {
        E::Reply::decode(&block_on(answered(&self.home, &E::DESCRIPTION, call))).unwrap()
    }

    /// Has calls answered, one after the other, each once so many entries that it causes lie in queues.
    #[inline(never)]
    pub(crate) fn measured(&mut self, description: &Description, calls: Vec<Call>, entries: u64) {
        for call in calls {
            self.pool.run_until(answered(&self.home, description, call));
            self.arrive(entries);
        }
    }

    /// Has calls answered all at once, and waits until so many entries lie in queues.
    pub(crate) fn crowded(&mut self, description: &Description, calls: Vec<Call>, entries: u64) {
        let home = &self.home;
        self.pool.run_until(join_all(calls.into_iter().map(|call| answered(home, description, call))));
        self.arrive(entries);
    }

    /// Waits for so many more entries.
    pub(crate) fn arrive(&mut self, entries: u64) {
        self.expected += entries;
        self.pool.run_until(self.arrivals.reach(self.expected));
    }
}

fn opened(network: &Network, store: &Arc<Weighed>, arrivals: &Arc<Arrivals>) -> Homeserver {
    let mut auth = AuthSettings { ceiling: u64::MAX / 1_000, ..AuthSettings::default() };
    (auth.allowances.standard, auth.allowances.home) = (u32::MAX, u32::MAX);
    let builder = Homeserver::builder(domain()).store(store.clone()).transport(network.transport());
    let builder = builder.compute(Inline).clock(Patient).wake(Counting(arrivals.clone()));
    let home = block_on(builder.limits(Limits::unlimited()).auth_settings(auth).build()).unwrap();
    network.join(home.clone());
    home
}

async fn answered(home: &Homeserver, description: &Description, call: Call) -> Bytes {
    home.call(description.service, description.name, call, Origin::default()).await.unwrap()
}

pub(crate) fn domain() -> Fqdn {
    "alpha.test".parse().unwrap()
}

/// Counts the entries that came into queues by the wake-ups that they cause.
#[derive(Default)]
struct Arrivals {
    count: AtomicU64,
    waiting: AtomicWaker,
    wake: LocalWake,
}

impl Arrivals {
    async fn reach(&self, count: u64) {
        let reached = |cx: &mut std::task::Context<'_>| {
            self.waiting.register(cx.waker());
            if self.count.load(Ordering::Relaxed) < count { Poll::Pending } else { Poll::Ready(()) }
        };
        poll_fn(reached).await;
    }
}

struct Counting(Arc<Arrivals>);

#[async_trait]
impl Wake for Counting {
    fn subscribe(&self, topic: &Topic) -> Box<dyn Wakened> {
        self.0.wake.subscribe(topic)
    }

    async fn wake(&self, topics: &[Topic]) {
        self.0.count.fetch_add(topics.len() as u64, Ordering::Relaxed);
        self.0.waiting.wake();
        self.0.wake.wake(topics).await;
    }

    async fn tell(&self, topic: &Topic, message: &Bytes) {
        self.0.wake.tell(topic, message).await;
    }

    fn is_heard(&self, topic: &Topic) -> bool {
        self.0.wake.is_heard(topic)
    }
}

/// The time, which nobody waits for: all that a homeserver does has a cause.
struct Patient;

#[async_trait]
impl Clock for Patient {
    fn now(&self) -> Timestamp {
        SystemClock.now()
    }

    async fn sleep_until(&self, _: Timestamp) {
        std::future::pending().await
    }
}

/// The store, and how long a group's rows are.
struct Weighed {
    store: Arc<dyn Store>,
    roster: AtomicUsize,
    tree: AtomicUsize,
}

#[async_trait]
impl Store for Weighed {
    async fn read(&self, places: &[Place]) -> Result<Vec<Snapshot>, StoreError> {
        self.store.read(places).await
    }

    async fn commit(&self, batch: &Batch) -> Result<Commit, StoreError> {
        for part in batch.parts.iter().filter(|part| part.partition.space() == Space::Ds) {
            for write in &part.writes {
                match write {
                    Write::Put(row, value) if **row == *b"r" => {
                        self.roster.store(value.len(), Ordering::Relaxed)
                    }
                    Write::Put(row, value) if **row == *b"t" => {
                        self.tree.store(value.len(), Ordering::Relaxed)
                    }
                    _ => {}
                }
            }
        }
        self.store.commit(batch).await
    }

    async fn due(&self, space: Space, now: Timestamp, limit: usize) -> Result<Vec<PartitionKey>, StoreError> {
        self.store.due(space, now, limit).await
    }
}
