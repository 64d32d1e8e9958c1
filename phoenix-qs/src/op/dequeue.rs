//! `dequeue`: reads a client's queue, and forgets what was acknowledged.

use phoenix_core::{
    Failure, QsClientId,
    api::queue::{Dequeue as Endpoint, DequeueReply},
    operation::{Authorised, Context, Decision, Decoded, Next, Operation, Peers, Proven, Reading, Rows},
    queue::{MAX_REPLY_BYTES, check_dequeue},
};

use crate::{
    callers::{claimed_client, signed},
    kinds::topic,
    reading::{Found, behind, head, reader},
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
                let page = (request.max.into(), MAX_REPLY_BYTES);
                Ok(behind((&id, &record), request.from, page, cx.now))
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
