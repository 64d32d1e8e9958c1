//! The network of the world: calls travel, and may be late, lost, doubled, or cut off.

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{
    channel::oneshot::{Sender, channel},
    future::{Either, select},
};
use phoenix_core::{
    ErrorCode, ErrorReply, Fqdn, Origin,
    api::{
        Endpoint, ServiceName,
        auth::{AliasDequeue, DequeueOffers},
        delivery::SendMessage,
        federation::{FederatedEnqueue, QsToQsReceipt},
        queue::{Dequeue, DequeueRequest},
    },
    port::{Clock, Outgoing, Transport, TransportError},
    wire::{Opaque, Wire},
};

use super::{federation, ground::Ground, planted::Planted, weather::Fault};

/// Who sends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    Home(Fqdn),
    Client(String),
    /// A homeserver that does what it likes.
    Hostile(Fqdn),
}

/// One sender's way into the network.
#[derive(Clone)]
pub(crate) struct Link {
    ground: Weak<Ground>,
    source: Source,
    sent: Arc<AtomicU64>,
    arrived: Arc<Mutex<BTreeMap<Fqdn, u64>>>,
}

/// What a call is answered.
pub(crate) type Answer = Result<Bytes, ErrorReply>;

impl Link {
    /// The way of a homeserver to others.
    pub(crate) fn of_home(ground: &Arc<Ground>, domain: &Fqdn) -> Self {
        Self::new(ground, Source::Home(domain.clone()))
    }

    /// The way of a client.
    pub(crate) fn of_client(ground: &Arc<Ground>, name: &str) -> Self {
        Self::new(ground, Source::Client(name.to_owned()))
    }

    /// The way of a homeserver that does what it likes.
    pub(crate) fn of_hostile(ground: &Arc<Ground>, domain: &Fqdn) -> Self {
        Self::new(ground, Source::Hostile(domain.clone()))
    }

    fn new(ground: &Arc<Ground>, source: Source) -> Self {
        let (sent, arrived) = (Arc::default(), Arc::default());
        Self { ground: Arc::downgrade(ground), source, sent, arrived }
    }

    /// Carries one copy of a call, and its answer back if someone waits for it.
    fn carry(&self, ground: &Arc<Ground>, to: &Fqdn, outgoing: Outgoing, answer: Option<Sender<Answer>>) {
        let (this, to) = (self.clone(), to.clone());
        let number = self.sent.fetch_add(1, Ordering::Relaxed);
        let lost = ground.weather.strikes(Fault::RequestLost, LOST);
        let delay_ms = ground.delay_ms();
        let air = ground.clone();
        ground.spawner.spawn(ground.air, async move {
            air.clock.sleep_ms(delay_ms).await;
            if lost || this.is_cut(&air, &to) {
                return;
            }
            this.note_order(&air, &to, number);
            let Some((home, process)) = air.home(&to) else { return };
            let work = this.deliver(air.clone(), home, to, outgoing, answer);
            air.spawner.spawn(process, work);
        });
    }

    /// Runs in the process of the homeserver that is called.
    async fn deliver(
        self,
        ground: Arc<Ground>,
        home: phoenix_homeserver::Homeserver,
        to: Fqdn,
        outgoing: Outgoing,
        answer: Option<Sender<Answer>>,
    ) {
        let Outgoing { service, name, call, .. } = outgoing.clone();
        let before = ground.recorder.as_ref().and_then(|recorder| recorder.before(&ground, service, name));
        ground.ledger.arrived(&self.source, &outgoing);
        let began_ms = ground.clock.elapsed_ms();
        if ground.planted == Some(Planted::AsksFirst) && outgoing.call.endpoint == SendMessage::DESCRIPTION.id
        {
            Self::of_home(&ground, &to).ask_all(&ground).await;
        }
        let known = ground.ledger.latest_epoch(&outgoing);
        let reply = home.call(service, name, call, self.source.origin(ground.planted)).await;
        let reply = match ground.planted {
            Some(planted) => planted.answer(&outgoing, reply),
            None => reply,
        };
        drop(home);
        let reply = ground.watch.told(&to, &outgoing, reply);
        self.watch(&ground, &to, &outgoing, (began_ms, reply.is_ok()));
        ground.ledger.answered(&self.source, &to, &outgoing, &reply, known);
        if let (Some(recorder), Some(before), Ok(_)) = (&ground.recorder, before, &reply) {
            recorder.record(before, &to, &outgoing);
        }
        ground.log.line(format!("{} {to} {name}: {}", self.source, told(&outgoing, &reply)));
        let Some(answer) = answer else { return };
        let lost = ground.weather.strikes(Fault::AnswerLost, LOST);
        let delay_ms = ground.delay_ms();
        let air = ground.clone();
        ground.spawner.spawn(ground.air, async move {
            air.clock.sleep_ms(delay_ms).await;
            if lost || self.is_cut_back(&air, &to) {
                return;
            }
            // The caller may have given up.
            let _ = answer.send(reply);
        });
    }

    pub(super) fn ground(&self) -> Option<Arc<Ground>> {
        self.ground.upgrade()
    }

    pub(super) const fn source(&self) -> &Source {
        &self.source
    }

    /// Whoever calls cannot know what became of a call.
    fn disturb(&self, ground: &Ground) {
        if let Source::Client(client) = &self.source {
            ground.oracle.disturb(client);
        }
    }

    /// Whether what is sent now does not get through.
    pub(super) fn is_cut(&self, ground: &Ground, to: &Fqdn) -> bool {
        let Source::Home(from) = &self.source else { return false };
        let reaches_all = || ground.domains().iter().all(|other| !ground.weather.is_cut(from, other));
        let cut = ground.weather.is_cut(from, to)
            || (ground.planted == Some(Planted::OneCutStopsAll) && !reaches_all());
        if cut {
            ground.weather.count(Fault::Partitioned);
        }
        cut
    }

    /// Whether what is answered now does not get through.
    fn is_cut_back(&self, ground: &Ground, to: &Fqdn) -> bool {
        let cut = matches!(&self.source, Source::Home(from) if ground.weather.is_cut(to, from));
        if cut {
            ground.weather.count(Fault::Partitioned);
        }
        cut
    }

    /// Holds what a homeserver made of a call against the invariants of federation.
    fn watch(&self, ground: &Ground, to: &Fqdn, outgoing: &Outgoing, (began_ms, is_taken): (u64, bool)) {
        let is_hostile = matches!(self.source, Source::Hostile(_));
        let took_ms = ground.clock.elapsed_ms().saturating_sub(began_ms);
        let late = ground.watch.handled(to, outgoing, took_ms);
        let wrong = if is_taken { ground.watch.took(to, outgoing, is_hostile) } else { None };
        late.into_iter().chain(wrong).for_each(|what| ground.ledger.violated(what));
        ground.watch.overhears(outgoing);
    }

    /// F3: only a homeserver is sent anything.
    fn watch_sending(&self, ground: &Ground, to: &Fqdn, outgoing: &Outgoing) {
        let Source::Home(from) = &self.source else { return };
        ground.watch.sent(from, to, outgoing);
        if ground.home(to).is_none() && !ground.domains().contains(to) && to.as_str() != federation::DOMAIN {
            ground.ledger.violated(format!("F3: {from} sends something to {to}, which is no homeserver"));
        }
    }

    /// Looks for a domain once.
    async fn look(
        &self,
        ground: &Arc<Ground>,
        from: &Fqdn,
        service: ServiceName,
    ) -> Result<Bytes, TransportError> {
        ground.clock.sleep_ms(ground.delay_ms()).await;
        let lost = ground.weather.strikes(Fault::RequestLost, LOST);
        if let Source::Home(by) = &self.source {
            ground.watch.looked_up(by, from);
        }
        if from.as_str() == federation::DOMAIN {
            if !ground.watch.is_silent(ground.clock.elapsed_ms()) {
                return federation::document(service, ground.clock.now()).ok_or(TransportError::Refused);
            }
            // It takes the connection and says nothing.
            ground.clock.sleep_ms(PATIENCE_MS).await;
            return Err(TransportError::Unreachable);
        }
        let is_cut = |ground: &Ground| self.is_cut(ground, from) || self.is_cut_back(ground, from);
        let home = ground.home(from).filter(|_| !lost && !is_cut(ground));
        let Some((home, _)) = home else {
            ground.clock.sleep_ms(NOTICED_MS).await;
            return Err(TransportError::Unreachable);
        };
        home.document(service).await.map_err(|_| TransportError::Unreachable)
    }

    /// Asks all others for their keys, whatever comes of it.
    async fn ask_all(&self, ground: &Ground) {
        for other in ground.domains() {
            let _ = self.fetch(&other, ServiceName::Qs).await;
        }
    }

    /// Counts what arrives behind what was sent later.
    fn note_order(&self, ground: &Ground, to: &Fqdn, number: u64) {
        let mut arrived = self.arrived.lock().unwrap_or_else(PoisonError::into_inner);
        let last = arrived.entry(to.clone()).or_default();
        if number < *last && ground.weather.has(Fault::Reordered) {
            ground.weather.count(Fault::Reordered);
        }
        *last = number.max(*last);
    }
}

#[async_trait]
impl Transport for Link {
    async fn send(&self, to: &Fqdn, outgoing: Outgoing) -> Result<Answer, TransportError> {
        let ground = self.ground.upgrade().ok_or(TransportError::Unreachable)?;
        ground.ledger.sent(&self.source, &outgoing);
        self.watch_sending(&ground, to, &outgoing);
        let planted = ground.planted;
        let patience_ms = patience_ms(&outgoing);
        let (answer, answered) = channel();
        if ground.weather.strikes(Fault::Duplicated, DOUBLED) {
            // What is accepted then may be the copy that nobody waits for.
            self.disturb(&ground);
            self.carry(&ground, to, outgoing.clone(), None);
        }
        self.carry(&ground, to, outgoing, Some(answer));
        let clock = ground.clock.clone();
        let air = Arc::downgrade(&ground);
        drop(ground);
        let patience = Box::pin(clock.sleep_ms(patience_ms));
        let answer = match select(answered, patience).await {
            Either::Left((Ok(answer), _)) => Ok(answer),
            // Nobody carries it any more: what TCP would tell after a while.
            Either::Left((Err(_), _)) => {
                // The hostile one takes the connection and says nothing.
                let noticed_ms = if to.as_str() == federation::DOMAIN { patience_ms } else { NOTICED_MS };
                clock.sleep_ms(noticed_ms).await;
                Err(TransportError::Unreachable)
            }
            Either::Right(_) => Err(TransportError::Unreachable),
        };
        if let (true, Some(ground)) = (is_unsure(&answer), air.upgrade()) {
            self.disturb(&ground);
        }
        match (&answer, &self.source) {
            (Ok(Ok(reply)), Source::Home(_)) if planted.is_some_and(|it| it.overlooks(reply)) => {
                Err(TransportError::Unreachable)
            }
            _ => answer,
        }
    }

    async fn fetch(&self, from: &Fqdn, service: ServiceName) -> Result<Bytes, TransportError> {
        let ground = self.ground.upgrade().ok_or(TransportError::Unreachable)?;
        let found = self.look(&ground, from, service).await;
        match ground.planted.filter(|_| found.is_err()) {
            Some(Planted::LooksAgain) => self.look(&ground, from, service).await,
            Some(Planted::Knocks) => {
                // Whatever comes of it.
                let _ = self.send(from, federation::transaction(Opaque::default())).await;
                found
            }
            _ => found,
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({})", self.source)
    }
}

impl Source {
    /// Where a call comes from. Each homeserver stands in a network of its own, whose calls are counted together, and so
    /// are the strangers that they name (08).
    fn origin(&self, planted: Option<Planted>) -> Origin {
        let address = match self {
            Self::Client(_) => None,
            Self::Home(domain) if planted != Some(Planted::OneLimitForAll) => {
                // Their names begin with different letters.
                Some(Ipv4Addr::new(192, 0, 2, domain.as_str().bytes().next().unwrap_or_default()))
            }
            Self::Home(_) | Self::Hostile(_) => Some(HOSTILE_ADDRESS),
        };
        Origin { address: address.map(IpAddr::V4), ..Origin::default() }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Home(domain) => write!(f, "{domain}"),
            Self::Client(name) => f.write_str(name),
            Self::Hostile(domain) => write!(f, "{domain}"),
        }
    }
}

impl Ground {
    /// How long something is under way.
    pub(crate) fn delay_ms(&self) -> u64 {
        let usual = 1 + self.tape.below_u64(USUAL_MS);
        let slow = self.weather.strikes(Fault::Delayed, SLOW);
        let held = self.weather.has(Fault::Reordered) && self.tape.strikes(SLOW);
        let slow_ms = if slow { self.tape.below_u64(SLOW_MS) } else { 0 };
        let held_ms = if held { self.tape.below_u64(HELD_MS) } else { 0 };
        usual.saturating_add(slow_ms).saturating_add(held_ms)
    }
}

/// Whether an answer leaves open what became of a call, or comes of such a one before.
fn is_unsure(answer: &Result<Answer, TransportError>) -> bool {
    match answer {
        Ok(Ok(_)) => false,
        Ok(Err(error)) => matches!(error.code, ErrorCode::Unavailable | ErrorCode::TokenSpent),
        Err(_) => true,
    }
}

/// How long the caller waits for an answer: longer where it asked for a long poll.
fn patience_ms(outgoing: &Outgoing) -> u64 {
    let polls = [Dequeue::DESCRIPTION.id, DequeueOffers::DESCRIPTION.id, AliasDequeue::DESCRIPTION.id];
    let request = DequeueRequest::decode(outgoing.call.body.as_slice());
    let wait_s = request.ok().filter(|_| polls.contains(&outgoing.call.endpoint)).map_or(0, |it| it.wait_s);
    PATIENCE_MS.saturating_add(u64::from(wait_s).saturating_mul(1_000))
}

/// An answer, for the log: of a transaction, also what became of each delivery.
fn told(outgoing: &Outgoing, answer: &Answer) -> String {
    let receipt = |reply: &Bytes| QsToQsReceipt::decode(reply).ok();
    match answer {
        Ok(reply) if outgoing.call.endpoint == FederatedEnqueue::DESCRIPTION.id => {
            let results = receipt(reply).map(|receipt| receipt.results.into_vec()).unwrap_or_default();
            let results: Vec<_> = results.into_iter().map(|result| result.results.into_vec()).collect();
            format!("ok, {results:?}")
        }
        Ok(_) => "ok".to_owned(),
        Err(error) => format!("{:?}", error.code),
    }
}

/// An address for documents (RFC 5737).
const HOSTILE_ADDRESS: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 66);
/// In a thousand.
const LOST: u16 = 40;
/// In a thousand.
const DOUBLED: u16 = 60;
/// In a thousand.
const SLOW: u16 = 60;
/// What a request or an answer takes, at most.
const USUAL_MS: u64 = 20;
/// What a slow one takes, at most; more than a caller's patience.
const SLOW_MS: u64 = 12_000;
/// For how long one is held back, so that later ones overtake it.
const HELD_MS: u64 = 300;
/// How long a caller waits for an answer.
const PATIENCE_MS: u64 = 10_000;
/// When a caller learns that nobody answers.
const NOTICED_MS: u64 = 500;
