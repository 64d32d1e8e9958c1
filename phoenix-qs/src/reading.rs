//! How a queue is read, by long poll and by stream alike: what was acknowledged goes, and its client is renewed.

use phoenix_core::{
    Failure, QsClientId, Reject, Timestamp,
    api::queue::{DequeueReply, DequeueRequest, QueueEntry},
    operation::{Context, Decision, Next, Reading, Rows},
    port::{Alarm, RowKey, Wanted},
};

use crate::{
    kinds::{ABOVE_NUMBERS, ABOVE_RULES, QUEUE, RECORD, RULE, client},
    record::{ClientRecord, MAX_RULES, QueueRecord, entry_key, from_row, read_row},
    renewal::{self, Renewal},
    service::QueueService,
};

/// A client, its queue, and entries from the number that was asked for.
pub(crate) struct Found {
    pub(crate) known: Option<(ClientRecord, QueueRecord)>,
    pub(crate) entries: Vec<QueueEntry>,
    renewal: Option<Renewal>,
}

/// The client, its queue, and these rows besides.
pub(crate) fn head(id: &QsClientId, besides: &[RowKey]) -> Reading {
    let rows = [RECORD, QUEUE].into_iter().chain(besides.iter().cloned());
    Reading::change(client(id), Wanted::Keys(rows.collect()))
}

/// The client at the head, if there is one that has not expired.
pub(crate) fn reader(head: &Rows, now: Timestamp) -> Result<Option<ClientRecord>, Failure> {
    let record = read_row(head, 0, &RECORD)?;
    Ok(record.and_then(|record: ClientRecord| record.current(now)))
}

/// What is read once the head was, for whoever has shown to be its [`reader`]: the queue's entries from a number on, at
/// most so many and of so many bytes, and what a renewal needs where one is due. How much that is tells of the client.
pub(crate) fn behind(
    (id, record): (&QsClientId, &ClientRecord),
    from: u64,
    (limit, bytes): (u32, usize),
    now: Timestamp,
) -> Vec<Reading> {
    // What comes after the first read is read too, or not: either is right.
    let wanted = Wanted::Range { from: entry_key(from), below: ABOVE_NUMBERS, limit, bytes };
    let mut readings = vec![Reading::glance(client(id), wanted)];
    readings.extend(renewal::readings(id, record, now));
    readings
}

/// All rules of a client.
pub(crate) fn rules() -> Wanted {
    let limit = u32::try_from(MAX_RULES).unwrap_or(u32::MAX);
    Wanted::Range { from: RULE, below: ABOVE_RULES, limit, bytes: usize::MAX }
}

impl Found {
    /// What the places of [`head`] and [`behind`] hold.
    pub(crate) fn open(found: &Rows, now: Timestamp) -> Result<Self, Failure> {
        let queue = read_row(found, 0, &QUEUE)?;
        let entries = found.rows(1)?.iter().map(|(_, row)| from_row(row)).collect::<Result<_, _>>()?;
        Ok(Self { known: reader(found, now)?.zip(queue), entries, renewal: Renewal::open(found, 2, now)? })
    }

    /// Reads, deletes what was acknowledged, and renews. What was found says how it goes on.
    ///
    /// # Errors
    /// [`Reject::Unauthenticated`] where there is no such client.
    pub(crate) fn read<R>(
        self,
        id: QsClientId,
        request: &DequeueRequest,
        next: impl FnOnce(DequeueReply) -> Next<R>,
        cx: &Context<QueueService>,
    ) -> Result<Decision<R>, Failure> {
        let Self { known, mut entries, renewal } = self;
        let (record, queue) = known.ok_or(Reject::Unauthenticated)?;
        let before = queue.head.first_seq();
        let (queue, begun) = queue.restored(cx, &mut cx.chance("restored queue"))?;
        let mut queue = queue.expire(cx.now).acknowledge(request.ack_below);
        entries.retain(|entry| entry.seq >= queue.head.first_seq());
        let mut rows = queue.begun(&begun);
        entries.extend(begun.into_iter().filter(|entry| entry.seq >= request.from));
        let mut decision = Decision::new(next(queue.head.reply(request, entries)?));
        if let Some(renewal) = renewal {
            (decision, queue) = renewal.write(decision, (id, record, queue), cx)?;
        }
        if queue.head.first_seq() != before {
            rows.extend([queue.put(), queue.delete_below()]);
            decision = decision.change(client(&id), rows, Alarm::Keep);
        }
        Ok(decision)
    }
}
