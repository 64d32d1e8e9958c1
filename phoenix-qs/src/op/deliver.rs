//! `deliver`: puts a message into the queues of this homeserver that it is for.

use std::sync::Arc;

use phoenix_core::{
    Failure, Reject,
    api::{
        delivery::Undeliverable,
        federation::RecipientResult,
        queue::{
            ConfigRule, Deliver as Endpoint, DeliverReply, DeliverRequest, Entry, EntryKind, FanOutMessage,
        },
    },
    crypto::Chance,
    limit::Loads,
    operation::{
        Anyone, Authorised, Context, Decision, Decoded, Effort, Hint, Operation, Peers, Proven, PushHint,
        Reading, Rows,
    },
    port::{Alarm, Wanted, Write},
    time::DAY,
    wire::{List, Wire},
};

use crate::{
    config_cache::OpenedConfig,
    delivering::{
        Reached, Target, clients, digests, held_as, is_genuine, lane_back, targets, undelivered, wanted,
    },
    kinds::{self, RECORD, receipt, stream_topic},
    loads,
    record::{HeldRecord, Reason, ReceiptRecord, from_row, read_row, to_row},
    service::QueueService,
};

/// Delivers a message to at most 250 queues: from a lane, which pays with its row, or as a part of a transaction,
/// whose results are kept so that a repeat applies only what was put off.
pub struct Deliver;

/// The queues that a message may reach, and what is remembered of its delivery.
pub struct State {
    /// For each recipient, in order.
    fates: Vec<Fate>,
    /// In the order of their clients.
    reached: Vec<Reached>,
    earlier: Option<ReceiptRecord>,
    /// Which deliveries of the same source were put off.
    held: HeldRecord,
}

/// What is to become of a message for one recipient, but for the limits.
enum Fate {
    /// It was said before, or where the same recipient stands first.
    Settled(RecipientResult),
    /// There is no such queue.
    Gone,
    /// It leads to a queue that cannot be told yet.
    Unknown,
    /// Others of the same source to the same config go first.
    Behind,
    /// It goes into a reached queue, under this config.
    Queue(usize, Arc<OpenedConfig>),
}

impl Operation for Deliver {
    type Endpoint = Endpoint;
    type Service = QueueService;
    type State = State;
    type Sender = Anyone;
    // Each of 250 queue configs may have to be opened, and its signature to be checked.
    const EFFORT: Effort = Effort::Heavy;

    fn locate(
        call: &Decoded<Self>,
        found: &Rows,
        cx: &Context<QueueService>,
    ) -> Result<Vec<Reading>, Failure> {
        let request = call.request();
        if !found.is_empty() {
            return Ok(Vec::new());
        }
        let wanted = wanted(&targets(request, cx), &request.message);
        if request.message.ephemeral.is_set() {
            // Nothing is written, so nothing need be checked.
            return Ok(wanted.into_iter().map(|(at, rows)| Reading::glance(at, rows)).collect());
        }
        let mut readings = Vec::new();
        if let Some(part) = &request.receipt {
            let key = &cx.keys.at_rest;
            readings.push(Reading::change(receipt(key, &request.source, part), Wanted::Keys(vec![RECORD])));
            // Watched: it changes only where something is put off, and many deliveries of one source read it.
            readings.push(Reading::watch(kinds::held(key, &request.source), Wanted::Keys(vec![RECORD])));
        }
        readings.extend(wanted.into_iter().map(|(at, rows)| Reading::change(at, rows)));
        Ok(readings)
    }

    fn open(call: &Decoded<Self>, found: Rows, cx: &Context<QueueService>) -> Result<State, Failure> {
        let request = call.request();
        let mut state =
            State { fates: Vec::new(), reached: Vec::new(), earlier: None, held: HeldRecord::default() };
        let mut place = 0;
        if request.receipt.is_some() && !request.message.ephemeral.is_set() {
            state.earlier = read_row(&found, 0, &RECORD)?;
            if let Some(row) = found.row(1, &RECORD)? {
                state.held = from_row::<HeldRecord>(row)?.current(cx.now);
            }
            place = 2;
        }
        let targets = targets(request, cx);
        state.reached.reserve(targets.len());
        for (place, client) in (place..).zip(clients(&targets)) {
            state.reached.extend(Reached::open(client, &found, place, cx.now)?);
        }
        state.fates = state.fates(request, targets, cx);
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

    /// What other homeservers send counts (06), also where it leads nowhere. What was said before does not, nor what
    /// waits behind another: else one busy config would use up what its source may send to all. Where not all of it
    /// could be put off any more, it goes on as a whole or not at all, and then counts for nothing.
    fn loads(call: &Decoded<Self>, state: &State, _: &Anyone, cx: &Context<QueueService>) -> Loads {
        let request = call.request();
        if request.source == cx.domain {
            return Loads::None;
        }
        let attempt = loads::attempt(request, &cx.federation);
        let loads = |fate: &Fate| match fate {
            Fate::Queue(_, config) => loads::delivery(request, config, &attempt),
            Fate::Gone | Fate::Unknown => attempt.clone(),
            Fate::Settled(_) | Fate::Behind => Vec::new(),
        };
        let each = state.fates.iter().map(loads);
        if state.held.has_room_for(state.fates.len()) {
            Loads::Each(each.collect())
        } else {
            Loads::All(each.flatten().collect())
        }
    }

    fn decide(
        state: State,
        call: Authorised<Self>,
        _: &Peers,
        cx: &Context<QueueService>,
    ) -> Result<Decision<DeliverReply>, Failure> {
        let request = call.request();
        let count = request.message.recipients.len();
        // Who asks divides it before: one batch takes no more.
        if !request.message.is_one_part() {
            return Err(Reject::TooLarge("recipients").into());
        }
        if request.message.ephemeral.is_set() {
            return ephemeral(&state, &call, cx);
        }
        if state.earlier.as_ref().is_some_and(|earlier| earlier.results.len() != count) {
            // The same delivery id with other recipients: the source does not know what it says.
            return Err(Reject::Malformed("delivery").into());
        }
        Round::new(&call, cx, state).run()
    }
}

impl State {
    fn fates(&self, request: &DeliverRequest, targets: Vec<Target>, cx: &Context<QueueService>) -> Vec<Fate> {
        let repeats = request.message.repeats();
        let mut targets = targets.into_iter();
        let mut fates = Vec::with_capacity(repeats.len());
        for (place, is_repeat) in repeats.into_iter().enumerate() {
            let target = targets.next().unwrap_or(Target::Gone);
            let earlier = self.earlier.as_ref().and_then(|earlier| earlier.results.get(place));
            fates.push(match earlier {
                Some(result @ (RecipientResult::Delivered | RecipientResult::Gone)) => Fate::Settled(*result),
                // What it comes to is said where it stands first.
                Some(RecipientResult::Later(_)) | None if is_repeat => {
                    Fate::Settled(RecipientResult::Delivered)
                }
                Some(RecipientResult::Later(_)) | None => self.fate(request, place, target, cx),
            });
        }
        fates
    }

    fn fate(
        &self,
        request: &DeliverRequest,
        place: usize,
        target: Target,
        cx: &Context<QueueService>,
    ) -> Fate {
        let config = match target {
            Target::Queue(config) => config,
            Target::Gone => return Fate::Gone,
            Target::Later => return Fate::Unknown,
        };
        let client = config.payload().client;
        let Ok(at) = self.reached.binary_search_by_key(&client, |reached| reached.client) else {
            return Fate::Gone;
        };
        if !self.reached.get(at).is_some_and(|reached| is_genuine(&config, &reached.record)) {
            return Fate::Gone;
        }
        // Deliveries of the same source to the same config that were put off go first (08).
        let is_behind = held_as(request, place, cx)
            .is_some_and(|(config, delivery)| self.held.is_behind(&config, &delivery));
        if is_behind { Fate::Behind } else { Fate::Queue(at, config) }
    }
}

/// Tells those who listen, and nobody else. A limit loses the message, since it is of no use later; what is told of a
/// recipient is as for other messages, so that neither a block nor an open stream shows.
fn ephemeral(
    state: &State,
    call: &Authorised<Deliver>,
    cx: &Context<QueueService>,
) -> Result<Decision<DeliverReply>, Failure> {
    let request = call.request();
    let (mut results, mut hints) = (Vec::new(), Vec::new());
    for (place, fate) in state.fates.iter().enumerate() {
        if matches!(fate, Fate::Gone) {
            results.push(RecipientResult::Gone);
            continue;
        }
        results.push(RecipientResult::Delivered);
        let Fate::Queue(at, config) = fate else { continue };
        let Some(reached) = state.reached.get(*at).filter(|_| call.held_back(place).is_none()) else {
            continue;
        };
        if reached.rule(&config.payload().config) != ConfigRule::Blocked {
            let to = stream_topic(&cx.keys.at_rest, &reached.client);
            hints.push(Hint::Tell(to, entry(&request.message, config).encode()));
        }
    }
    let gone = digests(request, &results, RecipientResult::Gone);
    let lane = lane_back(&cx.keys.at_rest, &request.back);
    let told = undelivered(cx, lane, &request.back, (Undeliverable::Gone, &gone))?;
    let reply = DeliverReply { results: List::new(results).map_err(Reject::from)? };
    let decision = told.into_iter().fold(Decision::reply(reply), Decision::deliver);
    Ok(hints.into_iter().fold(decision, Decision::hint))
}

/// A message as its recipient finds it.
fn entry(message: &FanOutMessage, config: &OpenedConfig) -> Entry {
    Entry {
        kind: EntryKind::FanOut,
        config: config.payload().config,
        notify: message.notify,
        accepted_at: message.accepted_at,
        content: message.content.clone(),
    }
}

/// One message on its way into the queues.
struct Round<'a> {
    call: &'a Authorised<Deliver>,
    request: &'a DeliverRequest,
    cx: &'a Context<QueueService>,
    state: State,
    /// For each reached queue that the message went into: a config that leads there, and its rows.
    rows: Vec<Option<(Arc<OpenedConfig>, Vec<Write>)>>,
    /// Those who are to be pushed to.
    pushes: Vec<PushHint>,
    /// Which deliveries are put off after this one.
    held: HeldRecord,
    results: Vec<RecipientResult>,
    /// For all entries, one after the other.
    chance: Chance,
}

impl<'a> Round<'a> {
    fn new(call: &'a Authorised<Deliver>, cx: &'a Context<QueueService>, state: State) -> Self {
        let rows = state.reached.iter().map(|_| None).collect();
        let held = state.held.clone();
        let (results, chance) = (Vec::new(), cx.chance("entries"));
        Self { call, request: call.request(), cx, state, rows, pushes: Vec::new(), held, results, chance }
    }

    fn run(mut self) -> Result<Decision<DeliverReply>, Failure> {
        for (place, fate) in std::mem::take(&mut self.state.fates).into_iter().enumerate() {
            let result = self.apply(place, fate)?;
            self.results.push(result);
        }
        let earlier = self.state.earlier.take();
        let is_first = earlier.is_none();
        let is_new = earlier.is_none_or(|earlier| *earlier.results != *self.results);
        self.decision(is_first, is_new)
    }

    /// What becomes of the message for one recipient.
    fn apply(&mut self, place: usize, fate: Fate) -> Result<RecipientResult, Failure> {
        let held_back = self.call.held_back(place);
        let (at, config) = match fate {
            Fate::Settled(result) => return Ok(result),
            Fate::Gone => {
                // It leads nowhere whenever it comes, so nothing need wait for it.
                return Ok(match held_back {
                    Some(retry_s) => RecipientResult::Later(retry_s),
                    None => self.let_others_go(place, RecipientResult::Gone),
                });
            }
            Fate::Unknown => {
                // Where it cannot be remembered, so many wait for keys that another need not wait behind it.
                self.remember(place, Reason::UnknownKey);
                return Ok(RecipientResult::Later(self.cx.settings.unknown_key_retry_s));
            }
            Fate::Behind => {
                self.remember(place, Reason::Limit);
                return Ok(RecipientResult::Later(self.cx.settings.unknown_key_retry_s));
            }
            Fate::Queue(at, config) => (at, config),
        };
        if let Some(retry_s) = held_back {
            // Where its order cannot be kept, the source sends the whole transaction again: nothing gets lost.
            let is_remembered = self.remember(place, Reason::Limit);
            return if is_remembered {
                Ok(RecipientResult::Later(retry_s))
            } else {
                Err(Reject::Unavailable(retry_s).into())
            };
        }
        self.enqueue(at, config)?;
        Ok(self.let_others_go(place, RecipientResult::Delivered))
    }

    fn enqueue(&mut self, at: usize, config: Arc<OpenedConfig>) -> Result<(), Failure> {
        let message = &self.request.message;
        let (Some(reached), Some(rows)) = (self.state.reached.get_mut(at), self.rows.get_mut(at)) else {
            return Ok(());
        };
        if reached.rule(&config.payload().config) == ConfigRule::Blocked {
            return Ok(());
        }
        let entry = entry(message, &config);
        self.pushes.extend(reached.push(config.payload(), message.notify, &self.cx.keys.at_rest));
        let (queue, writes) = reached.queue.clone().push(&entry, self.cx, &mut self.chance)?;
        reached.queue = queue;
        rows.get_or_insert_with(|| (config, Vec::new())).1.extend(writes);
        Ok(())
    }

    /// Remembers that a delivery is put off, so that none of its source to the same config overtakes it; not where
    /// there is no room.
    fn remember(&mut self, place: usize, reason: Reason) -> bool {
        let Some((config, delivery)) = held_as(self.request, place, self.cx) else { return true };
        let held = std::mem::take(&mut self.held);
        let (held, is_remembered) = held.with(config, delivery, reason, self.cx.now);
        self.held = held;
        is_remembered
    }

    /// What came after this one need wait for it no longer.
    fn let_others_go(&mut self, place: usize, result: RecipientResult) -> RecipientResult {
        if self.held != HeldRecord::default()
            && let Some((config, delivery)) = held_as(self.request, place, self.cx)
        {
            self.held = std::mem::take(&mut self.held).without(&config, &delivery);
        }
        result
    }

    fn decision(self, is_first: bool, is_new: bool) -> Result<Decision<DeliverReply>, Failure> {
        let Self { call: _, request, cx, state, rows, pushes, held, results, chance: _ } = self;
        let reply = DeliverReply { results: List::new(results.clone()).map_err(Reject::from)? };
        let mut decision = Decision::reply(reply);
        for (reached, writes) in state.reached.into_iter().zip(rows) {
            let Some((config, mut writes)) = writes else { continue };
            writes.push(reached.queue.put());
            let wake = Hint::Wake(config.topic().clone());
            decision = decision.change(config.at().clone(), writes, Alarm::Keep).hint(wake);
        }
        for push in pushes {
            decision = decision.hint(Hint::Push(Box::new(push)));
        }
        // What was put off as a whole comes again as a whole: there is nothing to remember.
        let is_open = |result: &RecipientResult| matches!(result, RecipientResult::Later(_));
        let says_something = is_new && !(is_first && results.iter().all(is_open));
        if let Some(part) = request.receipt.filter(|_| says_something) {
            let at = receipt(&cx.keys.at_rest, &request.source, &part);
            let record = ReceiptRecord { results: List::new(results.clone()).map_err(Reject::from)? };
            let alarm = Alarm::IfNone(cx.now.plus_secs(RECEIPT_DAYS * DAY));
            decision = decision.change(at, vec![Write::Put(RECORD, to_row(&record))], alarm);
        }
        if held != state.held {
            let (write, alarm) = match held.ends() {
                Some(end) => (Write::Put(RECORD, to_row(&held)), Alarm::At(end)),
                None => (Write::Drop, Alarm::Never),
            };
            let at = kinds::held(&cx.keys.at_rest, &request.source);
            decision = decision.change(at, vec![write], alarm);
        }
        // A repeat has told it before.
        let gone = if is_new { digests(request, &results, RecipientResult::Gone) } else { Vec::new() };
        let lane = lane_back(&cx.keys.at_rest, &request.back);
        let told = undelivered(cx, lane, &request.back, (Undeliverable::Gone, &gone))?;
        Ok(told.into_iter().fold(decision, Decision::deliver))
    }
}

/// How long the results of a part are kept, in days (08).
const RECEIPT_DAYS: u64 = 10;
