//! `send_message`: an application message for all other members. Reads the roster alone, and writes no group state.

use phoenix_core::{
    Failure, LeafIndex,
    api::delivery::{self as api, Accepted, ContentKind},
    limit::Loads,
    operation::{Authorised, Context, Decision, Decoded, Operation, Peers, Proven, Reading, Rows},
};

use crate::{
    sending::{Letter, Sending},
    service::DeliveryService,
};

/// Sends an application message.
pub struct SendMessage;

impl Operation for SendMessage {
    type Endpoint = api::SendMessage;
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
        let sender = *call.sender();
        let letter = Letter::from(call.request());
        let sent = (ContentKind::Application, sender);
        letter.send(state, sent, |roster| Ok(roster.others(sender).collect()), cx)
    }
}

#[cfg(test)]
mod tests;
