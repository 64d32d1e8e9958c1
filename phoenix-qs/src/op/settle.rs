//! `settle`: takes what was delivered out of a mailbox, and says when to go on.

use bytes::Bytes;
use phoenix_core::{
    Failure, Fault, Fqdn, Reject, Timestamp,
    api::{
        Description, Empty, Endpoint, ServiceName,
        federation::{MAX_DELIVERIES, QsToQsReceipt, RecipientResult},
    },
    operation::{
        Anyone, Authorised, Context, Decision, Decoded, Hint, Operation, Peers, Proven, Reading, Rows,
    },
    port::{Alarm, Wanted, Write},
    time::DAY,
    wire::{List, Wire},
};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use crate::{
    delivering::{lane_back, undelivered},
    kinds::{ABOVE_NUMBERS, RECORD, aside, mailbox, round},
    record::{HeldRow, MAX_HELD, MailboxRecord, RoundRecord, entry_key, from_row, to_row},
    service::QueueService,
};

/// Ends what [`dispatch`](super::dispatch) began.
pub struct Settle;

impl Endpoint for Settle {
    const DESCRIPTION: Description = Description::new(0x0223, ServiceName::Qs, "settle").internal();
    type Request = SettleRequest;
    type Reply = Empty;
}

/// What came of an attempt to send.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct SettleRequest {
    /// The key of the mailbox's partition, without the kind.
    pub mailbox: [u8; 32],
    /// The id of the transaction that was dispatched; none where it came to none.
    pub transaction: Option<[u8; 16]>,
    /// The rows that were dispatched.
    pub rows: List<u64, MAX_DELIVERIES>,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
#[repr(u8)]
pub enum Outcome {
    /// The destination answered.
    #[tls_codec(discriminant = 1)]
    Receipt(Box<QsToQsReceipt>),
    /// It did not answer, or refused the transaction as a whole; it asked for so many seconds of rest, or 0.
    #[tls_codec(discriminant = 2)]
    Failed(u32),
}

/// What was found of the mailbox.
pub struct State {
    round: RoundRecord,
    destination: Option<Fqdn>,
    messages: Vec<(u64, MailboxRecord)>,
}

impl Operation for Settle {
    type Endpoint = Self;
    type Service = QueueService;
    type State = State;
    type Sender = Anyone;

    fn locate(call: &Decoded<Self>, found: &Rows, _: &Context<QueueService>) -> Result<Vec<Reading>, Failure> {
        if !found.is_empty() {
            return Ok(Vec::new());
        }
        let SettleRequest { mailbox: key, rows, outcome, .. } = call.request();
        let messages = match outcome {
            Outcome::Receipt(_) => Wanted::Keys(rows.iter().map(|row| entry_key(*row)).collect()),
            Outcome::Failed(_) => {
                Wanted::Range { from: Bytes::new(), below: ABOVE_NUMBERS, limit: GIVE_UP_PAGE }
            }
        };
        Ok(vec![
            Reading::change(round(key), Wanted::Keys(vec![RECORD])),
            // Not checked, since messages are appended all the time; a row is taken, or makes a conflict.
            Reading::glance(mailbox(key), Wanted::Keys(vec![RECORD])),
            Reading::glance(mailbox(key), messages),
        ])
    }

    fn open(call: &Decoded<Self>, found: Rows, cx: &Context<QueueService>) -> Result<State, Failure> {
        let round = found.row(0, &RECORD)?.map(|row| from_row(row)).transpose()?.unwrap_or_default();
        let destination = found.row(1, &RECORD)?.map(|row| from_row(row)).transpose()?;
        let mut messages = Vec::new();
        for (row, sealed) in found.rows(2)? {
            let number = u64::decode(row).map_err(|_| Fault::Broken("a row of a mailbox"))?;
            messages.push((number, MailboxRecord::open(&cx.keys.at_rest, &call.request().mailbox, sealed)?));
        }
        Ok(State { round, destination, messages })
    }

    fn authenticate(
        _: &Decoded<Self>,
        _: &State,
        _: &Peers,
        _: &Context<QueueService>,
    ) -> Result<Proven<Anyone>, Failure> {
        Ok(Proven::anyone())
    }

    fn decide(
        state: State,
        call: Authorised<Self>,
        _: &Peers,
        cx: &Context<QueueService>,
    ) -> Result<Decision<Empty>, Failure> {
        let request = call.request();
        let Some(destination) = state.destination else { return Ok(Decision::reply(Empty {})) };
        let is_ours = request.transaction.is_none() || request.transaction == state.round.transaction;
        let mut settling = Settling { request, cx, taken: Vec::new(), held: Vec::new(), aside: Vec::new() };
        let mut decision = Decision::reply(Empty {});
        for (number, record) in &state.messages {
            let unreached = match &request.outcome {
                Outcome::Receipt(receipt) => settling.settled(*number, record, receipt),
                Outcome::Failed(_) => settling.given_up(*number, record),
            };
            let lane = lane_back(&cx.keys.at_rest, &request.mailbox);
            let told = undelivered(&cx.domain, lane, &record.back, &unreached)?;
            decision = told.into_iter().fold(decision, Decision::deliver);
        }
        let decision = settling.write(decision, &destination);
        Ok(if is_ours { settling.schedule(decision, state.round)? } else { decision })
    }
}

/// What becomes of the messages of one mailbox.
struct Settling<'a> {
    request: &'a SettleRequest,
    cx: &'a Context<QueueService>,
    taken: Vec<Write>,
    held: Vec<HeldRow>,
    aside: Vec<Write>,
}

impl Settling<'_> {
    /// Takes a message out where nothing of it is open; tells which recipients it did not reach for good.
    fn settled(&mut self, number: u64, record: &MailboxRecord, receipt: &QsToQsReceipt) -> Vec<[u8; 32]> {
        // A delivery that the receipt does not name stays.
        let Some(answer) = receipt.results.iter().find(|it| it.id == record.id) else { return Vec::new() };
        let results = &answer.results;
        if results.len() != record.recipients.len() || results.is_empty() {
            self.set_aside(number, record);
            return Vec::new();
        }
        let rest = results.iter().filter_map(|result| match result {
            RecipientResult::Later(seconds) => Some(u64::from(*seconds)),
            RecipientResult::Delivered | RecipientResult::Gone => None,
        });
        if let Some(seconds) = rest.max()
            && !self.is_too_old(record)
        {
            let seconds = seconds.clamp(1, self.cx.settings.max_pause_s);
            self.held.push(HeldRow { row: number, until: self.cx.now.plus_secs(seconds).0 });
            return Vec::new();
        }
        self.taken.push(Write::Take(entry_key(number)));
        let reached = |result: &RecipientResult| matches!(result, RecipientResult::Delivered);
        let recipients = record.recipients.iter().zip(results.iter());
        recipients.filter(|(_, result)| !reached(result)).map(|(config, _)| *config).collect()
    }

    /// Takes a message out that nobody took for too long.
    fn given_up(&mut self, number: u64, record: &MailboxRecord) -> Vec<[u8; 32]> {
        if !self.is_too_old(record) {
            return Vec::new();
        }
        self.taken.push(Write::Take(entry_key(number)));
        record.recipients.to_vec()
    }

    /// Keeps for the operator what the destination refuses as bad: it must not block what comes after it.
    fn set_aside(&mut self, number: u64, record: &MailboxRecord) {
        let mut chance = self.cx.chance(&format!("aside {number}"));
        self.taken.push(Write::Take(entry_key(number)));
        self.aside.push(Write::Append(record.seal(&self.cx.keys.at_rest, b"aside", &mut chance)));
    }

    fn is_too_old(&self, record: &MailboxRecord) -> bool {
        Timestamp::from_secs(record.accepted_at).plus_secs(self.cx.settings.give_up_s) <= self.cx.now
    }

    /// Writes what becomes of the messages.
    fn write(&mut self, mut decision: Decision<Empty>, destination: &Fqdn) -> Decision<Empty> {
        let (taken, put_aside) = (std::mem::take(&mut self.taken), std::mem::take(&mut self.aside));
        if !put_aside.is_empty() {
            let alarm = Alarm::IfNone(self.cx.now.plus_secs(ASIDE_DAYS * DAY));
            decision = decision.change(aside(&self.cx.keys.at_rest, destination), put_aside, alarm);
        }
        if taken.is_empty() {
            return decision;
        }
        decision.change(mailbox(&self.request.mailbox), taken, Alarm::Keep)
    }

    /// When to send again: at once after a success, since more may have come; after a failure with full jitter,
    /// so that many servers do not come back to one at the same moment.
    fn schedule(self, decision: Decision<Empty>, round_record: RoundRecord) -> Result<Decision<Empty>, Failure> {
        let Self { request, cx, held, .. } = self;
        let next = match &request.outcome {
            Outcome::Receipt(receipt) => {
                let mut all: Vec<HeldRow> = round_record.held.into_vec();
                all.retain(|it| !request.rows.contains(&it.row) && cx.now < Timestamp(it.until));
                all.extend(held);
                let rest = u64::from(receipt.limits.retry_after_s).min(cx.settings.max_pause_s);
                // With too many put off, the whole mailbox waits for the last of these.
                let crowded = all.len() > MAX_HELD;
                let latest = all.iter().map(|it| it.until).max().filter(|_| crowded).unwrap_or_default();
                all.truncate(MAX_HELD);
                let until = cx.now.plus_secs(rest).0.max(latest);
                RoundRecord { transaction: None, until, attempts: 0, held: List::new(all).map_err(Reject::from)? }
            }
            Outcome::Failed(rest) => {
                let attempts = round_record.attempts.saturating_add(1);
                let pause = pause_ms(attempts, cx).max(u64::from(*rest).min(cx.settings.max_pause_s) * 1_000);
                RoundRecord { transaction: None, until: cx.now.plus_millis(pause).0, attempts, ..round_record }
            }
        };
        let forget = Alarm::At(cx.now.plus_secs(FORGET_DAYS * DAY));
        Ok(decision
            .change(mailbox(&request.mailbox), Vec::new(), Alarm::At(cx.now.max(Timestamp(next.until))))
            .change(round(&request.mailbox), vec![Write::Put(RECORD, to_row(&next))], forget)
            .hint(Hint::Ring))
    }
}

/// A pause drawn between 0 and a ceiling that doubles from one second with each failure.
fn pause_ms(attempts: u32, cx: &Context<QueueService>) -> u64 {
    let doubled = 1_u64.checked_shl(attempts.saturating_sub(1)).unwrap_or(u64::MAX);
    let ceiling = doubled.min(cx.settings.max_pause_s).max(1).saturating_mul(1_000);
    let drawn = u64::from_be_bytes(cx.chance("pause").bytes());
    drawn.checked_rem(ceiling).unwrap_or_default()
}

/// Messages looked at after each failure for being too old.
const GIVE_UP_PAGE: u32 = 64;
/// Days for which messages that were refused as bad are kept for the operator.
const ASIDE_DAYS: u64 = 7;
/// Days after which it is forgotten how often a mailbox could not be sent: longer than any pause.
const FORGET_DAYS: u64 = 8;
