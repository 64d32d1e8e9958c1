//! What a homeserver needs of its surroundings, under control of the tests.

use std::{
    future::poll_fn,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Poll,
};

use async_trait::async_trait;
use bytes::Bytes;
use phoenix_core::{
    ErrorReply, Failure, Fqdn, Timestamp,
    api::ServiceName,
    credential::RevocationEntry,
    crypto::Chance,
    engine::Ticker,
    operation::{Local, OnAlarm, Service},
    port::{
        Batch, Clock, Commit, Entropy, Outgoing, PartitionKey, Place, Snapshot, Space, Store, StoreError,
        Transport, TransportError,
    },
    published::AsDocument,
    store::MemoryStore,
    wire::List,
};

use crate::{AuthKeys, AuthService};

/// Seconds since the world began; waiting lets them pass.
#[derive(Default)]
pub(super) struct TestClock(pub(super) AtomicU64);

impl TestClock {
    pub(super) fn elapsed_s(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(1_699_920_000 + self.elapsed_s())
    }

    async fn sleep_until(&self, at: Timestamp) {
        yield_once().await;
        self.0.fetch_add(at.as_secs().saturating_sub(self.now().as_secs()), Ordering::Relaxed);
    }
}

/// Lets others go on before time passes.
async fn yield_once() {
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Memory that notes how many places are read and written at once and, once there is a second replica, lets others go on within
/// each access.
pub(super) struct TestStore {
    memory: MemoryStore,
    yields: AtomicBool,
    reads: Mutex<Vec<usize>>,
    commits: Mutex<Vec<usize>>,
}

impl TestStore {
    pub(super) const fn new(memory: MemoryStore) -> Self {
        Self {
            memory,
            yields: AtomicBool::new(false),
            reads: Mutex::new(Vec::new()),
            commits: Mutex::new(Vec::new()),
        }
    }

    /// From here on, others go on within each access.
    pub(super) fn let_others_in(&self) {
        self.yields.store(true, Ordering::Relaxed);
    }

    async fn yielding(&self) {
        if self.yields.load(Ordering::Relaxed) {
            yield_once().await;
        }
    }

    /// The places of each read since this was asked last.
    pub(super) fn reads(&self) -> Vec<usize> {
        std::mem::take(&mut self.reads.lock().unwrap())
    }

    /// The parts of each commit since this was asked last.
    pub(super) fn commits(&self) -> Vec<usize> {
        std::mem::take(&mut self.commits.lock().unwrap())
    }
}

#[async_trait]
impl Store for TestStore {
    async fn read(&self, places: &[Place]) -> Result<Vec<Snapshot>, StoreError> {
        self.reads.lock().unwrap().push(places.len());
        let found = self.memory.read(places).await;
        self.yielding().await;
        found
    }

    async fn commit(&self, batch: &Batch) -> Result<Commit, StoreError> {
        self.commits.lock().unwrap().push(batch.parts.len());
        self.yielding().await;
        self.memory.commit(batch).await
    }

    async fn due(&self, space: Space, now: Timestamp, limit: usize) -> Result<Vec<PartitionKey>, StoreError> {
        self.memory.due(space, now, limit).await
    }
}

/// Does what the AS's alarms ask for, which is never more than to drop.
pub(super) struct Drops;

#[async_trait]
impl Ticker for Drops {
    fn on_alarm(&self, space: Space, kind: u8) -> OnAlarm {
        if space == Space::As { AuthService::on_alarm(kind) } else { OnAlarm::Drop }
    }

    async fn tick(&self, _: Space, _: Local) -> Result<(), Failure> {
        Ok(())
    }
}

/// Never the same bytes twice.
#[derive(Default)]
pub(super) struct Counting(AtomicU64);

impl Entropy for Counting {
    fn fill(&self, buffer: &mut [u8]) {
        let mut seed = [9; 32];
        seed[..8].copy_from_slice(&self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        let mut chance = Chance::from_seed(seed);
        buffer.iter_mut().for_each(|byte| [*byte] = chance.bytes());
    }
}

/// Publishes the keys of beta.test, and answers nothing else.
pub(super) struct Neighbour {
    pub(super) keys: AuthKeys,
    pub(super) clock: Arc<TestClock>,
    pub(super) fetches: AtomicU64,
    pub(super) questions: AtomicU64,
    pub(super) revoked: Mutex<Vec<RevocationEntry>>,
}

#[async_trait]
impl Transport for Neighbour {
    async fn send(&self, _: &Fqdn, _: Outgoing) -> Result<Result<Bytes, ErrorReply>, TransportError> {
        self.questions.fetch_add(1, Ordering::Relaxed);
        Err(TransportError::Unreachable)
    }

    async fn fetch(&self, _: &Fqdn, service: ServiceName) -> Result<Bytes, TransportError> {
        assert_eq!(service, ServiceName::As);
        self.fetches.fetch_add(1, Ordering::Relaxed);
        let revoked = self.revoked.lock().unwrap().clone();
        let serial = 1 + u64::try_from(revoked.len()).unwrap();
        let list = self.keys.revocation_list(serial, List::new(revoked).unwrap(), self.clock.now());
        AsDocument::encode(&self.keys.identity(list.unwrap()), self.keys.key_list())
            .map_err(|_| TransportError::Unreachable)
    }
}
