//! `undelivered`: queues of members are gone.

use std::collections::BTreeSet;

use bytes::Bytes;
use phoenix_core::{
    Failure,
    api::{
        Empty,
        delivery::{self as api, UndeliveredRequest},
    },
    operation::{
        Anyone, Authorised, Context, Decision, Decoded, Local, Operation, Peers, Proven, Reading, Rows,
    },
    port::{Alarm, Wanted, Write},
    wire::Wire,
};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use crate::{
    fanout::returned,
    group::Clear,
    kinds,
    sealed::{unversioned, versioned},
    service::DeliveryService,
};

/// Keeps a note of queues that are gone, until the group is next opened: the first and the latest of each queue,
/// since a member is removed only for two that are an hour apart (07, "DS-induced removals").
pub struct Undelivered;

/// What is known of the group without its key.
pub struct Notes {
    at: Local,
    clear: Option<Clear>,
    rows: BTreeSet<Bytes>,
}

/// That a queue was gone at a time.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct Note {
    /// SHA-256 of the sealed config.
    pub(crate) queue: [u8; 32],
    /// When, in seconds.
    pub(crate) at: u64,
}

impl Operation for Undelivered {
    type Endpoint = api::Undelivered;
    type Service = DeliveryService;
    type State = Notes;
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
        let wanted = Wanted::Range { from: kinds::CLEAR, below: kinds::NOTES_BELOW, limit: MAX_ROWS };
        Ok(vec![Reading::change(at, wanted)])
    }

    fn open(call: &Decoded<Self>, found: Rows, cx: &Context<DeliveryService>) -> Result<Notes, Failure> {
        let at = returned(&call.request().back, cx)?;
        let clear = found.row(0, &kinds::CLEAR)?.map(|row| unversioned(row)).transpose()?;
        let rows = found.rows(0)?.iter().map(|(key, _)| key.clone()).filter(|key| *key >= kinds::NOTES_FROM);
        Ok(Notes { at, clear, rows: rows.collect() })
    }

    fn authenticate(
        _: &Decoded<Self>,
        _: &Notes,
        _: &Peers,
        _: &Context<DeliveryService>,
    ) -> Result<Proven<Anyone>, Failure> {
        Ok(Proven::anyone())
    }

    fn decide(
        notes: Notes,
        call: Authorised<Self>,
        _: &Peers,
        cx: &Context<DeliveryService>,
    ) -> Result<Decision<Empty>, Failure> {
        let Notes { at, clear, mut rows } = notes;
        // The group was given up meanwhile.
        let Some(clear) = clear else { return Ok(Decision::reply(Empty {})) };
        let chance = &mut cx.chance("notes");
        let mut writes = Vec::new();
        let UndeliveredRequest { gone, .. } = call.request();
        for queue in gone {
            let name = |latest| kinds::note(&cx.keys.at_rest, &at.key, queue, latest);
            let latest = rows.contains(&name(false));
            let row = name(latest);
            if !rows.contains(&row) && rows.len() >= MAX_NOTES {
                continue;
            }
            let note = Note { queue: *queue, at: cx.now.as_secs() };
            let sealed = clear.tombstone.seal(NOTE, &at.key, &note.encode(), chance)?;
            rows.insert(row.clone());
            writes.push(Write::Put(row, versioned(&sealed).to_vec().into()));
        }
        if writes.is_empty() {
            return Ok(Decision::reply(Empty {}));
        }
        Ok(Decision::reply(Empty {}).change(at, writes, Alarm::Keep))
    }
}

/// HPKE info of notes.
const NOTE: &[u8] = b"phoenix note";
/// Notes of a group at most (07).
const MAX_NOTES: usize = 64;
/// Notes, and the two rows before them.
const MAX_ROWS: u32 = 66;

#[cfg(test)]
mod tests;
