//! `dequeue`: reads a client's queue, and forgets what was acknowledged.

use phoenix_core::{
    Failure, QsClientId,
    api::queue::{Dequeue as Endpoint, DequeueReply},
    operation::{Authorised, Context, Decision, Decoded, Next, Operation, Peers, Proven, Reading, Rows},
    queue::check_dequeue,
};

use crate::{
    callers::{claimed_client, signed},
    kinds::topic,
    reading::{Found, behind, head, reader},
    record::QueueRecord,
    service::QueueService,
};

/// Reads a queue from a number on; waits where nothing is there.
pub struct Dequeue;

/// The queue as it was found.
pub struct State(Found);

impl Operation for Dequeue {
    type Endpoint = Endpoint;
    type Service = QueueService;
    type State = State;
    type Sender = QsClientId;

    fn locate(
        call: &Decoded<Self>,
        found: &Rows,
        cx: &Context<QueueService>,
    ) -> Result<Vec<Reading>, Failure> {
        let (request, id) = (call.request(), claimed_client(call)?);
        match found.len() {
            0 => {
                check_dequeue(request)?;
                Ok(vec![head(&id, &[])])
            }
            1 => {
                let record = signed(call, reader(found, cx.now)?)?;
                behind((&id, &record), request.from, (found, cx.now), |queue| page(queue, request.max))
            }
            _ => Ok(Vec::new()),
        }
    }

    fn open(_: &Decoded<Self>, found: Rows, cx: &Context<QueueService>) -> Result<State, Failure> {
        Found::open(&found, cx.now).map(State)
    }

    fn authenticate(
        call: &Decoded<Self>,
        state: &State,
        _: &Peers,
        _: &Context<QueueService>,
    ) -> Result<Proven<QsClientId>, Failure> {
        // Who does not exist and who cannot sign are told the same.
        let key = state.0.known.as_ref().map(|(record, _)| &record.auth_key);
        Ok(call.frame()?.prove_known(key, claimed_client(call)?)?)
    }

    fn decide(
        state: State,
        call: Authorised<Self>,
        _: &Peers,
        cx: &Context<QueueService>,
    ) -> Result<Decision<DequeueReply>, Failure> {
        let (request, id) = (call.request(), *call.sender());
        let until = cx.started.plus_secs(request.wait_s.into());
        let next = |reply: DequeueReply| {
            let waits = reply.entries.is_empty() && reply.gap_before.is_none() && cx.now < until;
            if waits { Next::Wait { on: topic(&cx.keys.at_rest, &id), until } } else { Next::Reply(reply) }
        };
        state.0.read(id, request, next, cx)
    }
}

/// Rows to read: as many as are asked for, unless the queue's entries are large.
fn page(queue: Option<&QueueRecord>, max: u16) -> u32 {
    match queue {
        Some(queue) if queue.head.bytes() > SMALL_QUEUE => u32::from(max).min(LARGE_PAGE),
        Some(_) | None => max.into(),
    }
}

/// A queue of fewer bytes may be read at once whatever its entries are.
const SMALL_QUEUE: u64 = 8 << 20;
/// Rows of a larger queue that are read at once: most entries are about a kilobyte, but some a megabyte.
const LARGE_PAGE: u32 = 64;
