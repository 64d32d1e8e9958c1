//! `alias_enqueue_offer`: a sealed message for the owner of an alias (04).

use phoenix_core::{
    Failure, Reject,
    api::{Empty, auth},
    operation::{Anyone, Authorised, Context, Decision, Decoded, Operation, Peers, Proven, Reading, Rows},
};

use crate::{
    AuthService, alias,
    direct_queue::{self, DirectQueue},
    kinds,
};

/// Puts a message into an alias's direct queue.
pub(crate) struct AliasEnqueueOffer;

impl Operation for AliasEnqueueOffer {
    type Endpoint = auth::AliasEnqueueOffer;
    type Service = AuthService;
    type State = DirectQueue;
    type Sender = Anyone;

    fn locate(
        call: &Decoded<Self>,
        found: &Rows,
        cx: &Context<AuthService>,
    ) -> Result<Vec<Reading>, Failure> {
        if !found.is_empty() {
            return Ok(Vec::new());
        }
        let to = &call.request().to;
        Ok(vec![alias::reading(to, cx), direct_queue::reading(kinds::alias_queue(to, cx))])
    }

    fn open(call: &Decoded<Self>, found: Rows, cx: &Context<AuthService>) -> Result<DirectQueue, Failure> {
        let known = alias::found(&found, 0, cx)?;
        let queue = DirectQueue::found(&found, 1, kinds::alias_queue(&call.request().to, cx))?;
        Ok(queue.filter(|_| known.is_some()).ok_or(Reject::NotFound)?)
    }

    fn authenticate(
        _: &Decoded<Self>,
        _: &DirectQueue,
        _: &Peers,
        _: &Context<AuthService>,
    ) -> Result<Proven<Anyone>, Failure> {
        Ok(Proven::anyone())
    }

    fn decide(
        queue: DirectQueue,
        call: Authorised<Self>,
        _: &Peers,
        cx: &Context<AuthService>,
    ) -> Result<Decision<Empty>, Failure> {
        queue.push(&call.request().ciphertext, cx)
    }
}
