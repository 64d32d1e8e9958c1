//! What `send_message` and `send_targeted` have in common (07): the roster alone is read, no group state is written, and
//! a repeat is answered like the first.

use std::marker::PhantomData;

use bytes::Bytes;
use phoenix_core::{
    Epoch, Failure, LeafIndex, MessageId, Reject,
    api::{
        Endpoint,
        delivery::{Accepted, ContentKind, GroupAccess, GroupContent, MessageAad, Mls},
        queue::NotifyClass,
    },
    limit::Loads,
    operation::{
        Authorised, Context, Decision, Decoded, Frame, Local, Operation, Peers, Proven, Purpose, Reading,
        Rows,
    },
    port::{Alarm, Wanted, Write},
    time::HOUR,
    wire::{Flag, Sender, Wire as _},
};

use crate::{
    fanout::FanOut,
    group::{Members, Site, prove_leaf},
    kinds, loads,
    mls::frames,
    roster::{Member, Roster},
    service::DeliveryService,
};

/// An endpoint at which a member of a group sends an application message.
pub(crate) trait Post: Endpoint<Reply = Accepted> {
    /// The message that a request brings.
    fn letter(request: &Self::Request) -> Letter<'_>;
}

/// The operation of such an endpoint.
pub struct Sends<E>(PhantomData<fn() -> E>);

impl<E: Post> Operation for Sends<E> {
    type Endpoint = E;
    type Service = DeliveryService;
    type State = Sending;
    type Sender = LeafIndex;

    fn locate(
        call: &Decoded<Self>,
        found: &Rows,
        cx: &Context<DeliveryService>,
    ) -> Result<Vec<Reading>, Failure> {
        named(call.frame()?)?;
        E::letter(call.request()).readings(found, cx)
    }

    fn open(call: &Decoded<Self>, found: Rows, cx: &Context<DeliveryService>) -> Result<Sending, Failure> {
        E::letter(call.request()).open(call.frame()?, &found, cx)
    }

    fn authenticate(
        call: &Decoded<Self>,
        state: &Sending,
        _: &Peers,
        _: &Context<DeliveryService>,
    ) -> Result<Proven<LeafIndex>, Failure> {
        E::letter(call.request()).prove(call.frame()?, state)
    }

    fn loads(
        call: &Decoded<Self>,
        state: &Sending,
        sender: &LeafIndex,
        cx: &Context<DeliveryService>,
    ) -> Loads {
        E::letter(call.request()).loads(state, *sender, cx)
    }

    fn decide(
        state: Sending,
        call: Authorised<Self>,
        _: &Peers,
        cx: &Context<DeliveryService>,
    ) -> Result<Decision<Accepted>, Failure> {
        E::letter(call.request()).send(state, *call.sender(), cx)
    }
}

/// A message, as the request brings it.
#[derive(Clone, Copy)]
pub(crate) struct Letter<'a> {
    pub(crate) access: &'a GroupAccess,
    pub(crate) message: &'a Mls,
    pub(crate) id: MessageId,
    pub(crate) ephemeral: Flag,
    pub(crate) notify: NotifyClass,
    /// Whom it is for. Its authenticated data must say so, so that members can tell that it is meant for them.
    pub(crate) aad: MessageAad,
}

/// What a message is checked against.
pub struct Sending {
    /// The group's members.
    pub(crate) members: Members,
    /// What is kept of the message once it is accepted, whose member it names by a keyed hash: a leaf that was vacated
    /// is somebody else's later.
    receipt: Bytes,
    /// Whether the message was accepted before.
    repeated: bool,
}

impl<'a> Letter<'a> {
    /// What is read, round by round: the group's door, and what is kept of the message if it was accepted before; then
    /// the members, to rely on them.
    fn readings(self, found: &Rows, cx: &Context<DeliveryService>) -> Result<Vec<Reading>, Failure> {
        if self.message.len() > cx.settings.max_message_bytes {
            return Err(Reject::TooLarge("message").into());
        }
        let beside = |receipt| Reading::change(receipt, Wanted::Keys(vec![RECEIPT]));
        Ok(match found.len() {
            0 => {
                let door = Site::door(self.access, Purpose::Watch, cx)?;
                vec![door, beside(self.receipt(cx))]
            }
            2 => {
                vec![Site::entered(self.access, found, cx)?.reading(&[kinds::ROSTER], Purpose::Watch)]
            }
            _ => Vec::new(),
        })
    }

    /// The members, and whether it is a repeat.
    fn open(self, frame: &Frame, found: &Rows, cx: &Context<DeliveryService>) -> Result<Sending, Failure> {
        let members = Members::open(self.access, found, cx)?;
        let member = members.roster.member(named(frame)?).ok_or(Reject::Unauthenticated)?;
        let sent = (self.access.group.clone(), self.id, member.pseudonym).encode();
        let receipt = Bytes::copy_from_slice(&cx.keys.at_rest.prf("sender", &sent));
        // An expired receipt may not have been dropped yet.
        let is_valid = found.place(1)?.alarm.is_none_or(|alarm| alarm > cx.now);
        let repeated = is_valid && found.row(1, &RECEIPT)? == Some(&receipt);
        Ok(Sending { members, receipt, repeated })
    }

    /// Who sends it.
    fn prove(self, frame: &Frame, state: &Sending) -> Result<Proven<LeafIndex>, Failure> {
        Ok(prove_leaf(frame, &self.access.group, &state.members.roster, |leaf| leaf)?)
    }

    /// What it counts for. A repeat goes nowhere.
    fn loads(self, state: &Sending, sender: LeafIndex, cx: &Context<DeliveryService>) -> Loads {
        if state.repeated {
            return Loads::None;
        }
        let to = self.recipients(&state.members.roster, sender).unwrap_or_default();
        loads::message((&self.access.group, sender), to, self.message.len(), cx)
    }

    /// Sends it. A message that was accepted before goes nowhere, and one that is ephemeral is not remembered: who is
    /// there gets it now or never.
    fn send(
        self,
        state: Sending,
        sender: LeafIndex,
        cx: &Context<DeliveryService>,
    ) -> Result<Decision<Accepted>, Failure> {
        let Sending { members: Members { site, roster }, receipt, repeated } = state;
        let epoch = if repeated { None } else { Some(self.epoch(&roster, sender)?) };
        let to = match self.recipients(&roster, sender) {
            Ok(to) => to,
            // Whoever it was for may have gone since.
            Err(_) if repeated => Vec::new(),
            Err(reject) => return Err(reject.into()),
        };
        let delayed = cx.delays.towards(to.iter().map(|member| &member.config.domain), cx.now);
        let accepted = Decision::reply(Accepted { epoch: roster.epoch, delayed });
        let Some(epoch) = epoch else { return Ok(accepted) };
        let kind = match self.aad {
            MessageAad::Application => ContentKind::Application,
            MessageAad::Targeted(_) => ContentKind::Targeted,
        };
        if kind == ContentKind::Targeted && to.iter().any(|member| member.since > epoch) {
            return Err(Reject::Conflict(Some(roster.epoch.0)).into());
        }
        let content = GroupContent { kind, sender, message: self.message.clone() };
        let configs = to.into_iter().map(|member| &member.config);
        if self.ephemeral.is_set() {
            let mut fan_out = FanOut::ephemeral(self.access, &site.at, cx);
            fan_out.send(self.notify, &content, configs)?;
            return Ok(fan_out.hint(accepted));
        }
        let mut fan_out = FanOut::new(self.access, &site.at, cx);
        fan_out.send(self.notify, &content, configs)?;
        let (at, until) = (self.receipt(cx), Alarm::At(cx.now.plus_secs(REPEAT_S)));
        Ok(fan_out.decide(accepted, at, vec![Write::Put(RECEIPT, receipt)], until)?)
    }

    /// Whom it goes to, of which the sender is none.
    fn recipients(self, roster: &Roster, sender: LeafIndex) -> Result<Vec<&Member>, Reject> {
        match self.aad {
            MessageAad::Application => Ok(roster.others(sender).collect()),
            MessageAad::Targeted(target) => {
                let member = roster.named(&target).ok_or(Reject::NotFound)?;
                if member.leaf == sender { Err(Reject::Malformed("target")) } else { Ok(vec![member]) }
            }
        }
    }

    /// Where it is kept that the message was accepted.
    fn receipt(self, cx: &Context<DeliveryService>) -> Local {
        kinds::receipt(&cx.keys.at_rest, &self.access.group, self.id)
    }

    /// The epoch of the message. Others can still open messages of the last epochs, if the sender was a member then.
    fn epoch(self, roster: &Roster, sender: LeafIndex) -> Result<Epoch, Reject> {
        let epoch = frames::application_epoch(self.message, &self.access.group, self.aad)?;
        let member = roster.member(sender).ok_or(Reject::Unauthenticated)?;
        let recent = epoch <= roster.epoch && epoch.0.saturating_add(PAST_EPOCHS) >= roster.epoch.0;
        let is_known = recent && member.since <= epoch;
        if is_known { Ok(epoch) } else { Err(Reject::Conflict(Some(roster.epoch.0))) }
    }
}

fn named(frame: &Frame) -> Result<LeafIndex, Reject> {
    match frame.sender() {
        Sender::Leaf(_, leaf) => Ok(*leaf),
        _ => Err(Reject::Unauthenticated),
    }
}

/// The only row of a receipt.
const RECEIPT: Bytes = Bytes::new();
/// A message id is remembered for so long (07).
const REPEAT_S: u64 = HOUR;
/// Messages may be of so many epochs before the current one (07).
const PAST_EPOCHS: u64 = 5;
