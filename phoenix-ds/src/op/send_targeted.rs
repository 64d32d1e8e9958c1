//! `send_targeted`: an application message for one other member. It costs what any message costs, and goes to one queue.

use phoenix_core::{
    Failure, LeafIndex, Reject,
    api::delivery::{self as api, Accepted, ContentKind},
    limit::Loads,
    operation::{Authorised, Context, Decision, Decoded, Operation, Peers, Proven, Reading, Rows},
};

use crate::{
    sending::{Letter, Sending},
    service::DeliveryService,
};

/// Sends an application message to one member.
pub struct SendTargeted;

impl Operation for SendTargeted {
    type Endpoint = api::SendTargeted;
    type Service = DeliveryService;
    type State = Sending;
    type Sender = LeafIndex;

    fn locate(
        call: &Decoded<Self>,
        found: &Rows,
        cx: &Context<DeliveryService>,
    ) -> Result<Vec<Reading>, Failure> {
        Letter::from(call.request()).readings(call.frame()?, found, cx)
    }

    fn open(call: &Decoded<Self>, found: Rows, cx: &Context<DeliveryService>) -> Result<Sending, Failure> {
        Letter::from(call.request()).open(call.frame()?, &found, cx)
    }

    fn authenticate(
        call: &Decoded<Self>,
        state: &Sending,
        _: &Peers,
        _: &Context<DeliveryService>,
    ) -> Result<Proven<LeafIndex>, Failure> {
        Letter::from(call.request()).prove(call.frame()?, state)
    }

    fn loads(
        call: &Decoded<Self>,
        state: &Sending,
        sender: &LeafIndex,
        _: &Context<DeliveryService>,
    ) -> Loads {
        Letter::from(call.request()).loads(state, *sender)
    }

    fn decide(
        state: Sending,
        call: Authorised<Self>,
        _: &Peers,
        cx: &Context<DeliveryService>,
    ) -> Result<Decision<Accepted>, Failure> {
        let (sender, target) = (*call.sender(), call.request().target);
        let letter = Letter::from(call.request());
        let sent = (ContentKind::Targeted, sender);
        letter.send(
            state,
            sent,
            |roster| {
                let member = roster.named(&target).ok_or(Reject::NotFound)?;
                if member.leaf == sender { Err(Reject::Malformed("target")) } else { Ok(vec![member]) }
            },
            cx,
        )
    }
}

#[cfg(test)]
mod tests;
