//! The contract as plain code: what a store should answer, said without regard to speed.

use std::collections::BTreeMap;

use bytes::Bytes;
use phoenix_core::Timestamp;
use phoenix_core::port::{
    Alarm, Base, Batch, Commit, Mark, Part, PartitionKey, Place, RowKey, Snapshot, Space, Wanted, Write,
};

/// What a store should hold. Written apart from every store, so that it shares no error with one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    partitions: BTreeMap<PartitionKey, Partition>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Partition {
    mark: Option<Mark>,
    alarm: Option<Timestamp>,
    next: u64,
    rows: BTreeMap<RowKey, Bytes>,
}

impl Model {
    /// What a commit of this batch answers; where it is `Done`, the model has it applied. The batch must be valid.
    pub fn commit(&mut self, batch: &Batch) -> Commit {
        let mark = |part: &Part| self.partitions.get(&part.partition).and_then(|found| found.mark);
        let is_write = |part: &&Part| !part.writes.is_empty() || part.alarm != Alarm::Keep;
        if batch.parts.iter().filter(is_write).any(|part| mark(part) == Some(part.mark)) {
            return Commit::Done;
        }
        let at_base = |part: &Part| match part.base {
            Base::Any => true,
            Base::Absent => mark(part).is_none(),
            Base::At(base) => mark(part) == Some(base),
        };
        if !batch.parts.iter().all(at_base) {
            return Commit::Conflict;
        }
        let found = |part: &Part| self.partitions.get(&part.partition).cloned().unwrap_or_default();
        let written: Option<Vec<_>> = batch
            .parts
            .iter()
            .filter(is_write)
            .map(|part| found(part).written(part).map(|after| (part.partition.clone(), after)))
            .collect();
        let Some(written) = written else { return Commit::Conflict };
        for (key, after) in written {
            self.partitions.remove(&key);
            if !after.rows.is_empty() || after.alarm.is_some() {
                self.partitions.insert(key, after);
            }
        }
        Commit::Done
    }

    /// What a read of this place shows.
    #[must_use]
    pub fn read(&self, place: &Place) -> Snapshot {
        let Some(partition) = self.partitions.get(&place.partition) else { return Snapshot::default() };
        let wanted = |key: &RowKey| match &place.wanted {
            Wanted::Mark => false,
            Wanted::Keys(keys) => keys.contains(key),
            Wanted::Range { from, below, .. } => from <= key && (below.is_empty() || key < below),
        };
        let (limit, bytes) = match place.wanted {
            Wanted::Mark | Wanted::Keys(_) => (usize::MAX, usize::MAX),
            Wanted::Range { limit, bytes, .. } => (usize::try_from(limit).unwrap_or(usize::MAX), bytes),
        };
        let mut rows: Vec<_> = partition
            .rows
            .iter()
            .filter(|(key, _)| wanted(key))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        let sizes = rows.iter().scan(0_usize, |all, (_, value)| {
            *all = all.saturating_add(value.len());
            Some(*all)
        });
        let fitting = sizes.take_while(|all| *all <= bytes).count().max(1);
        let more = rows.len() > limit.min(fitting);
        rows.truncate(limit.min(fitting));
        Snapshot { mark: partition.mark, alarm: partition.alarm, rows, more }
    }

    /// Whether `due` may answer this: the oldest alarms that ring, in their order; any order among equals.
    #[must_use]
    pub fn allows_due(&self, asked: (Space, Timestamp, usize), answer: &[PartitionKey]) -> bool {
        let (space, now, limit) = asked;
        let alarm = |key: &PartitionKey| self.partitions.get(key).and_then(|partition| partition.alarm);
        let mut ringing: Vec<_> = self
            .partitions
            .iter()
            .filter(|(key, _)| key.space() == space)
            .filter_map(|(_, partition)| partition.alarm.filter(|alarm| *alarm <= now))
            .collect();
        ringing.sort_unstable();
        ringing.truncate(limit);
        let mut distinct: Vec<_> = answer.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        let in_space = answer.iter().all(|key| key.space() == space);
        let answered: Vec<_> = answer.iter().filter_map(alarm).collect();
        in_space && distinct.len() == answer.len() && answered == ringing
    }
}

impl Partition {
    /// The partition after a part, or none where a row to take is not there.
    fn written(mut self, part: &Part) -> Option<Self> {
        for write in &part.writes {
            match write {
                Write::Put(row, value) => {
                    self.rows.insert(row.clone(), value.clone());
                }
                Write::Delete(row) => {
                    self.rows.remove(row);
                }
                Write::DeleteBelow(row) => self.rows.retain(|key, _| key >= row),
                Write::Take(row) => {
                    self.rows.remove(row)?;
                }
                Write::Append(value) => {
                    self.rows.insert(Bytes::copy_from_slice(&self.next.to_be_bytes()), value.clone());
                    self.next += 1;
                }
                Write::Drop => {
                    self.rows.clear();
                    self.alarm = None;
                }
            }
        }
        self.alarm = match part.alarm {
            Alarm::Keep => self.alarm,
            Alarm::At(time) => Some(time),
            Alarm::IfNone(time) => self.alarm.or(Some(time)),
            Alarm::Never => None,
        };
        self.mark = Some(part.mark);
        Some(self)
    }
}
