//! One call, from its decoding to its answer.

use std::sync::Arc;

use super::{Engine, batch, batch::Assembly, locks::Held};
use crate::{
    Failure, Fault, Origin, Reject, Timestamp,
    api::{Access, Endpoint},
    operation::{
        Allowed, Authenticated, Change, Context, Decision, Decoded, Delivery, Effort, Fare, Hint, KeyRing, Need, Next, Operation, Peers,
        Purpose, Reading, ReplyOf, Rows, Service,
    },
    port::{Base, Batch, Commit, PartitionKey, Place, Question, StoreError, Topic, Verdict, Wakened, Wanted},
};

/// A call under way. Holds what outlives its attempts.
pub(super) struct Run<'a, O: Operation> {
    engine: &'a Engine<O::Service>,
    ring: Arc<KeyRing<O::Service>>,
    call: Arc<Decoded<O>>,
    origin: Origin,
    effort: Effort,
    started: Timestamp,
    peers: Arc<Peers>,
    allowed: Option<Allowed>,
    wakened: Option<Box<dyn Wakened>>,
    /// Why a peer's keys could not be had, until the next attempt refuses the call for it.
    unreachable: Option<Failure>,
    paid: bool,
}

/// What was read, and what must still hold of it when the decision is committed.
struct Read {
    rows: Rows,
    checks: Vec<(PartitionKey, Base)>,
    held: Option<Held>,
    /// Why reading ended early; the call has had its reads by then, so it pays.
    failure: Option<Failure>,
}

/// How an attempt ended.
enum Attempt<R> {
    Answer(R),
    Conflict,
    Missing(Vec<Need>),
    Wait { on: Topic, until: Timestamp },
}

/// How far an attempt's pure functions got.
enum Step<O: Operation> {
    Missing(Vec<Need>),
    Known(O::State, Authenticated<O>),
    Decided(Decision<ReplyOf<O>>),
}

impl<'a, O: Operation> Run<'a, O> {
    pub(super) fn new(
        engine: &'a Engine<O::Service>,
        ring: Arc<KeyRing<O::Service>>,
        call: Arc<Decoded<O>>,
        origin: Origin,
        effort: Effort,
    ) -> Self {
        let started = engine.shared.ports.clock.now();
        let (peers, allowed, wakened, unreachable) = (Arc::default(), None, None, None);
        Self { engine, ring, call, origin, effort, started, peers, allowed, wakened, unreachable, paid: false }
    }

    pub(super) async fn drive(mut self) -> Result<ReplyOf<O>, Failure> {
        self.ask_voucher().await?;
        let mut attempts = 0_u32;
        while attempts < ATTEMPTS {
            if self.engine.shared.ports.clock.now() > self.started.plus_secs(Decoded::<O>::deadline_s()) {
                break;
            }
            match self.attempt().await? {
                Attempt::Answer(reply) => return Ok(reply),
                Attempt::Conflict => attempts = attempts.saturating_add(1),
                Attempt::Missing(needs) => {
                    attempts = attempts.saturating_add(1);
                    self.ask(needs).await;
                }
                Attempt::Wait { on, until } => self.wait(&on, until).await,
            }
        }
        Err(Reject::Unavailable(RETRY_S).into())
    }

    /// At most one peer is asked before the caller is known.
    async fn ask_voucher(&mut self) -> Result<(), Failure> {
        let cx = self.engine.context(&self.ring, self.origin, self.started);
        let directory = &self.engine.shared.directory;
        let mut peers = Peers::default();
        if let Some(need) = O::voucher(&self.call, &cx)? {
            peers = peers.with(&need, directory.find(&need).await?);
        }
        for need in O::wishes(&self.call, &cx) {
            if let Some(keys) = directory.known(&need) {
                peers = peers.with(&need, keys);
            }
        }
        self.peers = Arc::new(peers);
        Ok(())
    }

    /// Asks the peers that deciding needs, all at once. No lock and no state is held meanwhile.
    async fn ask(&mut self, needs: Vec<Need>) {
        let directory = &self.engine.shared.directory;
        let answers = futures::future::join_all(needs.iter().map(|need| directory.find(need))).await;
        let mut peers = Peers::clone(&self.peers);
        for (need, answer) in needs.iter().zip(answers) {
            match answer {
                Ok(keys) => peers = peers.with(need, keys),
                Err(reject) => self.unreachable = Some(reject.into()),
            }
        }
        self.peers = Arc::new(peers);
    }

    /// Reads, decides and commits, once.
    async fn attempt(&mut self) -> Result<Attempt<ReplyOf<O>>, Failure> {
        let cx = Arc::new(self.engine.context(&self.ring, self.origin, self.started));
        let Read { rows, mut checks, held, failure } = self.read(&cx).await?;
        let decided = match failure.or_else(|| self.unreachable.take()) {
            Some(failure) => Err(failure),
            None => self.decided(&cx, rows).await,
        };
        let decision = match decided {
            Ok(Step::Decided(decision)) => decision,
            Ok(Step::Missing(needs)) => return Ok(Attempt::Missing(needs)),
            Ok(Step::Known(..)) => return Err(Fault::Broken("a call was left undecided").into()),
            Err(failure) => {
                checks.clear();
                self.refused(failure)?
            }
        };
        let Decision { changes, deliveries, hints, next } = decision;
        let Some((batch, lanes)) = self.assembled(&cx, checks, changes, deliveries)? else {
            return Ok(Attempt::Conflict);
        };
        if let Some(batch) = batch {
            match commit(self.engine, &batch).await? {
                Commit::Done => self.paid = true,
                Commit::Conflict => {
                    self.check_fare(&batch).await?;
                    return Ok(Attempt::Conflict);
                }
            }
        }
        drop(held);
        self.engine.shared.lanes.ring(lanes);
        self.give(hints).await;
        match next {
            Next::Reply(reply) => Ok(Attempt::Answer(reply)),
            Next::After(work) => Ok(Attempt::Answer(self.engine.compute(Effort::Heavy, work).await?)),
            Next::Refuse(refusal) => Err(refusal.into()),
            Next::Wait { on, until } => Ok(Attempt::Wait { on, until }),
        }
    }

    async fn read(&self, cx: &Context<O::Service>) -> Result<Read, Failure> {
        let mut read = Read { rows: Rows::default(), checks: Vec::new(), held: None, failure: None };
        for round in 0..ROUNDS {
            let readings = match O::locate(&self.call, &read.rows, cx) {
                Ok(readings) => readings,
                Err(failure) if round == 0 => return Err(failure),
                Err(failure) => {
                    read.failure = Some(failure);
                    return Ok(read);
                }
            };
            if readings.is_empty() {
                break;
            }
            let places: Vec<(Place, Purpose)> = readings.into_iter().map(place::<O>).collect();
            if round == 0 {
                let wanted = places.iter().map(|(place, purpose)| (&place.partition, *purpose));
                read.held = Some(self.engine.shared.locks.hold(wanted).await);
            }
            let (places, purposes): (Vec<Place>, Vec<Purpose>) = places.into_iter().unzip();
            let found = self.engine.shared.ports.store.read(&places).await?;
            if found.len() != places.len() {
                return Err(Fault::Broken("the store left a place out").into());
            }
            for ((place, purpose), snapshot) in places.into_iter().zip(purposes).zip(&found) {
                if purpose != Purpose::Glance {
                    read.checks.push((place.partition, snapshot.mark.map_or(Base::Absent, Base::At)));
                }
            }
            read.rows.extend(found);
        }
        Ok(read)
    }

    /// Runs the pure functions, up to a decision or to peers that must be asked first.
    async fn decided(&mut self, cx: &Arc<Context<O::Service>>, rows: Rows) -> Result<Step<O>, Failure> {
        let step = {
            let (call, cx, peers) = (self.call.clone(), cx.clone(), self.peers.clone());
            self.engine.compute(self.effort, move || proven::<O>(call, rows, &peers, &cx)).await??
        };
        let Step::Known(state, authenticated) = step else { return Ok(step) };
        let authorised = authenticated.authorise(self.admit().await?);
        let (cx, peers) = (cx.clone(), self.peers.clone());
        let decision = self.engine.compute(self.effort, move || O::decide(state, authorised, &peers, &cx)).await??;
        Ok(Step::Decided(decision))
    }

    /// Asks the policy, once a call.
    async fn admit(&mut self) -> Result<Allowed, Failure> {
        if let Some(allowed) = self.allowed {
            return Ok(allowed);
        }
        let description = O::Endpoint::DESCRIPTION;
        if description.access != Access::Internal {
            let frame = self.call.frame().ok();
            let peer = frame.and_then(|frame| frame.voucher(&self.engine.shared.domain)).map(|need| need.domain);
            let question = Question { endpoint: description.id, origin: self.origin, peer };
            match self.engine.shared.ports.policy.judge(&question).await {
                Verdict::Allow => {}
                Verdict::Forbid => return Err(Reject::Forbidden.into()),
                Verdict::Later(seconds) => return Err(Reject::RateLimited(seconds).into()),
            }
        }
        Ok(*self.allowed.insert(Allowed(())))
    }

    /// A plain refusal pays, else one token would buy work without end. What is ours to mend costs nothing, and
    /// what the homeserver asked of itself stays to be asked again.
    fn refused(&self, failure: Failure) -> Result<Decision<ReplyOf<O>>, Failure> {
        let internal = O::Endpoint::DESCRIPTION.access == Access::Internal;
        match failure {
            Failure::Broken(_) => Err(failure),
            Failure::Refused(refusal) if internal && matches!(refusal.reject, Reject::Unavailable(_)) => {
                Err(refusal.into())
            }
            Failure::Refused(refusal) => Ok(Decision::new(Next::Refuse(refusal))),
        }
    }

    /// The batch of a decision, and the lanes in it; none where the decision was made on a torn reading.
    #[expect(clippy::type_complexity, reason = "used once, and taken apart at once")]
    fn assembled(
        &self,
        cx: &Context<O::Service>,
        checks: Vec<(PartitionKey, Base)>,
        changes: Vec<Change>,
        deliveries: Vec<Delivery>,
    ) -> Result<Option<(Option<Batch>, Vec<PartitionKey>)>, Failure> {
        let mut assembly = Assembly::new(&self.engine.shared, cx.now, &mut cx.chance("marks"));
        for (partition, base) in checks {
            if !assembly.check(partition, base) {
                return Ok(None);
            }
        }
        for change in changes {
            assembly.change(O::Service::SPACE, change);
        }
        let mut chance = cx.chance("deliveries");
        let mut lanes = Vec::with_capacity(deliveries.len());
        for delivery in deliveries {
            lanes.push(assembly.deliver(delivery, &mut chance)?);
        }
        if !self.paid {
            assembly.fare(self.call.fare());
        }
        Ok(Some((assembly.finish(), lanes)))
    }

    /// Tells a lost race from a fare that somebody else consumed.
    async fn check_fare(&self, batch: &Batch) -> Result<(), Failure> {
        let shared = &self.engine.shared;
        let (place, refusal) = match self.call.fare() {
            Fare::Free | Fare::Alarm(_) => return Ok(()),
            Fare::Row { lane, row } => {
                let wanted = Wanted::Keys(vec![row.clone()]);
                (Place { partition: lane.clone(), wanted }, Reject::Conflict(None))
            }
            fare @ (Fare::Token(_) | Fare::Frame(..)) => {
                let Some(partition) = batch::spent_partition(shared, fare) else { return Ok(()) };
                let token = matches!(fare, Fare::Token(_));
                let refusal = if token { Reject::TokenSpent } else { Reject::Unauthenticated };
                (Place { partition, wanted: Wanted::Mark }, refusal)
            }
        };
        let found = shared.ports.store.read(std::slice::from_ref(&place)).await?;
        let found = found.first().ok_or(Fault::Broken("the store left a place out"))?;
        let gone = match self.call.fare() {
            Fare::Row { .. } => found.rows.is_empty(),
            _ => found.mark.is_some_and(|mark| batch.parts.iter().all(|part| part.mark != mark)),
        };
        if gone { Err(refusal.into()) } else { Ok(()) }
    }

    async fn give(&self, hints: Vec<Hint>) {
        let mut topics = Vec::new();
        for hint in hints {
            match hint {
                Hint::Wake(topic) => topics.push(topic),
                Hint::Ring => self.engine.shared.alarms.ring(Vec::new()),
            }
        }
        if !topics.is_empty() {
            self.engine.shared.ports.wake.wake(&topics).await;
        }
    }

    /// The first time subscribes only, since what came between the read and the subscription must be read.
    async fn wait(&mut self, on: &Topic, until: Timestamp) {
        let ports = &self.engine.shared.ports;
        match &mut self.wakened {
            None => self.wakened = Some(ports.wake.subscribe(on)),
            Some(wakened) => {
                futures::future::select(wakened.wakened(), ports.clock.sleep_until(until)).await;
            }
        }
    }
}

/// Opens, authenticates, and tells what is still missing.
fn proven<O: Operation>(
    call: Arc<Decoded<O>>,
    rows: Rows,
    peers: &Peers,
    cx: &Context<O::Service>,
) -> Result<Step<O>, Failure> {
    let state = O::open(&call, rows, cx)?;
    let sender = O::authenticate(&call, &state, peers, cx)?;
    let mut missing = O::requires(&call, &state)?;
    missing.retain(|need| !peers.has(need));
    missing.dedup();
    if missing.len() > MAX_PEERS {
        return Err(Reject::TooLarge("peers").into());
    }
    Ok(if missing.is_empty() { Step::Known(state, Authenticated::new(call, sender)) } else { Step::Missing(missing) })
}

fn place<O: Operation>(reading: Reading) -> (Place, Purpose) {
    let Reading { at, wanted, purpose } = reading;
    (Place { partition: batch::partition(O::Service::SPACE, &at), wanted }, purpose)
}

/// Gives the same batch again where the store failed: what was applied then is recognised by its marks.
async fn commit<S: Service>(engine: &Engine<S>, batch: &Batch) -> Result<Commit, StoreError> {
    let store = &engine.shared.ports.store;
    let mut outcome = store.commit(batch).await;
    for _ in 1..COMMITS {
        match outcome {
            Ok(_) | Err(StoreError::Invalid | StoreError::Full | StoreError::Corrupt) => break,
            Err(StoreError::Unavailable) => outcome = store.commit(batch).await,
        }
    }
    outcome
}

/// Attempts at a call: after so many lost races somebody else got on, and the caller had better come back.
const ATTEMPTS: u32 = 16;
/// Rounds of reading: the second and third depend on what was found.
const ROUNDS: usize = 3;
/// Peers that one call may ask.
const MAX_PEERS: usize = 16;
/// How often one batch is given to a store that fails.
const COMMITS: usize = 3;
/// When to come back after lost races.
const RETRY_S: u32 = 1;
