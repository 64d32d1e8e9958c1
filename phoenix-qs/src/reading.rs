//! How a queue is read, by long poll and by stream alike: what was acknowledged goes, and its client is renewed.

use phoenix_core::{
    Failure, QsClientId, Reject, Timestamp,
    api::queue::{DequeueReply, DequeueRequest, QueueEntry},
    operation::{Context, Decision, Next, Reading, Rows},
    port::{Alarm, RowKey, Wanted},
};

use crate::{
    kinds::{ABOVE_NUMBERS, QUEUE, RECORD, client},
    record::{ClientRecord, QueueRecord, entry_key, from_row},
    renewal::{self, Renewal},
    service::QueueService,
};

/// A client, its queue, and entries from the number that was asked for; or nobody, for whom as much is read.
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

/// What is read once the head was: the queue's entries, as many as it says may be read at once, and what a renewal
/// needs where one is due.
pub(crate) fn behind(
    id: &QsClientId,
    from: u64,
    (head, now): (&Rows, Timestamp),
    limit: impl FnOnce(Option<&QueueRecord>) -> u32,
) -> Result<Vec<Reading>, Failure> {
    let queue = head.row(0, &QUEUE)?.map(from_row::<QueueRecord>).transpose()?;
    let limit = limit(queue.as_ref());
    // What comes after the first read is read too, or not: either is right.
    let wanted = Wanted::Range { from: entry_key(from), below: ABOVE_NUMBERS, limit };
    let mut readings = vec![Reading::glance(client(id), wanted)];
    let record = head.row(0, &RECORD)?.map(from_row::<ClientRecord>).transpose()?;
    readings.extend(record.map(|record| renewal::readings(id, &record, now)).unwrap_or_default());
    Ok(readings)
}

impl Found {
    /// What the places of [`head`] and [`behind`] hold.
    pub(crate) fn open(found: &Rows, now: Timestamp) -> Result<Self, Failure> {
        let (record, queue) = (found.row(0, &RECORD)?, found.row(0, &QUEUE)?);
        let known = record.zip(queue).map(|(record, queue)| {
            let record: ClientRecord = from_row(record)?;
            Ok::<_, Failure>(record.current(now).zip(Some(from_row(queue)?)))
        });
        let entries = found.rows(1)?.iter().map(|(_, row)| from_row(row)).collect::<Result<_, _>>()?;
        Ok(Self { known: known.transpose()?.flatten(), entries, renewal: Renewal::open(found, 2, now)? })
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
