//! The threads that read.

use std::sync::mpsc::Receiver;
use std::sync::{Mutex, PoisonError};

use futures::channel::oneshot;
use phoenix_core::Timestamp;
use phoenix_core::port::{PartitionKey, Place, Snapshot, Space, StoreError, Wanted};
use rusqlite::Connection;

use crate::failure::Failure;
use crate::tables::Tables;

/// What a reader is asked, and where the answer goes.
pub(crate) enum Job {
    Read(Vec<Place>, oneshot::Sender<Result<Vec<Snapshot>, StoreError>>),
    Due(Space, Timestamp, usize, oneshot::Sender<Result<Vec<PartitionKey>, StoreError>>),
}

/// Answers until nobody can ask any more.
pub(crate) fn run(connection: &Connection, jobs: &Mutex<Receiver<Job>>) {
    let reader = Reader { connection, tables: Tables::new() };
    while let Some(job) = next(jobs) {
        // Where the caller has gone, there is nobody to answer.
        match job {
            Job::Read(places, reply) if !reply.is_canceled() => {
                let _ = reply.send(reader.read(&places).map_err(|Failure(error)| error));
            }
            Job::Due(space, now, limit, reply) if !reply.is_canceled() => {
                let due = reader.tables.due(space, now, limit, connection);
                let _ = reply.send(due.map_err(|Failure(error)| error));
            }
            Job::Read(..) | Job::Due(..) => {}
        }
    }
}

fn next(jobs: &Mutex<Receiver<Job>>) -> Option<Job> {
    jobs.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

struct Reader<'a> {
    connection: &'a Connection,
    tables: Tables,
}

impl Reader<'_> {
    /// All places from one snapshot of the database, which begins now (S3, S4).
    fn read(&self, places: &[Place]) -> Result<Vec<Snapshot>, Failure> {
        self.connection.prepare_cached("BEGIN")?.execute([])?;
        let snapshots = places.iter().map(|place| self.place(place)).collect();
        let ended = self.connection.prepare_cached("COMMIT")?.execute([]);
        if ended.is_err() && !self.connection.is_autocommit() {
            self.connection.execute_batch("ROLLBACK")?;
        }
        snapshots
    }

    fn place(&self, place: &Place) -> Result<Snapshot, Failure> {
        let Place { partition, wanted } = place;
        let keys: &[_] = if let Wanted::Keys(keys) = wanted { keys } else { &[] };
        let Some((head, rows)) = self.tables.found(partition, keys, self.connection)? else {
            return Ok(Snapshot::default());
        };
        let (rows, more) = match wanted {
            Wanted::Mark | Wanted::Keys(_) => (rows, false),
            Wanted::Range { from, below, limit, bytes } => {
                self.tables.rows(partition, (from, below), (*limit, *bytes), self.connection)?
            }
        };
        Ok(Snapshot { mark: Some(head.mark), alarm: head.alarm, rows, more })
    }
}
