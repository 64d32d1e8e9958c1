//! The thread that writes.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use futures::channel::oneshot;
use phoenix_core::port::{Batch, Commit, Part, StoreError, Write};
use phoenix_core::store::number_key;
use rusqlite::Connection;

use crate::connect::PATIENCE;
use crate::failure::Failure;
use crate::tables::{Head, Tables};

/// A batch, and where the answer goes.
pub(crate) struct Job {
    pub(crate) batch: Batch,
    pub(crate) reply: oneshot::Sender<Result<Commit, StoreError>>,
}

/// Writes until nobody can ask any more, and all that was asked is written.
pub(crate) fn run(connection: &Connection, jobs: &Receiver<Job>) {
    let writer = Writer::new(connection);
    // Since when the log has had something in it, or since it was last tried to empty it.
    let mut used_since: Option<Instant> = None;
    loop {
        let is_due = match jobs.recv_timeout(IDLE) {
            Ok(first) => {
                let group: Vec<Job> = std::iter::once(first).chain(jobs.try_iter()).take(MAX_GROUP).collect();
                writer.answer(group);
                used_since.get_or_insert_with(Instant::now).elapsed() >= LONGEST_USE
            }
            Err(RecvTimeoutError::Timeout) => used_since.is_some(),
            Err(RecvTimeoutError::Disconnected) => {
                // Another process may have the file open, which knows nothing of what this one left in the log.
                let _ = used_since.is_some() && (0..LAST_TRIES).any(|_| writer.empty_log());
                return;
            }
        };
        if is_due {
            used_since = if writer.empty_log() { None } else { Some(Instant::now()) };
        }
    }
}

pub(crate) struct Writer<'a> {
    connection: &'a Connection,
    tables: Tables,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(connection: &'a Connection) -> Self {
        Self { connection, tables: Tables::new() }
    }

    fn answer(&self, group: Vec<Job>) {
        let batches: Vec<&Batch> = group.iter().map(|job| &job.batch).collect();
        let answers = self.commit(&batches);
        for (job, answer) in group.into_iter().zip(answers) {
            // Where the caller has gone, its batch is applied all the same (S9).
            let _ = job.reply.send(answer);
        }
    }

    /// Commits all batches in one transaction; one that cannot be written does not keep the others from it.
    pub(crate) fn commit(&self, batches: &[&Batch]) -> Vec<Result<Commit, StoreError>> {
        match self.transaction(batches) {
            Ok(commits) => commits.into_iter().map(Ok).collect(),
            Err(Stopped::Beginning(Failure(error)) | Stopped::Ending(Failure(error))) => {
                batches.iter().map(|_| Err(error)).collect()
            }
            Err(Stopped::Writing(Failure(error))) if batches.len() == 1 => vec![Err(error)],
            Err(Stopped::Writing(_)) => batches.iter().flat_map(|batch| self.commit(&[*batch])).collect(),
        }
    }

    fn transaction(&self, batches: &[&Batch]) -> Result<Vec<Commit>, Stopped> {
        self.execute("BEGIN IMMEDIATE").map_err(Stopped::Beginning)?;
        let commits = batches.iter().map(|batch| self.apply(batch)).collect::<Result<Vec<_>, Failure>>();
        let ended = commits.map_err(Stopped::Writing).and_then(|commits| {
            self.execute("COMMIT").map_err(Stopped::Ending)?;
            Ok(commits)
        });
        if ended.is_err() && !self.connection.is_autocommit() {
            self.execute("ROLLBACK").map_err(Stopped::Ending)?;
        }
        ended
    }

    /// Judges the whole batch before it writes any of it, so that a conflict leaves nothing to undo (S1).
    fn apply(&self, batch: &Batch) -> Result<Commit, Failure> {
        let heads = batch.parts.iter().map(|part| self.tables.head(&part.partition, self.connection));
        let heads = heads.collect::<Result<Vec<Option<Head>>, Failure>>()?;
        let mut pairs = batch.parts.iter().zip(&heads);
        if pairs.clone().any(|(part, head)| part.is_applied(head.map(|head| head.mark))) {
            return Ok(Commit::Done);
        }
        if !pairs.clone().all(|(part, head)| part.base.holds(head.map(|head| head.mark))) {
            return Ok(Commit::Conflict);
        }
        for (part, head) in pairs.clone() {
            let stored = |row: &_| self.tables.has_row(&part.partition, row, self.connection);
            if !part.takes_hold(head.map_or(0, |head| head.next), stored)? {
                return Ok(Commit::Conflict);
            }
        }
        pairs.try_for_each(|(part, head)| if part.is_write() { self.write(part, *head) } else { Ok(()) })?;
        Ok(Commit::Done)
    }

    fn write(&self, part: &Part, before: Option<Head>) -> Result<(), Failure> {
        let Part { partition, mark, writes, alarm, .. } = part;
        let (tables, to) = (&self.tables, self.connection);
        let mut next = before.map_or(0, |head| head.next);
        let mut rings = before.and_then(|head| head.alarm);
        for write in writes {
            match write {
                Write::Put(row, value) => tables.put_row(partition, (row, value), to)?,
                Write::Delete(row) | Write::Take(row) => tables.delete_row(partition, row, to)?,
                Write::DeleteBelow(row) => tables.delete_below(partition, row, to)?,
                Write::Append(value) => {
                    tables.put_row(partition, (&number_key(next), value), to)?;
                    next = next.saturating_add(1);
                }
                Write::Drop => {
                    tables.delete_rows(partition, to)?;
                    rings = None;
                }
            }
        }
        let alarm = alarm.applied(rings);
        let has_row = matches!(writes.last(), Some(Write::Put(..) | Write::Append(_)));
        if alarm.is_some() || has_row || tables.has_rows(partition, to)? {
            return tables.set_head(partition, before, Head { mark: *mark, alarm, next }, to);
        }
        before.map_or(Ok(()), |_| tables.delete_head(partition, to))
    }

    /// Moves all of the log into the database and cuts it to nothing, so that neither what was deleted nor the
    /// order in which rows came stays in it; tells whether that was possible.
    fn empty_log(&self) -> bool {
        // Someone who reads for long must not hold the next batch up. The wait is enough where many read shortly:
        // whoever begins once all is moved does not use the log.
        let hurry = self.connection.busy_timeout(HURRY);
        let is_busy =
            self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0));
        hurry.and(self.connection.busy_timeout(PATIENCE)).is_ok() && is_busy == Ok(false)
    }

    fn execute(&self, statement: &str) -> Result<(), Failure> {
        self.connection.prepare_cached(statement)?.execute([])?;
        Ok(())
    }
}

/// Where a transaction stopped, and why.
enum Stopped {
    Beginning(Failure),
    Writing(Failure),
    Ending(Failure),
}

/// Batches in a transaction: a flush costs as much as some hundred of them, and the first must not wait long.
const MAX_GROUP: usize = 512;
/// How long the writer is idle before it empties the log.
const IDLE: Duration = Duration::from_secs(1);
/// How long the log is used, where the writer is never idle, before it is emptied between two groups: keys that
/// were deleted stay in it until then.
const LONGEST_USE: Duration = Duration::from_secs(3);
/// How often it is tried when the store closes: half a second.
const LAST_TRIES: u32 = 25;
/// How long the writer waits for readers when it empties the log.
const HURRY: Duration = Duration::from_millis(20);
