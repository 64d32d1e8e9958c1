//! `undelivered`: a message did not reach queues of members.

use phoenix_core::{
    Failure,
    api::{
        Empty,
        delivery::{self as api, Undeliverable, UndeliveredRequest},
    },
    operation::{
        Anyone, Authorised, Context, Decision, Decoded, Local, Operation, Peers, Proven, Reading, Rows,
    },
    port::{Alarm, Wanted, Write},
};

use crate::{
    fanout::returned,
    group::Clear,
    kinds,
    notes::{Desk, Notes},
    sealed::unversioned,
    service::DeliveryService,
};

/// Keeps a note of queues that are gone, until a commit brings the group's key: the first and the latest of each
/// queue, since a member is removed only for two that are an hour apart (07, "DS-induced removals"). Nothing is kept of
/// messages that were given up: a homeserver that is away for long loses none of its members for it.
pub struct Undelivered;

/// What is known of the group without its key.
pub struct Noted {
    at: Local,
    clear: Option<Clear>,
    notes: Notes,
}

impl Operation for Undelivered {
    type Endpoint = api::Undelivered;
    type Service = DeliveryService;
    type State = Noted;
    type Sender = Anyone;

    fn locate(
        call: &Decoded<Self>,
        found: &Rows,
        cx: &Context<DeliveryService>,
    ) -> Result<Vec<Reading>, Failure> {
        if !found.is_empty() {
            return Ok(Vec::new());
        }
        let at = returned(&call.request().back, cx)?;
        Ok(vec![Reading::change(at, Wanted::Keys(vec![kinds::CLEAR, kinds::NOTES]))])
    }

    fn open(call: &Decoded<Self>, found: Rows, cx: &Context<DeliveryService>) -> Result<Noted, Failure> {
        let at = returned(&call.request().back, cx)?;
        let clear = found.row(0, &kinds::CLEAR)?.map(|row| unversioned(row)).transpose()?;
        Ok(Noted { at, clear, notes: Notes::stored(found.row(0, &kinds::NOTES)?)? })
    }

    fn authenticate(
        _: &Decoded<Self>,
        _: &Noted,
        _: &Peers,
        _: &Context<DeliveryService>,
    ) -> Result<Proven<Anyone>, Failure> {
        Ok(Proven::anyone())
    }

    fn decide(
        noted: Noted,
        call: Authorised<Self>,
        _: &Peers,
        cx: &Context<DeliveryService>,
    ) -> Result<Decision<Empty>, Failure> {
        let Noted { at, clear, notes: before } = noted;
        let UndeliveredRequest { back: _, cause, seen_at, queues } = call.request();
        let is_gone = *cause == Undeliverable::Gone && !queues.is_empty();
        // The group was given up meanwhile, or nothing is gone.
        let Some(clear) = clear.filter(|_| is_gone) else { return Ok(Decision::reply(Empty {})) };
        let chance = &mut cx.chance("notes");
        let desk = Desk { group: at.key(), tombstone: &clear.tombstone, at_rest: &cx.keys.at_rest };
        let mut notes = before.clone();
        // A clock that is ahead would keep a note for longer than any other.
        let seen_at = cx.now.as_secs().min(*seen_at);
        for queue in queues {
            notes = notes.with(&desk, *queue, seen_at, chance)?;
        }
        if notes == before {
            return Ok(Decision::reply(Empty {}));
        }
        let writes = vec![Write::Put(kinds::NOTES, notes.row())];
        Ok(Decision::reply(Empty {}).change(at, writes, Alarm::Keep))
    }
}

#[cfg(test)]
mod tests;
