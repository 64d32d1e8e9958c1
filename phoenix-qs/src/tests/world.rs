//! Homeservers that are a QS alone, on one clock.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Poll,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::executor::block_on;
use phoenix_core::{
    ErrorReply, Failure, Fqdn, Generation, Origin, Reject, Timestamp,
    api::{
        Endpoint, ServiceName,
        federation::{QsToQsReceipt, QsToQsTransaction, RecipientResult},
        queue::{DeliverRequest, PushToken, QsPublicKeys},
    },
    crypto::{AtRestKey, Chance},
    engine::{Alarms, Engine, Pushes, Rules, Shared, Ticker},
    limit::Limits,
    operation::{Fare, KeyRing, Local, OnAlarm, Operation, ReplyOf, RequestOf, Service},
    port::{
        Clock, Entropy, Inline, LocalWake, OpenPolicy, Outgoing, PartitionKey, Ports, Push, PushNotice,
        Snapshot, Space, Transport, TransportError, Urgency,
    },
    published::{PublishedKeys, QsDocument},
    store::MemoryStore,
    time::DAY,
    token::{Blinding, Class, Rotation, Token, TokenKeys, challenge_digest},
    wire::{AuthFrame, Call, Opaque, VERSION, Wire},
};

use super::fragile::Fragile;
use crate::{
    QueueKeys, QueueService, QueueSettings, handlers,
    op::{
        deliver::Deliver,
        dispatch::{Dispatch, DispatchRequest, Dispatched},
        resume::{Resume, ResumeRequest},
        settle::{Outcome, Settle, SettleRequest},
    },
};

pub(super) struct Home {
    pub(super) domain: Fqdn,
    pub(super) engine: Arc<Engine<QueueService>>,
    pub(super) store: MemoryStore,
    pub(super) fragile: Fragile,
    pub(super) clock: Arc<TestClock>,
    pushed: Arc<Pushed>,
    wire: Arc<Documents>,
    tokens: Arc<TokenKeys>,
    drawn: AtomicU64,
    /// Another instance of the homeserver on the same store.
    pub(super) replica: Arc<Engine<QueueService>>,
}

impl Home {
    pub(super) fn alone() -> Self {
        Self::at("alpha.test", &Arc::default(), &Arc::default(), QueueSettings::default())
    }

    /// One that lets through so much.
    pub(super) fn limited(limits: Limits) -> Self {
        Self::ruled("alpha.test", &Arc::default(), &Arc::default(), (QueueSettings::default(), limits))
    }

    /// Two homeservers, each of which finds the other's keys.
    pub(super) fn pair() -> (Self, Self) {
        Self::limited_pair(Limits::default())
    }

    /// Two of which the second lets through so much.
    pub(super) fn limited_pair(limits: Limits) -> (Self, Self) {
        let (clock, wire) = (Arc::default(), Arc::default());
        let home = |name, limits| Self::ruled(name, &clock, &wire, (QueueSettings::default(), limits));
        let (alpha, beta) = (home("alpha.test", Limits::default()), home("beta.test", limits));
        alpha.publish();
        beta.publish();
        (alpha, beta)
    }

    pub(super) fn at(
        name: &str,
        clock: &Arc<TestClock>,
        wire: &Arc<Documents>,
        settings: QueueSettings,
    ) -> Self {
        Self::ruled(name, clock, wire, (settings, Limits::default()))
    }

    fn ruled(
        name: &str,
        clock: &Arc<TestClock>,
        wire: &Arc<Documents>,
        (settings, limits): (QueueSettings, Limits),
    ) -> Self {
        let domain: Fqdn = name.parse().unwrap();
        let store = MemoryStore::new();
        let fragile = Fragile::over(store.clone());
        let pushed = Arc::<Pushed>::default();
        let mut chance = Chance::from_seed([name.len() as u8; 32]);
        let ports = Ports {
            store: Arc::new(fragile.clone()),
            transport: wire.clone(),
            clock: clock.clone(),
            entropy: Arc::new(Counting(AtomicU64::new(name.len() as u64 * 1_000_000))),
            wake: Arc::new(LocalWake::default()),
            push: pushed.clone(),
            compute: Arc::new(Inline),
            policy: Arc::new(OpenPolicy),
        };
        let rotation = Rotation { period: 400 * DAY, grace: DAY, ahead: DAY };
        let tokens = Arc::new(TokenKeys::generate(domain.clone(), clock.now(), &rotation, &mut chance));
        let ring = KeyRing::<QueueService> {
            generation: Generation::default(),
            tokens: tokens.clone(),
            at_rest: AtRestKey::generate(&mut chance),
            service: QueueKeys::generate(&domain, clock.now(), &mut chance),
        };
        let at_rest = AtRestKey::generate(&mut chance);
        let engine = |ports, ring| {
            let rules = Rules { limits: limits.clone(), ..Rules::default() };
            let shared = Shared::with_rules(ports, domain.clone(), at_rest.clone(), rules);
            Engine::new(shared, settings.clone(), ring)
        };
        let beside = Ports { store: Arc::new(store.clone()), ..ports.clone() };
        let service = QueueKeys::decode(&ring.service.encode()).unwrap();
        let ring_beside = KeyRing {
            generation: Generation::default(),
            tokens: tokens.clone(),
            at_rest: ring.at_rest.clone(),
            service,
        };
        let (engine, replica) = (engine(ports, ring), engine(beside, ring_beside));
        let (clock, wire, drawn) = (clock.clone(), wire.clone(), AtomicU64::new(0));
        Self { domain, engine, store, fragile, clock, pushed, wire, tokens, drawn, replica }
    }

    /// Another replica that hears nothing of this one: the same store and keys, and wake-ups of its own.
    pub(super) fn far_replica(&self) -> Self {
        let (shared, ring) = (self.engine.shared(), self.engine.ring());
        let ports = Ports { wake: Arc::new(LocalWake::default()), ..shared.ports().clone() };
        let at_rest = ring.at_rest.derive("core");
        let engine = Engine::new(
            Shared::new(ports, self.domain.clone(), at_rest),
            QueueSettings::default(),
            KeyRing {
                generation: Generation::default(),
                tokens: ring.tokens.clone(),
                at_rest: ring.at_rest.clone(),
                service: QueueKeys::decode(&ring.service.encode()).unwrap(),
            },
        );
        Self {
            domain: self.domain.clone(),
            engine,
            store: self.store.clone(),
            fragile: self.fragile.clone(),
            clock: self.clock.clone(),
            pushed: self.pushed.clone(),
            wire: self.wire.clone(),
            tokens: self.tokens.clone(),
            drawn: AtomicU64::new(1 << 32),
            replica: self.replica.clone(),
        }
    }

    pub(super) fn publish(&self) {
        let keys = self.engine.ring().service.public(self.clock.now());
        self.show(&keys);
        let own = PublishedKeys::Qs(Box::new(keys));
        self.engine.shared().directory().publish(ServiceName::Qs, own);
    }

    /// Others find these keys from now on, whichever are in force here.
    pub(super) fn show(&self, keys: &QsPublicKeys) {
        let document = QsDocument::encode(&self.domain, keys).unwrap();
        self.wire.documents.lock().unwrap().insert(self.domain.clone(), document);
    }

    /// Nobody finds this homeserver's keys any more.
    pub(super) fn vanish(&self) {
        self.wire.documents.lock().unwrap().remove(&self.domain);
    }

    /// Puts other keys into force.
    pub(super) fn turn_to(&self, service: QueueKeys) {
        let before = self.engine.ring();
        let (tokens, at_rest) = (before.tokens.clone(), before.at_rest.clone());
        self.engine.rotate(KeyRing { generation: Generation::default(), tokens, at_rest, service });
    }

    pub(super) fn token(&self, class: Class) -> Token {
        let number = self.drawn.fetch_add(1, Ordering::Relaxed);
        let mut chance = Chance::from_seed([number.to_be_bytes(); 4].concat().try_into().unwrap());
        let key = self.tokens.keys().iter().find(|key| key.class == class).unwrap();
        let digest = challenge_digest(&self.domain);
        let blinding = Blinding::new(key.secret.public_key(), digest, 1, &mut chance).unwrap();
        let request = blinding.request(class).unwrap();
        let reply = key.secret.evaluate(&request.blinded, &mut chance).unwrap();
        blinding.finalize(&reply).unwrap().remove(0)
    }

    /// A call from outside, as an adapter brings it.
    pub(super) fn call<O: Operation<Service = QueueService>>(
        &self,
        request: &RequestOf<O>,
        auth: Option<AuthFrame>,
        token: Option<Token>,
    ) -> Result<ReplyOf<O>, Reject> {
        let call = envelope::<O>(request, auth, token);
        block_on(self.engine.call::<O>(call, Origin::default())).map_err(reject)
    }

    pub(super) fn internal<O: Operation<Service = QueueService>>(
        &self,
        request: RequestOf<O>,
    ) -> Result<ReplyOf<O>, Reject> {
        block_on(self.engine.internal::<O>(request, Fare::Free)).map_err(reject)
    }

    pub(super) fn deliver(&self, request: DeliverRequest) -> Vec<RecipientResult> {
        self.internal::<Deliver>(request).unwrap().results.to_vec()
    }

    /// Takes a transaction, as `federated_enqueue` does over the wire.
    pub(super) fn take(&self, transaction: &QsToQsTransaction) -> Result<QsToQsReceipt, ErrorReply> {
        let handlers = handlers(&self.engine);
        let handler = handlers.iter().find(|it| it.description().name == "federated_enqueue").unwrap();
        let body = Opaque::new(transaction.encode()).unwrap();
        let call =
            Call { version: VERSION, endpoint: handler.description().id, auth: None, token: None, body };
        let answer = block_on(handler.handle(call, Origin::default()))?;
        Ok(QsToQsReceipt::decode(&answer).unwrap())
    }

    pub(super) fn dispatch(&self, mailbox: [u8; 32]) -> Result<Option<Dispatched>, Reject> {
        self.internal::<Dispatch>(DispatchRequest { mailbox }).map(|reply| reply.dispatched)
    }

    pub(super) fn settle(&self, mailbox: [u8; 32], sent: &Dispatched, outcome: Outcome) {
        let transaction = Some(sent.transaction.payload.transaction);
        let request = SettleRequest { mailbox, transaction, rows: sent.rows.clone(), outcome };
        self.internal::<Settle>(request).unwrap();
    }

    /// Sends what is due in all mailboxes to a homeserver, until nothing is due any more; tells how many
    /// transactions that took.
    pub(super) fn send_all(&self, to: &Self) -> usize {
        let mut sent = 0;
        for _ in 0..100 {
            self.resume_all();
            let due = self.due_mailboxes();
            if due.is_empty() {
                return sent;
            }
            for mailbox in due {
                let Some(dispatched) = self.dispatch(mailbox).unwrap() else { continue };
                let receipt = to.take(&dispatched.transaction).unwrap();
                self.settle(mailbox, &dispatched, Outcome::Receipt(Box::new(receipt)));
                sent += 1;
            }
        }
        panic!("there is no end to it");
    }

    /// Brings back what was put off until now.
    pub(super) fn resume_all(&self) {
        while let Some(mailbox) = self.due(crate::LATER).first().copied() {
            self.internal::<Resume>(ResumeRequest { mailbox }).unwrap();
        }
    }

    pub(super) fn due_mailboxes(&self) -> Vec<[u8; 32]> {
        self.due(crate::MAILBOX)
    }

    fn due(&self, kind: u8) -> Vec<[u8; 32]> {
        let ports = self.engine.shared().ports();
        let due = block_on(ports.store.due(Space::Qs, self.clock.now(), 64)).unwrap();
        let mailbox = |key: PartitionKey| match key.key().split_first() {
            Some((of, key)) if *of == kind => key.try_into().ok(),
            _ => None,
        };
        due.into_iter().filter_map(mailbox).collect()
    }

    /// What was pushed since the last call.
    pub(super) fn pushed(&self) -> Vec<(PushToken, Urgency)> {
        block_on(Pushes::new(self.engine.shared().clone()).run_once());
        std::mem::take(&mut *self.pushed.0.lock().unwrap())
    }

    /// All partitions of a kind.
    pub(super) fn partitions(&self, kind: u8) -> Vec<(PartitionKey, Snapshot)> {
        let all = self.store.dump().into_iter();
        all.filter(|(key, _)| key.space() == Space::Qs && key.key().first() == Some(&kind)).collect()
    }

    /// What was put on lanes: how many partitions of lanes there are.
    pub(super) fn lanes(&self) -> usize {
        self.store.dump().into_iter().filter(|(key, _)| key.space() == Space::Lane).count()
    }

    /// How much was put on lanes.
    pub(super) fn lane_rows(&self) -> usize {
        let all = self.store.dump().into_iter().filter(|(key, _)| key.space() == Space::Lane);
        all.map(|(_, found)| found.rows.len()).sum()
    }

    /// Lets alarms do their work.
    pub(super) fn ring_alarms(&self) {
        block_on(Alarms::new(self.engine.shared().clone(), Arc::new(Dropper)).run_once());
    }
}

/// The envelope of a call without its frame, or with it.
pub(super) fn envelope<O: Operation>(
    request: &RequestOf<O>,
    auth: Option<AuthFrame>,
    token: Option<Token>,
) -> Call {
    let body = Opaque::new(request.encode()).unwrap();
    Call { version: VERSION, endpoint: O::Endpoint::DESCRIPTION.id, auth, token, body }
}

pub(super) fn reject(failure: Failure) -> Reject {
    match failure {
        Failure::Refused(refusal) => refusal.reject,
        Failure::Broken(fault) => panic!("{fault}"),
    }
}

/// Drops what is to be dropped, and ticks nothing.
struct Dropper;

#[async_trait]
impl Ticker for Dropper {
    fn on_alarm(&self, space: Space, kind: u8) -> OnAlarm {
        if space == Space::Qs { QueueService::on_alarm(kind) } else { OnAlarm::Drop }
    }

    async fn tick(&self, _: Space, _: Local) -> Result<(), Failure> {
        Ok(())
    }
}

/// Time passes only where a test or a wait says so.
#[derive(Default)]
pub(super) struct TestClock {
    passed_ms: AtomicU64,
    stands_still: AtomicBool,
}

impl TestClock {
    pub(super) fn advance_s(&self, seconds: u64) {
        self.passed_ms.fetch_add(seconds * 1_000, Ordering::Relaxed);
    }

    /// Who waits for a time from now on waits until a test lets it come, and is polled again.
    pub(super) fn stand_still(&self) {
        self.stands_still.store(true, Ordering::Relaxed);
    }
}

#[async_trait]
impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp(1_760_000_000_000 + self.passed_ms.load(Ordering::Relaxed))
    }

    async fn sleep_until(&self, at: Timestamp) {
        if self.stands_still.load(Ordering::Relaxed) {
            let has_come = || if self.now() < at { Poll::Pending } else { Poll::Ready(()) };
            return std::future::poll_fn(|_| has_come()).await;
        }
        self.passed_ms.fetch_add(at.millis_since(self.now()), Ordering::Relaxed);
    }
}

/// Never the same bytes twice.
struct Counting(AtomicU64);

impl Entropy for Counting {
    fn fill(&self, buffer: &mut [u8]) {
        let count = self.0.fetch_add(1, Ordering::Relaxed);
        let mut chance = Chance::from_seed([count.to_be_bytes(); 4].concat().try_into().unwrap());
        buffer.fill_with(|| chance.bytes::<1>()[0]);
    }
}

/// A push service that writes down what it is given.
#[derive(Default)]
struct Pushed(Mutex<Vec<(PushToken, Urgency)>>);

#[async_trait]
impl Push for Pushed {
    async fn push(&self, notice: &PushNotice) {
        self.0.lock().unwrap().push((notice.token.clone(), notice.urgency));
    }
}

/// The published documents of all homeservers.
#[derive(Default)]
pub(super) struct Documents {
    documents: Mutex<BTreeMap<Fqdn, Bytes>>,
}

#[async_trait]
impl Transport for Documents {
    async fn send(&self, _: &Fqdn, _: Outgoing) -> Result<Result<Bytes, ErrorReply>, TransportError> {
        Err(TransportError::Unreachable)
    }

    async fn fetch(&self, from: &Fqdn, _: ServiceName) -> Result<Bytes, TransportError> {
        self.documents.lock().unwrap().get(from).cloned().ok_or(TransportError::Unreachable)
    }
}
