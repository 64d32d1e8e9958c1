//! A homeserver of which all that a call causes is waited for.

use std::{
    cell::RefCell,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{executor::LocalPool, future::join_all, task::LocalSpawnExt};
use phoenix_conformance::network::Network;
use phoenix_core::{
    Origin, Timestamp,
    api::{Description, Endpoint},
    port::{Batch, Commit, Inline, PartitionKey, Place, Snapshot, Space, Store, StoreError, Write},
    store::MemoryStore,
    wire::{Call, Wire},
};
use phoenix_homeserver::Homeserver;
use phoenix_sqlite::SqliteStore;
use tempfile::TempDir;

use crate::home::{Arrivals, opened};

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
    arrivals: Arrivals,
    expected: u64,
    pool: RefCell<LocalPool>,
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
        let store = Arc::new(Weighed { store, lengths: Mutex::default() });
        let (network, arrivals) = (Network::default(), Arrivals::default());
        let home = opened(&network, &arrivals, store.clone(), Inline);
        let pool = RefCell::new(LocalPool::new());
        Self { home, network, store, arrivals, expected: 0, pool, _folder: folder }
    }

    /// The same homeserver after a restart: nothing is left of what it keeps in memory.
    pub(crate) fn restart(&mut self) {
        self.pool = RefCell::default();
        self.home = opened(&self.network, &self.arrivals, self.store.clone(), Inline);
        self.work();
    }

    /// How long rows were when they were written last.
    pub(crate) fn lengths(&self) -> Lengths {
        *self.store.lengths.lock().unwrap()
    }

    /// Has lanes carried from now on.
    pub(crate) fn work(&mut self) {
        self.pool.get_mut().spawner().spawn_local(self.home.clone().run()).unwrap();
    }

    /// Has a call answered, while lanes are carried: what is on its way there may hold what the call waits for.
    pub(crate) fn ask<E: Endpoint>(&self, call: Call) -> E::Reply {
        let answer = self.pool.borrow_mut().run_until(answered(&self.home, &E::DESCRIPTION, call));
        E::Reply::decode(&answer).unwrap()
    }

    /// Has calls answered, one after the other, each once so many entries that it causes lie in queues.
    #[inline(never)]
    pub(crate) fn measured(&mut self, description: &Description, calls: Vec<Call>, entries: u64) {
        for call in calls {
            self.pool.get_mut().run_until(answered(&self.home, description, call));
            self.arrive(entries);
        }
    }

    /// Has calls answered all at once, and waits until so many entries lie in queues.
    pub(crate) fn crowded(&mut self, description: &Description, calls: Vec<Call>, entries: u64) {
        let home = &self.home;
        let answers = calls.into_iter().map(|call| answered(home, description, call));
        self.pool.get_mut().run_until(join_all(answers));
        self.arrive(entries);
    }

    /// Waits for so many more entries.
    pub(crate) fn arrive(&mut self, entries: u64) {
        self.expected += entries;
        self.pool.get_mut().run_until(self.arrivals.reach(self.expected));
        assert_eq!(self.arrivals.count(), self.expected, "nothing else may have come in their place");
    }
}

async fn answered(home: &Homeserver, description: &Description, call: Call) -> Bytes {
    home.call(description.service, description.name, call, Origin::default()).await.unwrap()
}

/// How long some rows are.
#[derive(Clone, Copy, Default)]
pub(crate) struct Lengths {
    /// A group's roster.
    pub(crate) roster: usize,
    /// A group's tree.
    pub(crate) tree: usize,
    /// An entry of a queue.
    pub(crate) entry: usize,
}

/// The store, and how long rows are.
struct Weighed {
    store: Arc<dyn Store>,
    lengths: Mutex<Lengths>,
}

#[async_trait]
impl Store for Weighed {
    async fn read(&self, places: &[Place]) -> Result<Vec<Snapshot>, StoreError> {
        self.store.read(places).await
    }

    async fn commit(&self, batch: &Batch) -> Result<Commit, StoreError> {
        self.weigh(batch);
        self.store.commit(batch).await
    }

    async fn due(&self, space: Space, now: Timestamp, limit: usize) -> Result<Vec<PartitionKey>, StoreError> {
        self.store.due(space, now, limit).await
    }
}

impl Weighed {
    fn weigh(&self, batch: &Batch) {
        let mut lengths = self.lengths.lock().unwrap();
        for part in &batch.parts {
            for write in &part.writes {
                let Write::Put(row, value) = write else { continue };
                match (part.partition.space(), &row[..]) {
                    (Space::Ds, b"r") => lengths.roster = value.len(),
                    (Space::Ds, b"t") => lengths.tree = value.len(),
                    (Space::Qs, [_, _, _, _, _, _, _, _]) => lengths.entry = value.len(),
                    _ => {}
                }
            }
        }
    }
}
