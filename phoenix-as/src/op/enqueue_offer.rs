//! `enqueue_offer`: a sealed message for a client (04). The AS learns neither who sent it nor what it says.

use phoenix_core::{
    Failure, Reject,
    api::{Empty, auth},
    operation::{Anyone, Authorised, Context, Decision, Decoded, Operation, Peers, Proven, Reading, Rows},
};

use crate::{
    AuthService, account,
    direct_queue::{self, DirectQueue},
    kinds,
};

/// Puts a message into a client's direct queue.
pub(crate) struct EnqueueOffer;

impl Operation for EnqueueOffer {
    type Endpoint = auth::EnqueueOffer;
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
        if to.user.domain != cx.domain {
            return Err(Reject::NotFound.into());
        }
        Ok(vec![account::reading(to), direct_queue::reading(kinds::client_queue(to))])
    }

    fn open(call: &Decoded<Self>, found: Rows, cx: &Context<AuthService>) -> Result<DirectQueue, Failure> {
        let stands = account::found(&found, 0)?.is_some_and(|client| client.stands(cx.now));
        let queue = DirectQueue::found(&found, 1, kinds::client_queue(&call.request().to))?;
        Ok(queue.filter(|_| stands).ok_or(Reject::NotFound)?)
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
