//! `dispatch`: packs the next transaction of a mailbox.

use bytes::Bytes;
use phoenix_core::{
    Breaker, Delay, Failure, Fault, Fqdn, Reject, Sent, Timestamp,
    api::{
        Description, Endpoint, ServiceName,
        delivery::Undeliverable,
        federation::{DeliveryAad, MAX_DELIVERIES, QsToQsTransaction, SealedDelivery},
        queue::QsPublicKeys,
    },
    federation::Outbox,
    limit::{Limit, Load, Loads, Rate},
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
    waiting::{FORGET_DAYS, KNOWN_S},
};

/// Packs what is next in a mailbox into a transaction, and takes the mailbox out of others' hands until it is
/// settled, or long enough for an answer to have come.
///
/// Run it when the mailbox's alarm rang. Where it answers with a transaction, send that as `federated_enqueue` and
/// tell [`settle`](super::settle) what came of it. Where it fails with [`Reject::Unavailable`], the destination's keys
/// could not be had: settle that as a failure, too. Where it answers nothing, there is nothing to do now. What waits for
/// a homeserver that the operator has blocked or paused is held, or let go of (08, "Policy"); where it is held, run it
/// again when the policy has changed. To one that failed too often, from whichever mailbox, nothing goes for a while, and
/// then an empty transaction: what comes of that holds for all of its mailboxes.
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
#[derive(Clone, Debug, Default, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct DispatchReply {
    /// None where nothing is to be sent now.
    pub dispatched: Option<Dispatched>,
    /// For whom all that waits is held by the operator's policy.
    pub held: Option<Fqdn>,
    /// What was given up, since nobody took it for too long.
    pub given_up: Option<GivenUp>,
}

/// Messages that no homeserver took.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct GivenUp {
    /// The homeserver that they were for.
    pub destination: Fqdn,
    /// How many.
    pub messages: u16,
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
    /// Those among the first that are given up: nobody took them for too long, or the operator wants them dropped.
    given_up: Vec<(u64, MailboxRecord)>,
    content: Content,
    /// What the operator's policy makes of what waits.
    outbox: Option<Outbox>,
    /// Whether the destination is asked at all.
    breaker: Breaker,
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
        let (ready, given_up) = (Vec::new(), Vec::new());
        let (destination, content, outbox, breaker) = (None, Content::Unread, None, Breaker::Closed);
        let mut state = State { round, destination, ready, given_up, content, outbox, breaker };
        if found.len() == 1 {
            return Ok(state);
        }
        state.destination = read_row(&found, 1, &RECORD)?;
        if let Some(domain) = &state.destination {
            state.outbox = cx.federation.outbox(domain);
            state.breaker = cx.delays.breaker(domain, cx.now);
        }
        state.content = match (found.rows(2)?.is_empty(), found.len()) {
            (false, _) => Content::Messages,
            (true, 4) if found.rows(3)?.is_empty() => Content::Nothing,
            (true, _) => Content::Changing,
        };
        for (row, sealed) in found.rows(2)? {
            let number = u64::decode(row).map_err(|_| Fault::Broken("a row of a mailbox"))?;
            let record = MailboxRecord::open(&cx.keys.at_rest, &call.request().mailbox, sealed)?;
            let is_given_up =
                state.outbox == Some(Outbox::Drop) || record.is_too_old(cx.settings.give_up_s, cx.now);
            let some = if is_given_up { &mut state.given_up } else { &mut state.ready };
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
        let destination = state.destination.as_ref().filter(|_| state.is_sending());
        Ok(destination.map(|domain| Need::keys(domain.clone(), ServiceName::Qs)).into_iter().collect())
    }

    fn loads(call: &Decoded<Self>, state: &State, _: &Anyone, cx: &Context<QueueService>) -> Loads {
        let is_counted = state.is_sending() && state.breaker == Breaker::Closed;
        let Some(domain) = state.destination.as_ref().filter(|_| is_counted) else { return Loads::None };
        let busy_us = state.next(domain, cx).busy_us;
        // Beyond it, the transaction waits.
        Loads::Each(vec![vec![Load::new(Limit::Mailbox, call.request().mailbox.to_vec(), busy_us)]])
    }

    fn decide(
        state: State,
        call: Authorised<Self>,
        peers: &Peers,
        cx: &Context<QueueService>,
    ) -> Result<Decision<DispatchReply>, Failure> {
        let key = call.request().mailbox;
        let nothing = Decision::reply(DispatchReply::default());
        match (state.content, &state.destination) {
            (Content::Unread, _) => Ok(nothing.change(mailbox(&key), Vec::new(), at(state.round.until))),
            (Content::Nothing, _) => Ok(nothing
                .change(mailbox(&key), vec![Write::Drop], Alarm::Never)
                .change(round(&key), vec![Write::Drop], Alarm::Never)),
            (Content::Changing, _) => {
                Ok(nothing.change(mailbox(&key), Vec::new(), Alarm::At(cx.now)).hint(Hint::Ring))
            }
            (Content::Messages, _) if !state.given_up.is_empty() => given_up(&state, &key, cx),
            (Content::Messages, None) => Err(Fault::Broken("a mailbox without a destination").into()),
            (Content::Messages, Some(domain)) if state.outbox.is_some() => {
                Ok(held(domain.clone(), &state, &key, cx))
            }
            (Content::Messages, Some(_)) if let Breaker::Open(until) = state.breaker => {
                Ok(left_alone(nothing, &key, until, cx))
            }
            (Content::Messages, Some(_)) if let Some(seconds) = call.held_back(0) => {
                Ok(held_back(nothing, &key, (&state.round, seconds), cx))
            }
            (Content::Messages, Some(domain)) => {
                let packing = Packing { key, domain: domain.clone(), keys: peers.queue(domain)?, cx };
                packing.decide(state)
            }
        }
    }
}

impl State {
    fn is_sending(&self) -> bool {
        let is_asked = !matches!(self.breaker, Breaker::Open(_));
        is_asked && self.outbox.is_none() && self.given_up.is_empty() && !self.ready.is_empty()
    }

    /// As much as one transaction takes, and as the destination takes at once by what it says; the first in any case.
    /// Nothing where it is to be found out whether it answers at all: no message must decide that, since it may be the
    /// one which it fails at.
    fn next(&self, domain: &Fqdn, cx: &Context<QueueService>) -> Filling {
        let most_us = cx.limits.mailbox.map_or(u32::MAX, Rate::burst);
        let (mut sent, mut filling) = (Sent::default(), Filling { messages: 0, busy_us: 0 });
        if self.breaker == Breaker::HalfOpen {
            return filling;
        }
        for (_, record) in self.ready.iter().take(self.round.width.deliveries()) {
            let Sent { deliveries, bytes } = record.counts_for();
            sent.deliveries = sent.deliveries.saturating_add(deliveries);
            sent.bytes = sent.bytes.saturating_add(bytes);
            let busy_us = cx.advertised.busy_us(domain, sent);
            if filling.messages > 0 && (busy_us > most_us || sent.bytes > MAX_BYTES) {
                break;
            }
            filling = Filling { messages: filling.messages.saturating_add(1), busy_us };
        }
        filling
    }
}

/// What the next transaction is to hold.
struct Filling {
    /// So many messages.
    messages: usize,
    /// For so many microseconds its destination is busy with them.
    busy_us: u32,
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
        let messages = state.next(&self.domain, self.cx).messages;
        for (number, record) in state.ready.into_iter().take(messages) {
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
        let asking = asking(&self.domain, until, self.cx);
        let dispatched = Dispatched {
            transaction: sign_transaction(&self.domain, transaction, deliveries, self.cx)?,
            destination: self.domain,
            rows: List::new(rows).map_err(Reject::from)?,
        };
        let forget = Alarm::At(self.cx.now.plus_secs(FORGET_DAYS * DAY));
        let decision =
            Decision::reply(DispatchReply { dispatched: Some(dispatched), ..DispatchReply::default() })
                .change(mailbox(&self.key), resealed, Alarm::At(until))
                .change(round(&self.key), vec![Write::Put(RECORD, to_row(&round_record))], forget);
        Ok(asking.into_iter().fold(decision, Decision::hint))
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

/// Leaves messages where they are, for as long as the policy holds them: nothing is asked of the destination, and senders
/// are told of the delay. Looks again now and then, for those that become too old and for a policy that nobody told of.
fn held(domain: Fqdn, state: &State, key: &[u8; 32], cx: &Context<QueueService>) -> Decision<DispatchReply> {
    let again = cx.now.plus_secs(HELD_S);
    let since = state.ready.first().map_or(cx.now, |(_, first)| Timestamp::from_secs(first.accepted_at));
    let delay = Some(Delay { since, until: again.plus_secs(HELD_S), ..Delay::default() });
    Decision::reply(DispatchReply { held: Some(domain.clone()), ..DispatchReply::default() })
        .change(mailbox(key), Vec::new(), Alarm::At(again))
        .hint(Hint::Delay { domain, delay })
}

/// Leaves a destination alone that does not answer. Whoever finds it so looks again behind the one that asks next.
fn left_alone(
    decision: Decision<DispatchReply>,
    key: &[u8; 32],
    until: Timestamp,
    cx: &Context<QueueService>,
) -> Decision<DispatchReply> {
    let drawn = cx.chance("behind").below(BEHIND_MS);
    let again = until.plus_millis(BEHIND_MS.saturating_add(drawn));
    decision.change(mailbox(key), Vec::new(), Alarm::At(again))
}

/// Where a transaction is to find out whether its destination answers again: the other mailboxes wait for that.
fn asking(domain: &Fqdn, until: Timestamp, cx: &Context<QueueService>) -> Option<Hint> {
    let known = cx.delays.of(domain).filter(Delay::is_open)?;
    let delay = Some(Delay { until: known.until.max(until.plus_secs(KNOWN_S)), again: until, ..known });
    Some(Hint::Delay { domain: domain.clone(), delay })
}

/// Leaves the destination alone for a while, which takes no more by what it says.
fn held_back(
    decision: Decision<DispatchReply>,
    key: &[u8; 32],
    (before, seconds): (&RoundRecord, u32),
    cx: &Context<QueueService>,
) -> Decision<DispatchReply> {
    let until = cx.now.plus_secs(u64::from(seconds));
    let next = RoundRecord { transaction: None, until: until.0, ..before.clone() };
    let forget = Alarm::At(cx.now.plus_secs(FORGET_DAYS * DAY));
    decision.change(mailbox(key), Vec::new(), Alarm::At(until)).change(
        round(key),
        vec![Write::Put(RECORD, to_row(&next))],
        forget,
    )
}

/// Takes messages out that are given up, and tells the DS. The others are sent after that.
fn given_up(
    state: &State,
    key: &[u8; 32],
    cx: &Context<QueueService>,
) -> Result<Decision<DispatchReply>, Failure> {
    // What the operator wants dropped is no news to it.
    let destination = state.destination.clone().filter(|_| state.outbox != Some(Outbox::Drop));
    let messages = u16::try_from(state.given_up.len().min(MAX_GIVEN_UP)).unwrap_or(u16::MAX);
    let given_up = destination.map(|destination| GivenUp { destination, messages });
    let mut decision = Decision::reply(DispatchReply { given_up, ..DispatchReply::default() });
    let mut taken = Vec::new();
    for (number, record) in state.given_up.iter().take(MAX_GIVEN_UP) {
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
    Wanted::Range { from: Bytes::new(), below: ABOVE_NUMBERS, limit, bytes: MAX_BYTES }
}

const fn at(millis: u64) -> Alarm {
    Alarm::At(Timestamp(millis))
}

/// Messages that are read at once: as many as a transaction holds.
const FULL_PAGE: u32 = 256;
/// Messages given up at a time: each may be told to the DS in many parts.
const MAX_GIVEN_UP: usize = 64;
/// Seconds after which a mailbox is looked at again that the policy holds: within so many every replica knows another.
const HELD_S: u64 = 60;
/// Bytes of deliveries in one transaction, unless the first alone is larger (08).
const MAX_BYTES: usize = 1 << 20;
/// How long others wait beyond the time when a destination may be asked again, in milliseconds, and over how long they
/// are spread: so that one has asked before the next one looks.
const BEHIND_MS: u64 = 1_000;
