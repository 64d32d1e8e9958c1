//! `settle`: takes what was delivered or put off out of a mailbox, and says when to go on.

use phoenix_core::{
    Breaker, Delay, ErrorCode, ErrorReply, Failure, Fault, Fqdn, Timestamp,
    api::{
        Description, Endpoint, ServiceName,
        delivery::Undeliverable,
        federation::{MAX_DELIVERIES, QsToQsReceipt, RecipientResult},
    },
    operation::{
        Anyone, Authorised, Context, Decision, Decoded, Hint, Operation, Peers, Proven, Reading, Rows,
    },
    port::{Alarm, Wanted, Write},
    time::DAY,
    wire::{Flag, List, Wire},
};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use crate::{
    delivering::{lane_back, undelivered},
    kinds::{RECORD, aside, later, mailbox, round},
    record::{LaterKey, MailboxRecord, RoundRecord, Suspect, Width, entry_key, read_row, to_row},
    service::QueueService,
    waiting::{FORGET_DAYS, KNOWN_S, Waiting, mailboxes},
};

/// Ends what [`dispatch`](super::dispatch) began.
pub struct Settle;

impl Endpoint for Settle {
    const DESCRIPTION: Description = Description::new(0x0223, ServiceName::Qs, "settle").internal();
    type Request = SettleRequest;
    type Reply = SettleReply;
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

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct SettleReply {
    /// Deliveries that were set aside as bad.
    pub set_aside: u16,
    /// Deliveries that were given up, since they were put off for too long.
    pub given_up: u16,
}

/// What came of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
#[repr(u8)]
pub enum Outcome {
    /// The destination answered.
    #[tls_codec(discriminant = 1)]
    Receipt(Box<QsToQsReceipt>),
    /// It did not answer, or not for now, or it refuses this homeserver; it asked for so many seconds of rest, or 0.
    #[tls_codec(discriminant = 2)]
    Failed(u32),
    /// It refused the transaction as a whole for what it holds: at least one of the deliveries is bad.
    #[tls_codec(discriminant = 3)]
    Refused,
    /// Something broke there, perhaps at one of the deliveries. Set where it took others since that happened last.
    #[tls_codec(discriminant = 4)]
    Broke(Flag),
}

impl From<ErrorReply> for Outcome {
    fn from(refused: ErrorReply) -> Self {
        match refused.code {
            ErrorCode::Malformed | ErrorCode::TooLarge => Self::Refused,
            ErrorCode::Internal => Self::Broke(Flag::No),
            ErrorCode::UnsupportedVersion
            | ErrorCode::Unauthenticated
            | ErrorCode::TokenRequired
            | ErrorCode::TokenInvalid
            | ErrorCode::TokenSpent
            | ErrorCode::Forbidden
            | ErrorCode::NotFound
            | ErrorCode::Conflict
            | ErrorCode::PendingProposals
            | ErrorCode::DuplicateKey
            | ErrorCode::AlreadyExists
            | ErrorCode::RateLimited
            | ErrorCode::Unavailable => Self::Failed(refused.retry_after_s.unwrap_or_default()),
        }
    }
}

/// What was found of the mailbox.
pub struct State {
    round: RoundRecord,
    destination: Option<Fqdn>,
    messages: Vec<(u64, MailboxRecord)>,
    /// When the first that was put off may be sent again.
    first_later: Option<Timestamp>,
    /// The destination's other mailboxes, where they are to be sent now.
    others: Waiting,
}

impl Operation for Settle {
    type Endpoint = Self;
    type Service = QueueService;
    type State = State;
    type Sender = Anyone;

    fn locate(
        call: &Decoded<Self>,
        found: &Rows,
        cx: &Context<QueueService>,
    ) -> Result<Vec<Reading>, Failure> {
        let SettleRequest { mailbox: key, rows, .. } = call.request();
        if !found.is_empty() {
            let is_first = found.len() == call.request().places();
            let others = if is_first { freed(call.request(), found, cx)? } else { Vec::new() };
            return Ok(Waiting::readings(&others));
        }
        let mut readings = vec![
            Reading::change(round(key), Wanted::Keys(vec![RECORD])),
            // Not checked, since messages are appended all the time; a row is taken, or makes a conflict.
            Reading::glance(mailbox(key), Wanted::Keys(vec![RECORD])),
        ];
        if call.request().is_of_messages() {
            let sent = Wanted::Keys(rows.iter().map(|row| entry_key(*row)).collect());
            readings.push(Reading::glance(mailbox(key), sent));
            readings.push(Reading::change(later(key), Wanted::Mark));
        }
        Ok(readings)
    }

    fn open(call: &Decoded<Self>, found: Rows, cx: &Context<QueueService>) -> Result<State, Failure> {
        let round = read_row(&found, 0, &RECORD)?.unwrap_or_default();
        let destination = read_row(&found, 1, &RECORD)?;
        let others = freed(call.request(), &found, cx)?;
        let others = Waiting::found(others, (&found, call.request().places()), cx.now)?;
        let mut state = State { round, destination, messages: Vec::new(), first_later: None, others };
        if !call.request().is_of_messages() {
            return Ok(state);
        }
        for (row, sealed) in found.rows(2)? {
            let number = u64::decode(row).map_err(|_| Fault::Broken("a row of a mailbox"))?;
            let record = MailboxRecord::open(&cx.keys.at_rest, &call.request().mailbox, sealed)?;
            state.messages.push((number, record));
        }
        state.first_later = found.place(3)?.alarm;
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

    fn decide(
        state: State,
        call: Authorised<Self>,
        _: &Peers,
        cx: &Context<QueueService>,
    ) -> Result<Decision<SettleReply>, Failure> {
        let request = call.request();
        let State { round, destination, messages, first_later, others } = state;
        let Some(destination) = destination else { return Ok(Decision::reply(SettleReply::default())) };
        let is_ours = match request.transaction {
            Some(_) => request.transaction == round.transaction,
            // It came to no transaction: another may be under way.
            None => round.transaction.is_none() || cx.now >= Timestamp(round.until),
        };
        let came = Came::of(request, &messages, &round);
        let mut settling = Settling::new(request.mailbox, is_ours, cx);
        let mut told = Vec::new();
        for (number, record) in messages {
            let back = record.back.clone();
            let (cause, unreached) = settling.settled(number, record, came);
            let lane = lane_back(&cx.keys.at_rest, &request.mailbox);
            told.extend(undelivered(cx, lane, &back, (cause, &unreached))?);
        }
        let decision = told.into_iter().fold(Decision::reply(settling.reply()), Decision::deliver);
        let decision = settling.write(decision, &destination, first_later);
        let of = (request.mailbox, destination);
        let decision = match came {
            Came::Receipt(receipt) => {
                decision.hint(Hint::Advertised { domain: of.1.clone(), limits: receipt.limits })
            }
            Came::Refused(_) | Came::Broke(..) | Came::Failed(_) => decision,
        };
        if !is_ours {
            return Ok(decision);
        }
        let decision = if came.is_answer() { others.woken(decision, cx) } else { decision };
        Ok(scheduled(decision, of, &round, came, cx))
    }
}

impl SettleRequest {
    /// Whether the outcome says of a message what becomes of it: a receipt does, and what else came of one that was sent
    /// alone may.
    fn is_of_messages(&self) -> bool {
        match self.outcome {
            Outcome::Receipt(_) => true,
            Outcome::Refused | Outcome::Broke(_) => self.rows.len() == 1,
            Outcome::Failed(_) => false,
        }
    }

    /// How many places are read of the mailbox itself.
    fn places(&self) -> usize {
        if self.is_of_messages() { 4 } else { 2 }
    }
}

/// The other mailboxes of a destination that answers after it was left alone: they need not find that out by themselves.
fn freed(
    request: &SettleRequest,
    found: &Rows,
    cx: &Context<QueueService>,
) -> Result<Vec<[u8; 32]>, Failure> {
    if !matches!(request.outcome, Outcome::Receipt(_) | Outcome::Refused) {
        return Ok(Vec::new());
    }
    let destination: Option<Fqdn> = read_row(found, 1, &RECORD)?;
    let Some(domain) = destination.filter(|it| cx.delays.breaker(it, cx.now) != Breaker::Closed) else {
        return Ok(Vec::new());
    };
    Ok(mailboxes(&domain, cx).into_iter().filter(|it| *it != request.mailbox).collect())
}

/// What came of a transaction, seen beside what it held.
#[derive(Clone, Copy)]
enum Came<'a> {
    /// An answer.
    Receipt(&'a QsToQsReceipt),
    /// A refusal of so many deliveries together.
    Refused(usize),
    /// Something broke at it. So many deliveries are to be sent next, and where it held one, that is suspected.
    Broke(Width, Option<Suspect>),
    /// No answer, or one for nothing of what was sent; for so many seconds the destination wants to be left alone.
    Failed(u32),
}

impl<'a> Came<'a> {
    fn of(request: &'a SettleRequest, messages: &[(u64, MailboxRecord)], round: &RoundRecord) -> Self {
        match &request.outcome {
            Outcome::Failed(rest) => Self::Failed(*rest),
            Outcome::Refused => Self::Refused(request.rows.len()),
            Outcome::Receipt(receipt) => {
                let is_named =
                    |(_, record): &(u64, MailboxRecord)| receipt.results.iter().any(|it| it.id == record.id);
                let is_answer = messages.is_empty() || messages.iter().any(is_named);
                if is_answer { Self::Receipt(receipt) } else { Self::Failed(0) }
            }
            Outcome::Broke(others_pass) => match *request.rows {
                // There was nothing in it to break at.
                [] => Self::Failed(0),
                [row] => {
                    let suspect = Suspect::again(round.suspect, row, *others_pass);
                    let narrowest = Width::half_of(1);
                    if suspect.is_bad() { Self::Refused(1) } else { Self::Broke(narrowest, Some(suspect)) }
                }
                [..] => Self::Broke(Width::half_of(request.rows.len()), None),
            },
        }
    }

    /// Whether the destination is there, and something may be sent to it.
    const fn is_answer(self) -> bool {
        matches!(self, Self::Receipt(_) | Self::Refused(_))
    }
}

/// Whom a message did not reach, and why.
type Unreached = (Undeliverable, Vec<[u8; 32]>);

/// A message that has reached all, or may still.
const NOBODY: Unreached = (Undeliverable::Gone, Vec::new());

/// What becomes of the messages of one mailbox.
struct Settling<'a> {
    mailbox: [u8; 32],
    is_ours: bool,
    cx: &'a Context<QueueService>,
    taken: Vec<Write>,
    put_off: Vec<Write>,
    first_later: Option<Timestamp>,
    aside: Vec<Write>,
    given_up: u16,
}

impl<'a> Settling<'a> {
    fn new(mailbox: [u8; 32], is_ours: bool, cx: &'a Context<QueueService>) -> Self {
        let (taken, put_off, aside) = Default::default();
        Self { mailbox, is_ours, cx, taken, put_off, first_later: None, aside, given_up: 0 }
    }

    /// What becomes of a message; where it is taken out for good, tells which recipients it did not reach, and why.
    fn settled(&mut self, number: u64, record: MailboxRecord, came: Came<'_>) -> Unreached {
        match came {
            Came::Receipt(receipt) => self.answered(number, record, receipt),
            // Read only where it was sent alone: then it is this one that is bad.
            Came::Refused(_) if self.is_ours => self.set_aside(number, &record),
            Came::Refused(_) | Came::Broke(..) | Came::Failed(_) => NOBODY,
        }
    }

    fn answered(&mut self, number: u64, record: MailboxRecord, receipt: &QsToQsReceipt) -> Unreached {
        let longest = self.cx.settings.max_pause_s;
        let Some(answer) = receipt.results.iter().find(|it| it.id == record.id) else {
            // An answer that comes late is not about what lies there now.
            return if self.is_ours { self.put_off(number, record, longest) } else { NOBODY };
        };
        let results = &answer.results;
        if results.len() != record.recipients.len() || results.is_empty() {
            return self.set_aside(number, &record);
        }
        let record = record.reached(results);
        let rest = results.iter().filter_map(|result| match result {
            RecipientResult::Later(seconds) => Some(u64::from(*seconds)),
            RecipientResult::Delivered | RecipientResult::Gone => None,
        });
        match rest.max() {
            Some(seconds) => self.put_off(number, record, seconds.clamp(1, longest)),
            // All have answered, and those that it has not reached are gone.
            None => (Undeliverable::Gone, self.take_out(number, &record)),
        }
    }

    /// Takes a message out for a while, so that it does not hold up others; for good where it is too old.
    fn put_off(&mut self, number: u64, record: MailboxRecord, seconds: u64) -> Unreached {
        if record.is_too_old(self.cx.settings.give_up_s, self.cx.now) {
            self.given_up = self.given_up.saturating_add(1);
            return (Undeliverable::GivenUp, self.take_out(number, &record));
        }
        let until = self.cx.now.plus_secs(seconds);
        let key = LaterKey { until: until.0, number, id: record.id }.encode();
        let mut chance = self.cx.chance(&format!("later {number}"));
        let row = record.seal(&self.cx.keys.at_rest, &self.mailbox, &mut chance);
        self.taken.push(Write::Take(entry_key(number)));
        self.put_off.push(Write::Put(key, row));
        self.first_later = Some(self.first_later.map_or(until, |first| first.min(until)));
        NOBODY
    }

    fn take_out(&mut self, number: u64, record: &MailboxRecord) -> Vec<[u8; 32]> {
        self.taken.push(Write::Take(entry_key(number)));
        record.unreached()
    }

    /// Keeps for the operator what the destination refuses as bad: it must not block what comes after it.
    fn set_aside(&mut self, number: u64, record: &MailboxRecord) -> Unreached {
        let mut chance = self.cx.chance(&format!("aside {number}"));
        self.aside.push(Write::Append(record.seal(&self.cx.keys.at_rest, b"aside", &mut chance)));
        (Undeliverable::GivenUp, self.take_out(number, record))
    }

    fn reply(&self) -> SettleReply {
        let set_aside = u16::try_from(self.aside.len()).unwrap_or(u16::MAX);
        SettleReply { set_aside, given_up: self.given_up }
    }

    /// Writes what becomes of the messages.
    fn write(
        self,
        mut decision: Decision<SettleReply>,
        destination: &Fqdn,
        first_before: Option<Timestamp>,
    ) -> Decision<SettleReply> {
        let Self { mailbox: key, cx, taken, mut put_off, first_later, aside: put_aside, .. } = self;
        if !put_aside.is_empty() {
            let alarm = Alarm::IfNone(cx.now.plus_secs(ASIDE_DAYS * DAY));
            decision = decision.change(aside(&cx.keys.at_rest, destination), put_aside, alarm);
        }
        if let Some(first) = first_later {
            put_off.push(Write::Put(RECORD, to_row(destination)));
            let first = first_before.map_or(first, |before| before.min(first));
            decision = decision.change(later(&key), put_off, Alarm::At(first));
        }
        if taken.is_empty() {
            return decision;
        }
        decision.change(mailbox(&key), taken, Alarm::Keep)
    }
}

/// When to send again, and how much at a time. At once after a success, since more may have come. After a refusal of
/// what was sent soon, and half of it: the destination is there, and a bad message must not count against it. After a
/// failure with full jitter, so that many servers do not come back to one at the same moment; what goes there is
/// delayed until then, which senders are told. So too, and half of it, where something broke.
fn scheduled(
    decision: Decision<SettleReply>,
    (key, domain): ([u8; 32], Fqdn),
    before: &RoundRecord,
    came: Came<'_>,
    cx: &Context<QueueService>,
) -> Decision<SettleReply> {
    let attempts = before.attempts.saturating_add(1);
    let failing_since = Some(before.failing_since.unwrap_or(cx.now.0));
    let failed = RoundRecord { attempts, failing_since, transaction: None, ..before.clone() };
    let (next, pause) = match came {
        // It was only asked whether it is there: what waits may fail as before.
        Came::Receipt(receipt) if receipt.results.is_empty() => {
            (RoundRecord { transaction: None, ..before.clone() }, rest_ms(receipt.limits.retry_after_s, cx))
        }
        Came::Receipt(receipt) => {
            let next = RoundRecord { width: before.width.grown(), ..RoundRecord::default() };
            (next, rest_ms(receipt.limits.retry_after_s, cx))
        }
        Came::Refused(sent) => {
            let next = RoundRecord { width: Width::half_of(sent), ..RoundRecord::default() };
            (next, pause_ms(1, cx))
        }
        Came::Broke(width, suspect) => (RoundRecord { width, suspect, ..failed }, pause_ms(attempts, cx)),
        Came::Failed(seconds) => (failed, pause_ms(attempts, cx).max(rest_ms(seconds, cx))),
    };
    let until = cx.now.plus_millis(pause);
    let next = RoundRecord { until: until.0, ..next };
    let delay = delayed(&domain, &next, came, cx);
    let forget = Alarm::At(cx.now.plus_secs(FORGET_DAYS * DAY));
    decision
        .change(mailbox(&key), Vec::new(), Alarm::At(until))
        .change(round(&key), vec![Write::Put(RECORD, to_row(&next))], forget)
        .hint(Hint::Ring)
        .hint(Hint::Delay { domain, delay })
}

/// How the destination is delayed by what came of this mailbox: nothing, where it is there. What it broke at does not
/// count for the others.
fn delayed(domain: &Fqdn, next: &RoundRecord, came: Came<'_>, cx: &Context<QueueService>) -> Option<Delay> {
    if came.is_answer() {
        return None;
    }
    let own = Timestamp(next.failing_since.unwrap_or(cx.now.0));
    let known = cx.delays.of(domain).unwrap_or(Delay { since: own, ..Delay::default() });
    let (failures, again) = match came {
        Came::Failed(seconds) => {
            let failures = known.failures.saturating_add(1);
            let pause = pause_ms(failures, cx).max(rest_ms(seconds, cx));
            (failures, cx.now.plus_millis(pause))
        }
        Came::Receipt(_) | Came::Refused(_) | Came::Broke(..) => (known.failures, known.again),
    };
    let until = again.max(Timestamp(next.until)).plus_secs(cx.settings.in_flight_s).plus_secs(KNOWN_S);
    Some(Delay { since: known.since.min(own), until: until.max(known.until), failures, again })
}

/// As long as a destination wants to be left alone, within bounds.
fn rest_ms(seconds: u32, cx: &Context<QueueService>) -> u64 {
    u64::from(seconds).min(cx.settings.max_pause_s).saturating_mul(1_000)
}

/// A pause drawn between 0 and a ceiling that doubles from one second with each failure.
fn pause_ms(attempts: u32, cx: &Context<QueueService>) -> u64 {
    let doubled = 1_u64.checked_shl(attempts.saturating_sub(1)).unwrap_or(u64::MAX);
    let ceiling = doubled.min(cx.settings.max_pause_s).max(1).saturating_mul(1_000);
    cx.chance("pause").below(ceiling)
}

/// Days for which messages that were refused as bad are kept for the operator.
const ASIDE_DAYS: u64 = 7;
