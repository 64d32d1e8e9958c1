//! A store that fails as its plan says, and a caller that does not give up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use phoenix_core::Timestamp;
use phoenix_core::port::{
    Alarm, Batch, Commit, Part, PartitionKey, Place, Snapshot, Space, Store, StoreError, Write,
};

/// A call of the store, as a plan sees it.
#[derive(Clone, Copy, Debug)]
pub enum Call<'a> {
    /// A read of these places.
    Read(&'a [Place]),
    /// A commit of this batch.
    Commit(&'a Batch),
    /// The due partitions of this space.
    Due(Space),
}

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strike {
    /// Nothing: it reaches the store, and its answer the caller.
    Spare,
    /// It fails before it reaches the store.
    Before(StoreError),
    /// It reaches the store; its answer is lost, and the caller sees this instead.
    After(StoreError),
}

/// Chooses what happens to the n-th call, counted from 0.
pub trait Plan: Fn(u64, Call<'_>) -> Strike + Send + Sync + 'static {}

impl<P: Fn(u64, Call<'_>) -> Strike + Send + Sync + 'static> Plan for P {}

/// A store whose calls fail as a [`Plan`] says.
pub struct Faulty {
    inner: Arc<dyn Store>,
    plan: Box<dyn Plan>,
    calls: AtomicU64,
    before: AtomicU64,
    after: AtomicU64,
}

impl Faulty {
    /// Puts a plan before a store.
    pub fn new(inner: Arc<dyn Store>, plan: impl Plan) -> Self {
        let zero = AtomicU64::default;
        Self { inner, plan: Box::new(plan), calls: zero(), before: zero(), after: zero() }
    }

    /// How many calls failed before and after they reached the store.
    #[must_use]
    pub fn struck(&self) -> (u64, u64) {
        (self.before.load(Ordering::Relaxed), self.after.load(Ordering::Relaxed))
    }

    async fn through<T>(
        &self,
        call: Call<'_>,
        answer: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        match (self.plan)(number, call) {
            Strike::Spare => answer.await,
            Strike::Before(error) => {
                self.before.fetch_add(1, Ordering::Relaxed);
                Err(error)
            }
            Strike::After(error) => {
                // An invalid batch is told at once by every store, so that its answer cannot be lost on the way.
                answer.await?;
                self.after.fetch_add(1, Ordering::Relaxed);
                Err(error)
            }
        }
    }
}

#[async_trait]
impl Store for Faulty {
    async fn read(&self, places: &[Place]) -> Result<Vec<Snapshot>, StoreError> {
        self.through(Call::Read(places), self.inner.read(places)).await
    }

    async fn commit(&self, batch: &Batch) -> Result<Commit, StoreError> {
        self.through(Call::Commit(batch), self.inner.commit(batch)).await
    }

    async fn due(&self, space: Space, now: Timestamp, limit: usize) -> Result<Vec<PartitionKey>, StoreError> {
        self.through(Call::Due(space), self.inner.due(space, now, limit)).await
    }
}

/// The exam's plan: every third call fails, by turns before and after it reached the store. The answer of a
/// commit is only lost where the batch leaves a mark by which it is known when it is given again (S10).
#[must_use]
pub fn every_third(number: u64, call: Call<'_>) -> Strike {
    let leaves_trace = match call {
        Call::Commit(batch) => batch.parts.iter().any(leaves_mark),
        Call::Read(_) | Call::Due(_) => true,
    };
    match number % 6 {
        2 => Strike::Before(StoreError::Unavailable),
        5 if leaves_trace => Strike::After(StoreError::Unavailable),
        _ => Strike::Spare,
    }
}

/// Whether the part's partition surely exists after it, and so carries its mark (S8).
fn leaves_mark(part: &Part) -> bool {
    let has_row = matches!(part.writes.last(), Some(Write::Put(..) | Write::Append(_)));
    has_row || matches!(part.alarm, Alarm::At(_) | Alarm::IfNone(_))
}

/// Gives a call that failed again, unchanged, as the driver does: up to eight times.
pub struct Persistent {
    inner: Arc<dyn Store>,
}

impl Persistent {
    /// Stands between a store that fails and a caller that would rather not know.
    #[must_use]
    pub const fn new(inner: Arc<dyn Store>) -> Self {
        Self { inner }
    }
}

#[async_trait]
impl Store for Persistent {
    async fn read(&self, places: &[Place]) -> Result<Vec<Snapshot>, StoreError> {
        let mut answer = self.inner.read(places).await;
        for _ in 0..RETRIES {
            if answer != Err(StoreError::Unavailable) {
                break;
            }
            answer = self.inner.read(places).await;
        }
        answer
    }

    async fn commit(&self, batch: &Batch) -> Result<Commit, StoreError> {
        let mut answer = self.inner.commit(batch).await;
        for _ in 0..RETRIES {
            if answer != Err(StoreError::Unavailable) {
                break;
            }
            answer = self.inner.commit(batch).await;
        }
        answer
    }

    async fn due(&self, space: Space, now: Timestamp, limit: usize) -> Result<Vec<PartitionKey>, StoreError> {
        let mut answer = self.inner.due(space, now, limit).await;
        for _ in 0..RETRIES {
            if answer != Err(StoreError::Unavailable) {
                break;
            }
            answer = self.inner.due(space, now, limit).await;
        }
        answer
    }
}

/// More than any plan of the exam fails in a row, for many callers at once.
const RETRIES: usize = 8;
