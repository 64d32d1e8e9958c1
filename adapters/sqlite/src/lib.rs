//! The Store of Phoenix on SQLite, with group commit.
//!
//! One thread writes: it puts all batches that wait into one transaction, so that a flush to the disk is shared
//! by everyone who waits for it. A few threads read beside it, from snapshots that the writer never blocks. No
//! call blocks the executor that polls it, and no runtime is needed.
//!
//! Each key space has a table of rows, ordered by their keys alone, and one of long values, under random numbers: no row
//! carries a number that tells when it came. What is deleted is overwritten, and the log is emptied whenever the writer has
//! been idle for a second, and every few seconds while it is busy.

mod connect;
mod failure;
mod inspect;
mod open;
mod reader;
mod tables;
#[cfg(test)]
mod tests;
mod writer;

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::thread::JoinHandle;

use async_trait::async_trait;
use futures::channel::oneshot;
use phoenix_core::Timestamp;
use phoenix_core::port::{Batch, Commit, PartitionKey, Place, Snapshot, Space, Store, StoreError};

pub use inspect::inspect;
pub use open::OpenError;

use crate::open::Limits;

/// A [`Store`] in one SQLite file. Clones share it; several values, or processes, may have one file open.
///
/// Dropping the last clone waits until what was handed in is written, and closes the file.
#[derive(Clone)]
pub struct SqliteStore {
    shared: Arc<Shared>,
}

/// The doors come first, so that they close first: the threads end when nobody can ask them anything more.
struct Shared {
    writer: SyncSender<writer::Job>,
    readers: SyncSender<reader::Job>,
    #[expect(dead_code, reason = "waits for the threads when it is dropped")]
    threads: Threads,
}

impl SqliteStore {
    /// Opens the database at `path`, and creates it where there is none. The folder must exist.
    ///
    /// # Errors
    /// [`OpenError`], one sentence that an operator can act on.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::open_within(path.as_ref(), Limits::default())
    }

    fn open_within(path: &Path, limits: Limits) -> Result<Self, OpenError> {
        let (connection, connections) = open::connections(path, limits)?;
        // Before the doors: where one of them cannot be started, the others are waited for after these closed.
        let mut threads = Threads { started: Vec::new(), most: limits.threads };
        let (writer, write_jobs) = std::sync::mpsc::sync_channel(MAX_WAITING);
        let (readers, read_jobs) = std::sync::mpsc::sync_channel(MAX_WAITING);
        threads.start(path, "phoenix-write", move || writer::run(&connection, &write_jobs))?;
        let read_jobs = Arc::new(std::sync::Mutex::new(read_jobs));
        for connection in connections {
            let jobs = Arc::clone(&read_jobs);
            threads.start(path, "phoenix-read", move || reader::run(&connection, &jobs))?;
        }
        Ok(Self { shared: Arc::new(Shared { writer, readers, threads }) })
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn read(&self, places: &[Place]) -> Result<Vec<Snapshot>, StoreError> {
        let (reply, answer) = oneshot::channel();
        hand(&self.shared.readers, reader::Job::Read(places.to_vec(), reply))?;
        answer.await.unwrap_or(Err(StoreError::Unavailable))
    }

    async fn commit(&self, batch: &Batch) -> Result<Commit, StoreError> {
        batch.validate()?;
        let (reply, answer) = oneshot::channel();
        hand(&self.shared.writer, writer::Job { batch: batch.clone(), reply })?;
        answer.await.unwrap_or(Err(StoreError::Unavailable))
    }

    async fn due(&self, space: Space, now: Timestamp, limit: usize) -> Result<Vec<PartitionKey>, StoreError> {
        let (reply, answer) = oneshot::channel();
        hand(&self.shared.readers, reader::Job::Due(space, now, limit, reply))?;
        answer.await.unwrap_or(Err(StoreError::Unavailable))
    }
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteStore").finish_non_exhaustive()
    }
}

fn hand<T>(door: &SyncSender<T>, job: T) -> Result<(), StoreError> {
    door.try_send(job).map_err(|refused| match refused {
        TrySendError::Full(_) | TrySendError::Disconnected(_) => StoreError::Unavailable,
    })
}

struct Threads {
    started: Vec<JoinHandle<()>>,
    /// As many as a test allows; beyond, the system has none left.
    most: Option<usize>,
}

impl Threads {
    fn start(
        &mut self,
        path: &Path,
        name: &str,
        body: impl FnOnce() + Send + 'static,
    ) -> Result<(), OpenError> {
        let thread = if self.most.is_some_and(|most| self.started.len() >= most) {
            Err(ErrorKind::WouldBlock.into())
        } else {
            std::thread::Builder::new().name(name.to_owned()).spawn(body)
        };
        self.started.push(thread.map_err(|error| OpenError::from_io(path, &error))?);
        Ok(())
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // A thread that panicked has nothing left to close.
        self.started.drain(..).for_each(|thread| drop(thread.join()));
    }
}

/// Calls that wait at each door: at 20,000 commits a second a fifth of a second; who comes later is told so.
const MAX_WAITING: usize = 4_096;
