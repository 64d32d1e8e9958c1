//! `dispatch`: packs the next transaction of a mailbox.

use bytes::Bytes;
use phoenix_core::{
    Failure, Fault, Fqdn, Reject, Timestamp,
    api::{
        Description, Endpoint, ServiceName,
        delivery::Undeliverable,
        federation::{DeliveryAad, MAX_DELIVERIES, QsToQsTransaction, SealedDelivery},
        queue::QsPublicKeys,
    },
    operation::{
        Anyone, Authorised, Context, Decision, Decoded, Hint, Need, Operation, Peers, Proven, Reading, Rows,
    },
    port::{Alarm, Wanted, Write},
    time::DAY,
    wire::{List, Wire},
};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use crate::{
    delivering::{lane_back, undelivered},
    kinds::{ABOVE_NUMBERS, RECORD, mailbox, round},
    outgoing::{seal_delivery, sign_transaction},
    record::{MailboxBody, MailboxRecord, RoundRecord, entry_key, read_row, to_row},
    service::QueueService,
};

/// Packs what is next in a mailbox into a transaction, and takes the mailbox out of others' hands until it is
/// settled, or long enough for an answer to have come.
///
/// Run it when the mailbox's alarm rang. Where it answers with a transaction, send that as `federated_enqueue` and
/// tell [`settle`](super::settle) what came of it. Where it fails with [`Reject::Unavailable`], the destination's keys
/// could not be had: settle that as a failure, too. Where it answers nothing, there is nothing to do now.
pub struct Dispatch;

impl Endpoint for Dispatch {
    const DESCRIPTION: Description = Description::new(0x0222, ServiceName::Qs, "dispatch").internal();
    type Request = DispatchRequest;
    type Reply = DispatchReply;
}

/// Which mailbox.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct DispatchRequest {
    /// The key of its partition, without the kind.
    pub mailbox: [u8; 32],
}

/// What is to be sent.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct DispatchReply {
    /// None where nothing is to be sent now.
    pub dispatched: Option<Dispatched>,
}

/// A transaction on its way.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct Dispatched {
    /// The homeserver that it is for.
    pub destination: Fqdn,
    /// The transaction.
    pub transaction: QsToQsTransaction,
    /// The numbers of the mailbox's rows that it holds, in order: settling takes them back.
    pub rows: List<u64, MAX_DELIVERIES>,
}

/// A mailbox, as far as it was read.
pub struct State {
    round: RoundRecord,
    destination: Option<Fqdn>,
    /// Messages that may be sent, with the numbers of their rows.
    ready: Vec<(u64, MailboxRecord)>,
    /// Those among the first that nobody took for too long.
    too_old: Vec<(u64, MailboxRecord)>,
    content: Content,
}

/// What a mailbox holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Content {
    /// It was not read: it is not its time.
    Unread,
    /// Messages.
    Messages,
    /// None; sure enough to drop it.
    Nothing,
    /// None at first, then some.
    Changing,
}

impl Operation for Dispatch {
    type Endpoint = Self;
    type Service = QueueService;
    type State = State;
    type Sender = Anyone;

    fn locate(
        call: &Decoded<Self>,
        found: &Rows,
        cx: &Context<QueueService>,
    ) -> Result<Vec<Reading>, Failure> {
        let key = &call.request().mailbox;
        match found.len() {
            0 => Ok(vec![Reading::change(round(key), Wanted::Keys(vec![RECORD]))]),
            // Not checked, since messages are appended all the time; what is taken is still there, or conflicts.
            1 if cx.now >= Timestamp(round_of(found)?.until) => Ok(vec![
                Reading::glance(mailbox(key), Wanted::Keys(vec![RECORD])),
                Reading::glance(mailbox(key), numbered(FULL_PAGE)),
            ]),
            3 if found.rows(2)?.is_empty() => Ok(vec![Reading::change(mailbox(key), numbered(1))]),
            _ => Ok(Vec::new()),
        }
    }

    fn open(call: &Decoded<Self>, found: Rows, cx: &Context<QueueService>) -> Result<State, Failure> {
        let round = round_of(&found)?;
        let (ready, too_old) = (Vec::new(), Vec::new());
        let mut state = State { round, destination: None, ready, too_old, content: Content::Unread };
        if found.len() == 1 {
            return Ok(state);
        }
        state.destination = read_row(&found, 1, &RECORD)?;
        state.content = match (found.rows(2)?.is_empty(), found.len()) {
            (false, _) => Content::Messages,
            (true, 4) if found.rows(3)?.is_empty() => Content::Nothing,
            (true, _) => Content::Changing,
        };
        for (row, sealed) in found.rows(2)? {
            let number = u64::decode(row).map_err(|_| Fault::Broken("a row of a mailbox"))?;
            let record = MailboxRecord::open(&cx.keys.at_rest, &call.request().mailbox, sealed)?;
            let is_too_old = record.is_too_old(cx.settings.give_up_s, cx.now);
            let some = if is_too_old { &mut state.too_old } else { &mut state.ready };
            some.push((number, record));
        }
        Ok(state)
    }

    fn authenticate(
        _: &Decoded<Self>,
        _: &State,
        _: &Peers,
        _: &Context<QueueService>,
    ) -> Result<Proven<Anyone>, Failure> {
        Ok(Proven::anyone())
    }

    fn requires(_: &Decoded<Self>, state: &State) -> Result<Vec<Need>, Failure> {
        let is_sending = state.too_old.is_empty() && !state.ready.is_empty();
        let destination = state.destination.as_ref().filter(|_| is_sending);
        Ok(destination.map(|domain| Need::keys(domain.clone(), ServiceName::Qs)).into_iter().collect())
    }

    fn decide(
        state: State,
        call: Authorised<Self>,
        peers: &Peers,
        cx: &Context<QueueService>,
    ) -> Result<Decision<DispatchReply>, Failure> {
        let key = call.request().mailbox;
        let nothing = Decision::reply(DispatchReply { dispatched: None });
        match (state.content, &state.destination) {
            (Content::Unread, _) => Ok(nothing.change(mailbox(&key), Vec::new(), at(state.round.until))),
            (Content::Nothing, _) => Ok(nothing
                .change(mailbox(&key), vec![Write::Drop], Alarm::Never)
                .change(round(&key), vec![Write::Drop], Alarm::Never)),
            (Content::Changing, _) => {
                Ok(nothing.change(mailbox(&key), Vec::new(), Alarm::At(cx.now)).hint(Hint::Ring))
            }
            (Content::Messages, _) if !state.too_old.is_empty() => {
                given_up(nothing, &state.too_old, &key, cx)
            }
            (Content::Messages, None) => Err(Fault::Broken("a mailbox without a destination").into()),
            (Content::Messages, Some(domain)) => {
                let packing = Packing { key, domain: domain.clone(), keys: peers.queue(domain)?, cx };
                packing.decide(state)
            }
        }
    }
}

/// A transaction that is being packed.
struct Packing<'a> {
    key: [u8; 32],
    domain: Fqdn,
    keys: &'a QsPublicKeys,
    cx: &'a Context<QueueService>,
}

impl Packing<'_> {
    fn decide(self, state: State) -> Result<Decision<DispatchReply>, Failure> {
        let (mut rows, mut deliveries, mut resealed, mut bytes) =
            (Vec::new(), Vec::new(), Vec::new(), 0_usize);
        for (number, record) in state.ready.into_iter().take(state.round.width.deliveries()) {
            let (delivery, fresh) = self.sealed(number, record)?;
            bytes = bytes.saturating_add(delivery.sealed.ciphertext.len());
            if bytes > MAX_BYTES && !deliveries.is_empty() {
                break;
            }
            resealed.extend(fresh);
            rows.push(number);
            deliveries.push(delivery);
        }
        let transaction = self.cx.chance("transaction id").bytes();
        let until = self.cx.now.plus_secs(self.cx.settings.in_flight_s);
        let round_record =
            RoundRecord { transaction: Some(transaction), until: until.0, ..state.round.clone() };
        let dispatched = Dispatched {
            transaction: sign_transaction(&self.domain, transaction, deliveries, self.cx)?,
            destination: self.domain,
            rows: List::new(rows).map_err(Reject::from)?,
        };
        let forget = Alarm::At(self.cx.now.plus_secs(FORGET_DAYS * DAY));
        Ok(Decision::reply(DispatchReply { dispatched: Some(dispatched) })
            .change(mailbox(&self.key), resealed, Alarm::At(until))
            .change(round(&self.key), vec![Write::Put(RECORD, to_row(&round_record))], forget))
    }

    /// The delivery of a row; where it had to be sealed now, with the row's new content, which stays the same over
    /// all attempts.
    fn sealed(&self, number: u64, record: MailboxRecord) -> Result<(SealedDelivery, Vec<Write>), Failure> {
        let message = match &record.body {
            MailboxBody::Sealed(delivery) => return Ok((delivery.clone(), Vec::new())),
            MailboxBody::Plain(message) => message,
        };
        let aad =
            DeliveryAad { source: self.cx.domain.clone(), destination: self.domain.clone(), id: record.id };
        let mut chance = self.cx.chance(&format!("row {number}"));
        let delivery = seal_delivery(message, &aad, self.keys, self.cx.now, &mut chance)?;
        let record = MailboxRecord { body: MailboxBody::Sealed(delivery.clone()), ..record };
        let row = record.seal(&self.cx.keys.at_rest, &self.key, &mut chance);
        let key = entry_key(number);
        // Taken first: a row that somebody else took must not come back.
        Ok((delivery, vec![Write::Take(key.clone()), Write::Put(key, row)]))
    }
}

/// Takes messages out that nobody took for too long, and tells the DS. The others are sent after that.
fn given_up(
    mut decision: Decision<DispatchReply>,
    too_old: &[(u64, MailboxRecord)],
    key: &[u8; 32],
    cx: &Context<QueueService>,
) -> Result<Decision<DispatchReply>, Failure> {
    let mut taken = Vec::new();
    for (number, record) in too_old.iter().take(MAX_GIVEN_UP) {
        taken.push(Write::Take(entry_key(*number)));
        let lane = lane_back(&cx.keys.at_rest, key);
        let told = undelivered(cx, lane, &record.back, (Undeliverable::GivenUp, &record.unreached()))?;
        decision = told.into_iter().fold(decision, Decision::deliver);
    }
    Ok(decision.change(mailbox(key), taken, Alarm::At(cx.now)).hint(Hint::Ring))
}

fn round_of(found: &Rows) -> Result<RoundRecord, Failure> {
    Ok(read_row(found, 0, &RECORD)?.unwrap_or_default())
}

fn numbered(limit: u32) -> Wanted {
    Wanted::Range { from: Bytes::new(), below: ABOVE_NUMBERS, limit, bytes: 2 * MAX_BYTES }
}

const fn at(millis: u64) -> Alarm {
    Alarm::At(Timestamp(millis))
}

/// Messages that are read at once: as many as a transaction holds.
const FULL_PAGE: u32 = 256;
/// Messages given up at a time: each may be told to the DS in many parts.
const MAX_GIVEN_UP: usize = 64;
/// Bytes of deliveries in one transaction, unless the first alone is larger (08).
const MAX_BYTES: usize = 1 << 20;
/// Days after which it is forgotten how often a mailbox could not be sent: longer than any pause.
const FORGET_DAYS: u64 = 8;
