//! `send_message`: an application message for all other members. Reads the roster alone, and writes no group state.
//!
//! An ephemeral message is for open streams. There are none yet, so it is checked like any other and goes nowhere: a
//! queue never sees it.

use bytes::Bytes;
use phoenix_core::{
    Epoch, Failure, LeafIndex, Reject,
    api::delivery::{self as api, Accepted, ContentKind, GroupContent, SendMessageRequest},
    limit::Loads,
    operation::{
        Authorised, Context, Decision, Decoded, Frame, Operation, Peers, Proven, Purpose, Reading, Rows,
    },
    port::{Alarm, Wanted, Write},
    time::HOUR,
    wire::{List, Sender},
};

use crate::{
    fanout::FanOut,
    group::{Members, Site, prove_leaf},
    kinds, loads,
    mls::frames,
    roster::Roster,
    service::DeliveryService,
};

/// Sends an application message.
pub struct SendMessage;

/// What a message is checked against.
pub struct Sending {
    members: Members,
    /// Whether the message was accepted before.
    repeated: bool,
}

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
        if !found.is_empty() {
            return Ok(Vec::new());
        }
        let SendMessageRequest { access, id, message, .. } = call.request();
        let site = Site::of(access, cx)?;
        if message.len() > cx.settings.max_message_bytes {
            return Err(Reject::TooLarge("message").into());
        }
        let receipt = kinds::receipt(&cx.keys.at_rest, &access.group, named(call.frame()?)?, *id);
        Ok(vec![site.reading(vec![kinds::ROSTER], Purpose::Watch), Reading::change(receipt, Wanted::Mark)])
    }

    fn open(call: &Decoded<Self>, found: Rows, cx: &Context<DeliveryService>) -> Result<Sending, Failure> {
        let receipt = found.place(1)?;
        // An expired receipt may not have been dropped yet.
        let repeated = receipt.mark.is_some() && receipt.alarm.is_none_or(|alarm| alarm > cx.now);
        Ok(Sending { members: Members::open(&call.request().access, &found, cx)?, repeated })
    }

    fn authenticate(
        call: &Decoded<Self>,
        state: &Sending,
        _: &Peers,
        _: &Context<DeliveryService>,
    ) -> Result<Proven<LeafIndex>, Failure> {
        Ok(prove_leaf(call.frame()?, &call.request().access.group, &state.members.roster, |leaf| leaf)?)
    }

    fn loads(
        call: &Decoded<Self>,
        state: &Sending,
        sender: &LeafIndex,
        _: &Context<DeliveryService>,
    ) -> Loads {
        // A repeat goes nowhere.
        if state.repeated { Loads::None } else { loads::message(&call.request().access.group, *sender) }
    }

    fn decide(
        state: Sending,
        call: Authorised<Self>,
        _: &Peers,
        cx: &Context<DeliveryService>,
    ) -> Result<Decision<Accepted>, Failure> {
        let (request, sender) = (call.request(), *call.sender());
        let Members { site, roster } = state.members;
        let accepted = Decision::reply(Accepted { epoch: roster.epoch, delayed: List::default() });
        if state.repeated {
            return Ok(accepted);
        }
        let epoch = frames::application_epoch(&request.message, &request.access.group)?;
        check_epoch(&roster, sender, epoch)?;
        if request.ephemeral.is_set() {
            return Ok(accepted);
        }
        let mut fan_out = FanOut::new(&request.access, &site.at, cx);
        let message = request.message.clone();
        let content = GroupContent { kind: ContentKind::Application, sender, message };
        let others = roster.members.iter().filter(|it| it.leaf != sender).map(|it| &it.config);
        fan_out.send(request.notify, &content, others)?;
        let receipt = kinds::receipt(&cx.keys.at_rest, &request.access.group, sender, request.id);
        let mark = vec![Write::Put(Bytes::new(), Bytes::new())];
        Ok(fan_out.decide(accepted, receipt, mark, Alarm::At(cx.now.plus_secs(REPEAT_S)))?)
    }
}

fn named(frame: &Frame) -> Result<LeafIndex, Reject> {
    match frame.sender() {
        Sender::Leaf(_, leaf) => Ok(*leaf),
        _ => Err(Reject::Unauthenticated),
    }
}

/// Others can still open messages of the last epochs, if the sender was a member then.
fn check_epoch(roster: &Roster, sender: LeafIndex, epoch: Epoch) -> Result<(), Reject> {
    let member = roster.member(sender).ok_or(Reject::Unauthenticated)?;
    let recent = epoch <= roster.epoch && epoch.0.saturating_add(PAST_EPOCHS) >= roster.epoch.0;
    if recent && member.since <= epoch { Ok(()) } else { Err(Reject::Conflict(Some(roster.epoch.0))) }
}

/// A message id is remembered for so long (07).
const REPEAT_S: u64 = HOUR;
/// Messages may be of so many epochs before the current one (07).
const PAST_EPOCHS: u64 = 5;

#[cfg(test)]
mod tests;
