//! One batch of everything that a call does.

use bytes::Bytes;

use super::{Shared, lanes};
use crate::{
    Fault, Timestamp,
    crypto::{AtRestKey, Chance},
    operation::{Change, Delivery, Fare, Local},
    port::{Alarm, Base, Batch, Mark, Part, PartitionKey, Space, Write},
    time::DAY,
};

/// The partition that exists once a fare is spent, for fares that are spent by making one.
pub(crate) fn spent_partition(shared: &Shared, fare: &Fare) -> Option<PartitionKey> {
    let at = match fare {
        Fare::Token(nonce) => Local::new(SPENT_TOKEN, nonce.key),
        Fare::Frame(identity, _) => Local::new(SPENT_FRAME, shared.at_rest.prf("frame", identity)),
        Fare::Free | Fare::Row { .. } | Fare::Alarm(_) => return None,
    };
    Some(at.in_space(Space::Spent))
}

/// Builds a batch part by part, one for each partition.
pub(crate) struct Assembly<'a> {
    shared: &'a Shared,
    now: Timestamp,
    marks: Chance,
    /// In the order of their partitions, which is that in which most are named.
    parts: Vec<Part>,
}

impl<'a> Assembly<'a> {
    /// An empty batch. Its marks are random, so that nothing on a disk tells which partitions were written together.
    pub(crate) const fn new(shared: &'a Shared, now: Timestamp, marks: Chance) -> Self {
        Self { shared, now, marks, parts: Vec::new() }
    }

    /// Checks that a partition is still as it was read. False where it was read twice and changed in between:
    /// then there is nothing to decide on.
    pub(crate) fn check(&mut self, partition: PartitionKey, base: Base) -> bool {
        let part = self.part(partition);
        let consistent = part.base == Base::Any || part.base == base;
        part.base = base;
        consistent
    }

    /// Adds a change of the operation.
    pub(crate) fn change(&mut self, space: Space, change: Change) {
        let Change { at, writes, alarm } = change;
        let partition = at.in_space(space);
        let alarm = self.rounded(&partition, alarm);
        let part = self.part(partition);
        part.writes.extend(writes);
        if alarm != Alarm::Keep {
            part.alarm = alarm;
        }
    }

    /// Adds what the call costs.
    pub(crate) fn fare(&mut self, fare: &Fare) {
        let until = match fare {
            Fare::Free => return,
            Fare::Token(nonce) => nonce.expires,
            Fare::Frame(_, until) => *until,
            Fare::Row { lane, row } => {
                self.part(lane.clone()).writes.push(Write::Take(row.clone()));
                return;
            }
            Fare::Alarm(partition) => {
                let part = self.part(partition.clone());
                if part.alarm == Alarm::Keep {
                    part.alarm = Alarm::Never;
                }
                return;
            }
        };
        if let Some(partition) = spent_partition(self.shared, fare) {
            let alarm = self.rounded(&partition, Alarm::At(until));
            let part = self.part(partition);
            part.base = Base::Absent;
            part.alarm = alarm;
        }
    }

    /// Adds a delivery, on its lane.
    pub(crate) fn deliver(&mut self, delivery: Delivery, chance: &mut Chance) -> Result<PartitionKey, Fault> {
        let (lane, row) = lanes::seal(&self.shared.at_rest, delivery, chance)?;
        let now = self.now;
        let part = self.part(lane.clone());
        part.writes.push(Write::Append(row));
        part.alarm = Alarm::At(now);
        Ok(lane)
    }

    /// The batch, or none where nothing would be written.
    pub(crate) fn finish(self) -> Option<Batch> {
        let Self { parts, .. } = self;
        parts.iter().any(Part::is_write).then_some(Batch { parts })
    }

    #[expect(clippy::indexing_slicing, reason = "it was found or put there")]
    fn part(&mut self, partition: PartitionKey) -> &mut Part {
        let Self { marks, parts, .. } = self;
        let found = parts.binary_search_by(|part| part.partition.cmp(&partition));
        let at = found.unwrap_or_else(|at| {
            let mark = Mark(marks.bytes());
            let part = Part { partition, base: Base::Any, mark, writes: Vec::new(), alarm: Alarm::Keep };
            parts.insert(at, part);
            at
        });
        &mut parts[at]
    }

    /// An alarm that is farther away than a day tells no more than the day, and not even that exactly.
    fn rounded(&self, partition: &PartitionKey, alarm: Alarm) -> Alarm {
        let round = |at: Timestamp| {
            let is_near = at <= self.now.plus_secs(DAY) || at == Timestamp::MAX;
            if is_near { at } else { rounded(&self.shared.at_rest, partition, at) }
        };
        match alarm {
            Alarm::At(at) => Alarm::At(round(at)),
            Alarm::IfNone(at) => Alarm::IfNone(round(at)),
            Alarm::Keep | Alarm::Never => alarm,
        }
    }
}

/// The end of a day, and of a part of the next that is the partition's own.
pub(crate) fn rounded(at_rest: &AtRestKey, partition: &PartitionKey, at: Timestamp) -> Timestamp {
    let [a, b, c, d, ..] = at_rest.prf("alarm", &label(partition));
    let jitter = u64::from(u32::from_be_bytes([a, b, c, d])) % DAY;
    Timestamp::from_secs(at.as_secs().div_ceil(DAY).saturating_mul(DAY)).plus_secs(jitter)
}

fn label(partition: &PartitionKey) -> Bytes {
    [&[partition.space() as u8], partition.key().as_ref()].concat().into()
}

/// Partitions of the spent space: a token's nonce.
pub(crate) const SPENT_TOKEN: u8 = 1;
/// Partitions of the spent space: a frame's nonce.
pub(crate) const SPENT_FRAME: u8 = 2;
