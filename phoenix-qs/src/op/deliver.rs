//! `deliver`: puts a message into the queues of this homeserver that it is for.

use phoenix_core::{
    Failure, Reject,
    api::{
        federation::RecipientResult,
        queue::{Deliver as Endpoint, DeliverReply, DeliverRequest, Entry, EntryKind},
    },
    operation::{
        Anyone, Authorised, Context, Decision, Decoded, Hint, Operation, Peers, Proven, Reading, Rows,
    },
    port::{Alarm, Wanted, Write},
    time::DAY,
    wire::{List, Wire},
};

use crate::{
    config_cache::OpenedConfig,
    delivering::{Reached, Target, clients, digests, is_genuine, lane_back, targets, undelivered},
    kinds::{self, QUEUE, RECORD, client, receipt, topic},
    record::{HeldRecord, ReceiptRecord, from_row, to_row},
    service::QueueService,
};

/// Delivers a message to at most 60 queues: from a lane, which pays with its row, or as a part of a transaction,
/// whose results are kept so that a repeat applies only what was put off.
pub struct Deliver;

/// The queues that a message may reach, and what is remembered of its delivery.
pub struct State {
    targets: Vec<Target>,
    reached: Vec<Reached>,
    earlier: Option<ReceiptRecord>,
    /// Which deliveries of the same source were put off.
    held: HeldRecord,
}

impl Operation for Deliver {
    type Endpoint = Endpoint;
    type Service = QueueService;
    type State = State;
    type Sender = Anyone;

    fn locate(
        call: &Decoded<Self>,
        found: &Rows,
        cx: &Context<QueueService>,
    ) -> Result<Vec<Reading>, Failure> {
        let request = call.request();
        if !found.is_empty() || request.message.ephemeral.is_set() {
            return Ok(Vec::new());
        }
        let mut readings = Vec::new();
        if let Some(part) = &request.receipt {
            let key = &cx.keys.at_rest;
            readings.push(Reading::change(receipt(key, &request.source, part), Wanted::Keys(vec![RECORD])));
            // Watched: it changes only where something is put off, and many deliveries of one source read it.
            readings.push(Reading::watch(kinds::held(key, &request.source), Wanted::Keys(vec![RECORD])));
        }
        let queues = clients(&targets(request, cx));
        let queue = |id| Reading::change(client(id), Wanted::Keys(vec![RECORD, QUEUE]));
        readings.extend(queues.iter().map(queue));
        Ok(readings)
    }

    fn open(call: &Decoded<Self>, found: Rows, cx: &Context<QueueService>) -> Result<State, Failure> {
        let request = call.request();
        let targets = targets(request, cx);
        let mut state = State { targets, reached: Vec::new(), earlier: None, held: HeldRecord::default() };
        if found.is_empty() {
            return Ok(state);
        }
        let mut place = 0;
        if request.receipt.is_some() {
            state.earlier = found.row(0, &RECORD)?.map(|row| from_row(row)).transpose()?;
            if let Some(row) = found.row(1, &RECORD)? {
                state.held = from_row::<HeldRecord>(row)?.current(cx.now);
            }
            place = 2;
        }
        for (place, client) in (place..).zip(clients(&state.targets)) {
            let (record, queue) = (found.row(place, &RECORD)?, found.row(place, &QUEUE)?);
            if let Some((record, queue)) = record.zip(queue) {
                state.reached.push(Reached { client, record: from_row(record)?, queue: from_row(queue)? });
            }
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
            let results = vec![RecipientResult::Delivered; count];
            return Ok(Decision::reply(DeliverReply { results: List::new(results).map_err(Reject::from)? }));
        }
        if state.earlier.as_ref().is_some_and(|earlier| earlier.results.len() != count) {
            // The same delivery id with other recipients: the source does not know what it says.
            return Err(Reject::Malformed("delivery").into());
        }
        Round::new(request, cx, state).run()
    }
}

/// One message on its way into the queues.
struct Round<'a> {
    request: &'a DeliverRequest,
    cx: &'a Context<QueueService>,
    state: State,
    /// The rows of each reached queue that the message went into.
    rows: Vec<Option<Vec<Write>>>,
    /// Which deliveries are put off after this one.
    held: HeldRecord,
    results: Vec<RecipientResult>,
}

impl<'a> Round<'a> {
    fn new(request: &'a DeliverRequest, cx: &'a Context<QueueService>, state: State) -> Self {
        let rows = state.reached.iter().map(|_| None).collect();
        let held = state.held.clone();
        Self { request, cx, state, rows, held, results: Vec::new() }
    }

    fn run(mut self) -> Result<Decision<DeliverReply>, Failure> {
        let earlier = self.state.earlier.take().map(|earlier| earlier.results.into_vec());
        let mut targets = std::mem::take(&mut self.state.targets).into_iter();
        for (place, is_repeat) in self.request.message.repeats().into_iter().enumerate() {
            let target = targets.next().unwrap_or(Target::Gone);
            let result = match earlier.as_ref().and_then(|earlier| earlier.get(place)) {
                Some(result @ (RecipientResult::Delivered | RecipientResult::Gone)) => *result,
                // What it comes to is said where it stands first.
                Some(RecipientResult::Later(_)) | None if is_repeat => RecipientResult::Delivered,
                Some(RecipientResult::Later(_)) | None => self.apply(place, &target)?,
            };
            self.results.push(result);
        }
        let is_new = earlier.is_none_or(|earlier| earlier != self.results);
        self.decision(is_new)
    }

    /// What becomes of the message for one recipient.
    fn apply(&mut self, place: usize, target: &Target) -> Result<RecipientResult, Failure> {
        let config = match target {
            Target::Queue(config) => config,
            Target::Gone => return Ok(self.let_others_go(place, RecipientResult::Gone)),
            Target::Later => return Ok(self.put_off(place)),
        };
        let client = config.payload().client;
        let Some(at) = self.state.reached.iter().position(|reached| reached.client == client) else {
            return Ok(self.let_others_go(place, RecipientResult::Gone));
        };
        let is_genuine =
            self.state.reached.get(at).is_some_and(|reached| is_genuine(config, &reached.record));
        if !is_genuine {
            return Ok(self.let_others_go(place, RecipientResult::Gone));
        }
        if self.must_wait(place) {
            return Ok(self.put_off(place));
        }
        self.enqueue(place, at, config)?;
        Ok(self.let_others_go(place, RecipientResult::Delivered))
    }

    fn enqueue(&mut self, place: usize, at: usize, config: &OpenedConfig) -> Result<(), Failure> {
        let message = &self.request.message;
        let entry = Entry {
            kind: EntryKind::FanOut,
            config: config.payload().config,
            notify: message.notify,
            accepted_at: message.accepted_at,
            content: message.content.clone(),
        };
        let (Some(reached), Some(rows)) = (self.state.reached.get_mut(at), self.rows.get_mut(at)) else {
            return Ok(());
        };
        let mut chance = self.cx.chance(&format!("entry {place}"));
        let policy = &self.cx.settings.queue;
        let (queue, writes) = reached.queue.clone().push(&entry, policy, self.cx.now, &mut chance)?;
        reached.queue = queue;
        rows.get_or_insert_default().extend(writes);
        Ok(())
    }

    /// Whether deliveries of the same source to the same config were put off before this one (08).
    fn must_wait(&self, place: usize) -> bool {
        let Some((config, delivery)) = self.held_as(place) else { return false };
        self.held.is_behind(&config, &delivery)
    }

    /// Only another homeserver sends again what was put off (06).
    fn put_off(&mut self, place: usize) -> RecipientResult {
        if self.request.source == self.cx.domain {
            return RecipientResult::Gone;
        }
        if let Some((config, delivery)) = self.held_as(place) {
            let Some(held) = self.held.clone().with(config, delivery, self.cx.now) else {
                return RecipientResult::Gone;
            };
            self.held = held;
        }
        RecipientResult::Later(self.cx.settings.unknown_key_retry_s)
    }

    /// What came after this one need wait for it no longer.
    fn let_others_go(&mut self, place: usize, result: RecipientResult) -> RecipientResult {
        if self.held != HeldRecord::default()
            && let Some((config, delivery)) = self.held_as(place)
        {
            self.held = std::mem::take(&mut self.held).without(&config, &delivery);
        }
        result
    }

    /// The keyed hashes of a recipient's queue config and of this delivery, where it came from another homeserver.
    fn held_as(&self, place: usize) -> Option<([u8; 16], [u8; 16])> {
        // What comes from a lane of this homeserver is not sent again, so nothing need wait for it.
        let part = self.request.receipt.as_ref().filter(|_| self.request.source != self.cx.domain)?;
        let recipient = self.request.message.recipients.get(place)?;
        let key = &self.cx.keys.at_rest;
        let config = key.prf("held config", &recipient.config.encode()).first_chunk().copied()?;
        Some((config, key.prf("held delivery", part).first_chunk().copied()?))
    }

    fn decision(self, is_new: bool) -> Result<Decision<DeliverReply>, Failure> {
        let Self { request, cx, state, rows, held, results } = self;
        let reply = DeliverReply { results: List::new(results.clone()).map_err(Reject::from)? };
        let mut decision = Decision::reply(reply);
        for (reached, writes) in state.reached.into_iter().zip(rows) {
            let Some(mut writes) = writes else { continue };
            writes.push(reached.queue.put());
            decision = decision
                .change(client(&reached.client), writes, Alarm::Keep)
                .hint(Hint::Wake(topic(&cx.keys.at_rest, &reached.client)));
        }
        if let Some(part) = request.receipt.filter(|_| is_new) {
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
        let told = undelivered(&cx.domain, lane, &request.back, &gone)?;
        Ok(told.into_iter().fold(decision, Decision::deliver))
    }
}

/// How long the results of a part are kept, in days (08).
const RECEIPT_DAYS: u64 = 10;
