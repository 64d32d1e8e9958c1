//! One call, from its decoding to its answer.

use std::{sync::Arc, task::Poll};

use bytes::Bytes;
use futures::future::{join_all, select};

use super::{
    Engine, Shared,
    locks::Held,
    store::{Read, commit},
};
use crate::{
    Failure, Fault, Fqdn, Origin, Reject, Timestamp,
    api::{Access, Endpoint},
    limit::Loads,
    operation::{
        Allowed, Authenticated, Context, Decision, Decoded, Effort, Fare, Hint, Inquiry, KeyRing, Need, Next,
        Operation, Peers, ReplyOf, Rows,
    },
    port::{Commit, Question, Topic, Verdict, Wakened, before},
};

/// A call under way. Holds what outlives its attempts.
pub(super) struct Run<'a, O: Operation> {
    pub(super) engine: &'a Engine<O::Service>,
    ring: Arc<KeyRing<O::Service>>,
    pub(super) call: Arc<Decoded<O>>,
    origin: Origin,
    pub(super) effort: Effort,
    started: Timestamp,
    peers: Arc<Peers>,
    allowed: Option<Allowed>,
    wakened: Option<Box<dyn Wakened>>,
    /// Why a peer's keys could not be had, until the next attempt refuses the call for it.
    unreachable: Option<Failure>,
    /// The homeserver whose keys vouch for the caller.
    voucher: Option<Fqdn>,
    /// Whether an attempt has read the call's place, and whether one knew the caller: what is paid depends on it.
    progress: Progress,
    pub(super) paid: bool,
}

/// How far a call ever got.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Progress {
    Decoded,
    Read,
    Authenticated,
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
    Known(O::State, Authenticated<O>, Asked),
    Decided(Decision<ReplyOf<O>>),
}

/// What limits and policy are asked about a call.
#[derive(Default)]
struct Asked {
    subject: Option<Bytes>,
    loads: Loads,
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
        Self {
            engine,
            ring,
            call,
            origin,
            effort,
            started,
            peers: Arc::default(),
            allowed: None,
            wakened: None,
            unreachable: None,
            voucher: None,
            progress: Progress::Decoded,
            paid: false,
        }
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
        self.give_up().await
    }

    /// A call that took too long, or lost too many races, has had its work, and pays for it.
    async fn give_up(&mut self) -> Result<ReplyOf<O>, Failure> {
        let failure = Failure::from(Reject::Unavailable(RETRY_S));
        if self.progress > Progress::Decoded && !self.paid {
            let cx = self.engine.context(&self.ring, self.origin, self.started);
            let decision = self.refused(failure.clone())?;
            if let Some((Some(batch), _)) = self.assembled(&cx, Vec::new(), decision)? {
                // Where it is spent already, somebody else's call has paid with it.
                let _ = commit(self.engine, &batch).await?;
            }
        }
        Err(failure)
    }

    /// At most one peer is asked before the caller is known.
    async fn ask_voucher(&mut self) -> Result<(), Failure> {
        let cx = self.engine.context(&self.ring, self.origin, self.started);
        let Shared { directory, federation, .. } = self.engine.shared.as_ref();
        let mut peers = Peers::default();
        if let Some(need) = O::voucher(&self.call, &cx)? {
            // Before anything is looked for, which would tell more, and knock on a door that is to be left alone.
            federation.current().admit(&need.domain)?;
            let finding = directory.find_for_stranger(&need, &self.origin, self.call.bytes());
            let found = self.in_time(finding).await;
            peers = peers.with(&need, found.ok_or(Reject::Unavailable(RETRY_S))??);
            self.voucher = Some(need.domain);
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
        let answers = match directory.place(&needs, &self.origin, self.call.bytes()) {
            Ok(_place) => {
                let asked = needs.iter().map(|need| self.engine.shared.keys_of(need));
                join_all(asked.map(|asked| self.in_time(asked))).await
            }
            // There is no place to wait, so what is known already must do.
            Err(_) => needs.iter().map(|need| Some(self.engine.shared.known_keys_of(need))).collect(),
        };
        let mut peers = Peers::clone(&self.peers);
        for (need, answer) in needs.iter().zip(answers) {
            match answer.unwrap_or(Err(Reject::Unavailable(RETRY_S))) {
                // Another need may have had the same peer's keys fetched anew meanwhile.
                Ok(found) => peers = peers.with(need, directory.known(need).unwrap_or(found)),
                Err(reject) => self.unreachable = Some(reject.into()),
            }
        }
        self.peers = Arc::new(peers);
    }

    /// Reads, decides and commits, once.
    async fn attempt(&mut self) -> Result<Attempt<ReplyOf<O>>, Failure> {
        let cx = Arc::new(self.engine.context(&self.ring, self.origin, self.started));
        let Read { rows, mut checks, mut held, failure } = self.read(&cx).await?;
        self.progress = self.progress.max(Progress::Read);
        let decided = match failure.or_else(|| self.unreachable.take()) {
            Some(failure) => Err(failure),
            None => self.decided(&cx, rows, &mut held).await,
        };
        let mut decision = match decided {
            Ok(Step::Decided(decision)) => decision,
            Ok(Step::Missing(needs)) => return Ok(Attempt::Missing(needs)),
            Ok(Step::Known(..)) => return Err(Fault::Broken("a call was left undecided").into()),
            Err(failure) => {
                checks.clear();
                self.refused(failure)?
            }
        };
        let hints = std::mem::take(&mut decision.hints);
        let next = std::mem::replace(&mut decision.next, Next::Refuse(Reject::Internal.into()));
        let Some((batch, lanes)) = self.assembled(&cx, checks, decision)? else {
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
            Next::After(work) => Ok(Attempt::Answer(self.engine.finish(work).await?)),
            Next::Ask(inquiry) => Ok(Attempt::Answer(self.inquire(*inquiry).await?)),
            Next::Refuse(refusal) => Err(refusal.into()),
            Next::Wait { on, until } => Ok(Attempt::Wait { on, until }),
        }
    }

    /// Runs the pure functions, up to a decision or to peers that must be asked first.
    async fn decided(
        &mut self,
        cx: &Arc<Context<O::Service>>,
        rows: Rows,
        held: &mut Option<Held>,
    ) -> Result<Step<O>, Failure> {
        let step = {
            let (call, cx, peers) = (self.call.clone(), cx.clone(), self.peers.clone());
            let is_allowed = self.allowed.is_some();
            let prove = move || proven::<O>(call, rows, &peers, &cx, is_allowed);
            self.engine.compute(self.effort, prove).await??
        };
        self.progress = Progress::Authenticated;
        let Step::Known(state, authenticated, asked) = step else { return Ok(step) };
        let authorised = authenticated.authorise(self.admit(asked, held).await?);
        let (cx, peers) = (cx.clone(), self.peers.clone());
        let decision =
            self.engine.compute(self.effort, move || O::decide(state, authorised, &peers, &cx)).await??;
        Ok(Step::Decided(decision))
    }

    /// Asks limits and policy, once a call however many attempts it takes.
    async fn admit(&mut self, asked: Asked, held: &mut Option<Held>) -> Result<Allowed, Failure> {
        if let Some(allowed) = &self.allowed {
            return Ok(allowed.clone());
        }
        let Asked { subject, loads } = asked;
        // Before the policy, which may be asked over a network.
        let held_back = self.counted(loads)?;
        if O::Endpoint::DESCRIPTION.access != Access::Internal {
            self.judge(subject, held).await?;
        }
        Ok(self.allowed.insert(Allowed { held_back }).clone())
    }

    /// Counts what the call puts on the limits. For parts that are limited one by one: which are held back.
    fn counted(&self, loads: Loads) -> Result<Arc<[Option<u32>]>, Reject> {
        let Shared { limiter, ports, .. } = self.engine.shared.as_ref();
        let now = ports.clock.now();
        match loads {
            Loads::None => Ok(Arc::default()),
            Loads::All(loads) => {
                limiter.admit(&loads, now).map_err(Reject::RateLimited)?;
                Ok(Arc::default())
            }
            Loads::Each(parts) => Ok(parts.iter().map(|part| limiter.admit(part, now).err()).collect()),
        }
    }

    /// Asks the policy. One that takes its time is waited for without the locks: the decision is checked when it is
    /// committed anyway.
    async fn judge(&self, subject: Option<Bytes>, held: &mut Option<Held>) -> Result<(), Reject> {
        let (endpoint, origin, peer) = (O::Endpoint::DESCRIPTION.id, self.origin, self.voucher.clone());
        let question = Question { endpoint, origin, peer, subject };
        let mut judging = self.engine.shared.ports.policy.judge(&question);
        let verdict = match futures::poll!(&mut judging) {
            Poll::Ready(verdict) => verdict,
            Poll::Pending => {
                held.take();
                judging.await
            }
        };
        match verdict {
            Verdict::Allow => Ok(()),
            Verdict::Forbid => Err(Reject::Forbidden),
            Verdict::Later(seconds) => Err(Reject::RateLimited(seconds)),
        }
    }

    /// A plain refusal pays, else one token would buy work without end. What is ours to mend costs nothing, what
    /// the homeserver asked of itself stays to be asked again, and a frame that nobody signed is not remembered.
    fn refused(&self, failure: Failure) -> Result<Decision<ReplyOf<O>>, Failure> {
        let refusal = match failure {
            Failure::Broken(_) => return Err(failure),
            Failure::Refused(refusal) => refusal,
        };
        let pays = match self.call.fare() {
            Fare::Free | Fare::Token(_) => true,
            Fare::Frame(..) => self.progress == Progress::Authenticated,
            Fare::Row { .. } | Fare::Alarm(_) => !matches!(refusal.reject, Reject::Unavailable(_)),
        };
        if pays { Ok(Decision::new(Next::Refuse(refusal))) } else { Err(refusal.into()) }
    }

    async fn give(&self, hints: Vec<Hint>) {
        let shared = &self.engine.shared;
        let mut topics = Vec::new();
        for hint in hints {
            match hint {
                Hint::Wake(topic) => topics.push(topic),
                Hint::Tell(topic, message) => shared.ports.wake.tell(&topic, &message).await,
                Hint::Push(hint) => shared.offer_push(*hint),
                Hint::Ring => shared.alarms.ring(Vec::new()),
                Hint::Delay { domain, delay } => shared.note_delay(domain, delay),
                Hint::Advertised { domain, limits } => shared.note_advertised(domain, limits),
                Hint::Outdated(domain) => shared.directory().outdate(&domain),
                Hint::Ephemeral { to, message } => {
                    let bytes = message.size();
                    // What there is no room for is lost, as is what nobody takes.
                    let _ = shared.ephemeral.give((to, *message), bytes);
                }
                Hint::Report(report) => {
                    let bytes = report.evidence.len();
                    if !shared.reports.give(*report, bytes) {
                        tracing::warn!("a report of abuse was lost: too many wait for whoever takes them");
                    }
                }
            }
        }
        if !topics.is_empty() {
            shared.ports.wake.wake(&topics).await;
        }
    }

    /// Asks a peer on the caller's behalf, for as long as the call may take.
    async fn inquire<R>(&self, inquiry: Inquiry<R>) -> Result<R, Reject> {
        let Inquiry { to, outgoing, answer } = inquiry;
        let sending = self.engine.shared.ports.transport.send(&to, outgoing);
        let answered = self.in_time(sending).await.and_then(Result::ok);
        answered.and_then(answer).ok_or(Reject::Unavailable(RETRY_S))
    }

    /// What a peer is asked for, where that comes before the call must end.
    async fn in_time<T>(&self, asking: impl Future<Output = T>) -> Option<T> {
        let deadline = self.started.plus_secs(Decoded::<O>::deadline_s());
        before(deadline, self.engine.shared.ports.clock.as_ref(), asking).await
    }

    /// The first time subscribes only, since what came between the read and the subscription must be read.
    async fn wait(&mut self, on: &Topic, until: Timestamp) {
        let ports = &self.engine.shared.ports;
        match &mut self.wakened {
            None => self.wakened = Some(ports.wake.subscribe(on)),
            Some(wakened) => {
                select(wakened.wakened(), ports.clock.sleep_until(until)).await;
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
    is_allowed: bool,
) -> Result<Step<O>, Failure> {
    let state = O::open(&call, rows, cx)?;
    let sender = O::authenticate(&call, &state, peers, cx)?;
    let mut missing = O::requires(&call, &state)?;
    missing.retain(|need| !peers.has(need));
    missing.sort();
    missing.dedup();
    if missing.len() > MAX_PEERS {
        return Err(Reject::TooLarge("peers").into());
    }
    Ok(if missing.is_empty() {
        let asked = if is_allowed {
            Asked::default()
        } else {
            let subject = O::subject(&call, &state, cx);
            Asked { subject, loads: O::loads(&call, &state, sender.get(), cx) }
        };
        Step::Known(state, Authenticated::new(call, sender), asked)
    } else {
        Step::Missing(missing)
    })
}

/// Attempts at a call: after so many lost races somebody else got on, and the caller had better come back.
const ATTEMPTS: u32 = 16;
/// Peers that one call may ask.
const MAX_PEERS: usize = 16;
/// When to come back after lost races.
const RETRY_S: u32 = 1;
