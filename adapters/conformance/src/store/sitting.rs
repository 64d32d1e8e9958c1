//! What a case is given: a store, and words to say what should hold of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use phoenix_core::Timestamp;
use phoenix_core::port::{
    Alarm, Base, Batch, Commit, Mark, Part, PartitionKey, Place, Snapshot, Space, Store, StoreError, Wanted,
    Write,
};

use super::{Candidate, Violation};

/// One store that sits one case.
pub struct Sitting<'a> {
    case: &'static str,
    store: Arc<dyn Store>,
    /// Who brings replicas and revived stores, and what it is excused from.
    candidate: Option<(&'a dyn Candidate, &'a [&'a str])>,
}

impl<'a> Sitting<'a> {
    /// A sitting of `store`. `candidate` brings replicas and revived stores, unless it is excused from that; where
    /// there is none, what needs them is left out.
    #[must_use]
    pub const fn new(
        case: &'static str,
        store: Arc<dyn Store>,
        candidate: Option<(&'a dyn Candidate, &'a [&'a str])>,
    ) -> Self {
        Self { case, store, candidate }
    }

    pub(super) fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The same sitting, but of another view of the store.
    pub(super) fn of(&self, store: Arc<dyn Store>) -> Self {
        Self { case: self.case, store, candidate: self.candidate }
    }

    /// The store after a kill; none where that is not asked.
    pub(super) async fn revived(&self) -> Result<Option<Self>, Violation> {
        let Some(candidate) = self.asked("s5") else { return Ok(None) };
        let revived = candidate.revived().await;
        self.expect(revived.is_some(), "a store outlives a kill, or is excused by name")?;
        Ok(revived.map(|store| self.of(store)))
    }

    /// Another replica; none where that is not asked.
    pub(super) async fn replica(&self) -> Result<Option<Self>, Violation> {
        let Some(candidate) = self.asked("replicas") else { return Ok(None) };
        let replica = candidate.replica().await;
        self.expect(replica.is_some(), "a store has replicas, or is excused by name")?;
        Ok(replica.map(|store| self.of(store)))
    }

    /// The store's candidate, unless it is excused.
    fn asked(&self, excuse: &str) -> Option<&'a dyn Candidate> {
        self.candidate.filter(|(_, excused)| !excused.contains(&excuse)).map(|(candidate, _)| candidate)
    }

    pub(super) fn expect(&self, holds: bool, what: &str) -> Result<(), Violation> {
        if holds { Ok(()) } else { Err(Violation { case: self.case, what: what.to_owned() }) }
    }

    fn answered<T>(&self, answer: Result<T, StoreError>) -> Result<T, Violation> {
        answer.map_err(|error| Violation { case: self.case, what: format!("a call failed: {error}") })
    }

    pub(super) async fn commit(&self, parts: &[Part]) -> Result<Commit, Violation> {
        let batch = Batch { parts: parts.to_vec() };
        self.answered(self.store.commit(&batch).await)
    }

    pub(super) async fn done(&self, parts: &[Part]) -> Result<(), Violation> {
        let commit = self.commit(parts).await?;
        self.expect(commit == Commit::Done, "a batch whose bases hold is done")
    }

    pub(super) async fn conflict(&self, parts: &[Part]) -> Result<(), Violation> {
        let commit = self.commit(parts).await?;
        self.expect(commit == Commit::Conflict, "a batch whose bases do not hold is a conflict")
    }

    pub(super) async fn invalid(&self, parts: &[Part]) -> Result<(), Violation> {
        let answer = self.store.commit(&Batch { parts: parts.to_vec() }).await;
        self.expect(answer == Err(StoreError::Invalid), "a batch beyond a bound is invalid")
    }

    pub(super) async fn read(&self, places: &[Place]) -> Result<Vec<Snapshot>, Violation> {
        let snapshots = self.answered(self.store.read(places).await)?;
        self.expect(snapshots.len() == places.len(), "every place has its snapshot")?;
        Ok(snapshots)
    }

    pub(super) async fn look(&self, partition: &PartitionKey, wanted: Wanted) -> Result<Snapshot, Violation> {
        let place = Place { partition: partition.clone(), wanted };
        Ok(self.read(&[place]).await?.pop().unwrap_or_default())
    }

    /// The whole partition.
    pub(super) async fn whole(&self, partition: &PartitionKey) -> Result<Snapshot, Violation> {
        self.look(partition, Wanted::first(u32::MAX)).await
    }

    pub(super) async fn due(
        &self,
        space: Space,
        now: u64,
        limit: usize,
    ) -> Result<Vec<PartitionKey>, Violation> {
        self.answered(self.store.due(space, Timestamp(now), limit).await)
    }
}

/// A partition of the space of queues.
pub(super) fn queue(name: &'static str) -> PartitionKey {
    PartitionKey::new(Space::Qs, Bytes::from_static(name.as_bytes()))
}

pub(super) fn numbered(space: Space, number: u64) -> PartitionKey {
    PartitionKey::new(space, Bytes::copy_from_slice(&number.to_be_bytes()))
}

/// A part with a fresh mark and these writes, on any base.
pub(super) fn write<const N: usize>(partition: &PartitionKey, writes: [Write; N]) -> Part {
    let writes = writes.into_iter().collect();
    Part { partition: partition.clone(), base: Base::Any, mark: fresh_mark(), writes, alarm: Alarm::Keep }
}

/// A part that only checks.
pub(super) fn check(partition: &PartitionKey, base: Base) -> Part {
    Part { base, ..write(partition, []) }
}

/// A part that only sets the alarm.
pub(super) fn alarm(partition: &PartitionKey, alarm: Alarm) -> Part {
    Part { alarm, ..write(partition, []) }
}

pub(super) fn put(row: &'static str, value: &'static str) -> Write {
    Write::Put(bytes(row), bytes(value))
}

pub(super) fn take(row: &'static str) -> Write {
    Write::Take(bytes(row))
}

pub(super) fn delete(row: &'static str) -> Write {
    Write::Delete(bytes(row))
}

pub(super) fn append(value: &'static str) -> Write {
    Write::Append(bytes(value))
}

pub(super) const fn bytes(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

/// The rows as text, for keys and values that are text.
pub(super) fn rows(pairs: &[(&'static str, &'static str)]) -> Vec<(Bytes, Bytes)> {
    pairs.iter().map(|(row, value)| (bytes(row), bytes(value))).collect()
}

/// The number that an appended row's key tells.
pub(super) fn number_of(row: &Bytes) -> Option<u64> {
    row.as_ref().try_into().ok().map(u64::from_be_bytes)
}

/// A mark that no other batch of this process has.
pub(super) fn fresh_mark() -> Mark {
    static LAST: AtomicU64 = AtomicU64::new(1);
    let number = LAST.fetch_add(1, Ordering::Relaxed);
    Mark((u128::from(number) << 64 | u128::from(number)).to_be_bytes())
}

/// Gives other futures and threads a turn.
pub(super) async fn pause() {
    let mut waited = false;
    futures::future::poll_fn(|context| {
        if waited {
            return std::task::Poll::Ready(());
        }
        waited = true;
        context.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}

/// Runs one future on a thread each, and tells what each found.
pub(super) fn on_threads<F: Future<Output = Result<(), Violation>> + Send>(
    futures: impl IntoIterator<Item = F>,
) -> Result<(), Violation> {
    let futures: Vec<F> = futures.into_iter().collect();
    std::thread::scope(|scope| {
        let threads: Vec<_> = futures
            .into_iter()
            .map(|future| scope.spawn(move || futures::executor::block_on(future)))
            .collect();
        let panicked =
            |_| Err(Violation { case: "a thread of a case", what: "it ends without a panic".to_owned() });
        threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(panicked))
    })
}
