//! S5 with a real kill: what a child process does until it is killed, and what must be found afterwards.
//!
//! The adapter's test starts a process that calls [`commit_until_killed`], reads its lines, kills it with -9 at
//! a moment of its choice, opens the store anew and calls [`verify_after_kill`] with the last line it read.

use std::io::Write as Output;

use bytes::Bytes;
use futures::executor::block_on;
use phoenix_core::Timestamp;
use phoenix_core::port::{Alarm, Base, Batch, Commit, Mark, Part, PartitionKey, Space, Store, Wanted, Write};

use super::Violation;
use super::sitting::{Sitting, number_of, numbered};

/// Commits batch after batch over three partitions, and writes the number of each to `output` once it is done.
///
/// # Errors
/// Where the store answers otherwise than `Done`, or `output` takes no more.
pub fn commit_until_killed(store: &dyn Store, mut output: impl Output) -> Result<(), String> {
    let mut next = block_on(next_number(store)).map_err(|error| error.to_string())?;
    loop {
        let commit = block_on(store.commit(&batch(next))).map_err(|error| error.to_string())?;
        if commit != Commit::Done {
            return Err(format!("batch {next} is a conflict"));
        }
        writeln!(output, "{next}").and_then(|()| output.flush()).map_err(|error| error.to_string())?;
        next += 1;
    }
}

/// Checks the store that a killed process left: every batch up to `told`, the last number it wrote, is there,
/// and whatever else is there is whole.
///
/// # Errors
/// The [`Violation`] that was found.
pub async fn verify_after_kill(store: std::sync::Arc<dyn Store>, told: u64) -> Result<(), Violation> {
    let sitting = Sitting::new("s5_what_was_done_outlives_a_kill", store, None);
    let log = sitting.whole(&log()).await?;
    let numbers: Vec<_> = log.rows.iter().filter_map(|(row, _)| number_of(row)).collect();
    let Some(last) = numbers.last().copied() else { return sitting.expect(false, "something was done") };
    sitting.expect(last >= told, "what was done is there after a kill")?;
    sitting.expect(
        numbers.iter().copied().eq(last.saturating_sub(KEPT - 1)..=last),
        "appended rows have no gap",
    )?;
    sitting.expect(log.mark == Some(mark(last, 0)), "rows and mark are of one batch")?;
    let head = sitting.whole(&head()).await?;
    sitting.expect(head.mark == Some(mark(last, 1)), "partitions of one batch are written together")?;
    sitting.expect(head.alarm == Some(Timestamp(last)), "mark and alarm are of one batch")?;
    for number in last.saturating_sub(KEPT - 1)..=last {
        let receipt = sitting.look(&numbered(Space::Spent, number), Wanted::Mark).await?;
        sitting.expect(receipt.mark == Some(mark(number, 2)), "every batch left its receipt")?;
    }
    let absent = sitting.look(&numbered(Space::Spent, last + 1), Wanted::Mark).await?;
    sitting.expect(absent.mark.is_none(), "nothing of an unfinished batch is there")
}

async fn next_number(store: &dyn Store) -> Result<u64, phoenix_core::port::StoreError> {
    let place = phoenix_core::port::Place { partition: log(), wanted: Wanted::first(u32::MAX) };
    let found = store.read(&[place]).await?;
    let last = found.iter().flat_map(|snapshot| &snapshot.rows).filter_map(|(row, _)| number_of(row)).max();
    Ok(last.map_or(0, |last| last + 1))
}

/// A batch like those of a homeserver: a token spent, a head rewritten, an entry appended and an old one removed.
fn batch(number: u64) -> Batch {
    let old = number.saturating_sub(KEPT - 1).to_be_bytes();
    let entry = Write::Append(Bytes::from(vec![7; 700]));
    let kept = Write::DeleteBelow(Bytes::copy_from_slice(&old));
    let text = Write::Put(Bytes::from_static(b"head"), Bytes::copy_from_slice(&number.to_be_bytes()));
    let base = number.checked_sub(1).map_or(Base::Absent, |before| Base::At(mark(before, 1)));
    let alarm = Alarm::At(Timestamp(number));
    Batch {
        parts: vec![
            part(log(), mark(number, 0), vec![entry, kept]),
            Part { base, alarm, ..part(head(), mark(number, 1), vec![text]) },
            Part {
                base: Base::Absent,
                alarm,
                ..part(numbered(Space::Spent, number), mark(number, 2), Vec::new())
            },
        ],
    }
}

const fn part(partition: PartitionKey, mark: Mark, writes: Vec<Write>) -> Part {
    Part { partition, base: Base::Any, mark, writes, alarm: Alarm::Keep }
}

fn mark(number: u64, place: u8) -> Mark {
    Mark((u128::from(number) << 8 | u128::from(place)).to_be_bytes())
}

const fn log() -> PartitionKey {
    PartitionKey::new(Space::Lane, Bytes::from_static(b"log"))
}

const fn head() -> PartitionKey {
    PartitionKey::new(Space::Qs, Bytes::from_static(b"head"))
}

/// Rows that stay in the log: enough to see a gap, few enough to check after each of many kills.
const KEPT: u64 = 64;
