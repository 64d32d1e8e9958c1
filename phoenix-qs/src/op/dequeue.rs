//! `dequeue`: reads a client's queue, and forgets what was acknowledged.

use phoenix_core::{
    Failure, QsClientId, Reject, Timestamp,
    api::queue::{Dequeue as Endpoint, DequeueReply, QueueEntry},
    operation::{Authorised, Context, Decision, Decoded, Next, Operation, Peers, Proven, Reading, Rows},
    port::{Alarm, Wanted, Write},
    queue::check_dequeue,
    time::Month,
    wire::Sender,
};

use crate::{
    kinds::{ABOVE_NUMBERS, QUEUE, RECORD, client, end_of_use, packages, topic, user},
    record::{ClientRecord, QueueRecord, entry_key, from_row, to_row},
    service::QueueService,
};

/// Reads a queue from a number on; waits where nothing is there.
pub struct Dequeue;

/// A client, its queue, and entries from the number that was asked for; or nobody, for whom as much is read.
pub struct Found {
    known: Option<(ClientRecord, QueueRecord)>,
    entries: Vec<QueueEntry>,
}

impl Operation for Dequeue {
    type Endpoint = Endpoint;
    type Service = QueueService;
    type State = Found;
    type Sender = QsClientId;

    fn locate(
        call: &Decoded<Self>,
        found: &Rows,
        _: &Context<QueueService>,
    ) -> Result<Vec<Reading>, Failure> {
        let request = call.request();
        let at = client(&claimed(call)?);
        match found.len() {
            0 => {
                check_dequeue(request)?;
                Ok(vec![Reading::change(at, Wanted::Keys(vec![RECORD, QUEUE]))])
            }
            1 => {
                let from = entry_key(request.from);
                let queue = found.row(0, &QUEUE)?.map(|row| from_row(row)).transpose()?;
                let limit = queue.map_or(request.max.into(), |queue| page(&queue, request.max));
                // What comes after the first read is read too, or not: either is right.
                let wanted = Wanted::Range { from, below: ABOVE_NUMBERS, limit };
                Ok(vec![Reading::glance(at, wanted)])
            }
            _ => Ok(Vec::new()),
        }
    }

    fn open(_: &Decoded<Self>, found: Rows, _: &Context<QueueService>) -> Result<Found, Failure> {
        let (record, queue) = (found.row(0, &RECORD)?, found.row(0, &QUEUE)?);
        let known =
            record.zip(queue).map(|(record, queue)| Ok::<_, Failure>((from_row(record)?, from_row(queue)?)));
        let entries = found.rows(1)?.iter().map(|(_, row)| from_row(row));
        Ok(Found { known: known.transpose()?, entries: entries.collect::<Result<_, _>>()? })
    }

    fn authenticate(
        call: &Decoded<Self>,
        state: &Found,
        _: &Peers,
        _: &Context<QueueService>,
    ) -> Result<Proven<QsClientId>, Failure> {
        // Who does not exist and who cannot sign are told the same.
        let key = state.known.as_ref().map(|(record, _)| &record.auth_key);
        Ok(call.frame()?.prove_known(key, claimed(call)?)?)
    }

    fn decide(
        state: Found,
        call: Authorised<Self>,
        _: &Peers,
        cx: &Context<QueueService>,
    ) -> Result<Decision<DequeueReply>, Failure> {
        let (request, id) = (call.request(), *call.sender());
        let Found { known, mut entries } = state;
        let (record, queue) = known.ok_or(Reject::Unauthenticated)?;
        let before = queue.head.first_seq();
        let queue = queue.expire(cx.now).acknowledge(request.ack_below);
        entries.retain(|entry| entry.seq >= queue.head.first_seq());
        let reply = queue.head.reply(request, entries)?;

        let until = cx.started.plus_secs(request.wait_s.into());
        let waits = reply.entries.is_empty() && reply.gap_before.is_none() && cx.now < until;
        let next =
            if waits { Next::Wait { on: topic(&cx.keys.at_rest, &id), until } } else { Next::Reply(reply) };
        let mut decision = Decision::new(next);
        if queue.head.first_seq() != before {
            decision = decision.change(client(&id), vec![queue.put(), queue.delete_below()], Alarm::Keep);
        }
        Ok(renewed(decision, id, record, cx.now))
    }
}

/// Reading renews a client, and with it its user and its AddPackages: once a month, since nothing finer is kept.
fn renewed<R>(decision: Decision<R>, id: QsClientId, record: ClientRecord, now: Timestamp) -> Decision<R> {
    let active = Month::of(now);
    if active <= record.active {
        return decision;
    }
    let owner = record.user;
    let record = ClientRecord { active, ..record };
    let alarm = Alarm::At(end_of_use(active));
    decision
        .change(client(&id), vec![Write::Put(RECORD, to_row(&record))], alarm)
        .change(packages(&id), Vec::new(), alarm)
        .change(user(&owner), Vec::new(), alarm)
}

fn claimed(call: &Decoded<Dequeue>) -> Result<QsClientId, Reject> {
    match call.frame()?.sender() {
        Sender::QsClient(id) => Ok(*id),
        _ => Err(Reject::Unauthenticated),
    }
}

/// Rows to read: as many as are asked for, unless the queue's entries are large.
fn page(queue: &QueueRecord, max: u16) -> u32 {
    if queue.head.bytes() <= SMALL_QUEUE { max.into() } else { u32::from(max).min(LARGE_PAGE) }
}

/// A queue of fewer bytes may be read at once whatever its entries are.
const SMALL_QUEUE: u64 = 8 << 20;
/// Rows of a larger queue that are read at once: most entries are about a kilobyte, but some a megabyte.
const LARGE_PAGE: u32 = 64;
