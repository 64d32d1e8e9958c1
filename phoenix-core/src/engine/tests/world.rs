//! One engine over memory, with a clock and a store that the tests control.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;

use super::counter::{Add, Await, Carry, Counter, INTERFERED, ROW, Sign, Tick, place};
use crate::{
    ErrorReply, Failure, Fingerprint, Fqdn, Generation, Origin, Timestamp,
    api::{Endpoint, ServiceName},
    crypto::{AtRestKey, Chance, Signature, SigningKey, Suite},
    engine::{Alarms, Courier, Engine, LaneRow, Lanes, Rules, Shared, Ticker},
    operation::{FRAME_LABEL, Fare, KeyRing, Local, OnAlarm, Service},
    port::{
        Alarm, Base, Batch, Clock, Commit, Entropy, Inline, LocalWake, Mark, NoPush, OpenPolicy, Outgoing,
        Part, PartitionKey, Place, Policy, Ports, Push, Snapshot, Space, Store, StoreError, Transport,
        TransportError, Write,
    },
    store::MemoryStore,
    time::DAY,
    token::{Blinding, Class, Rotation, Token, TokenKeys, challenge_digest},
    wire::{Audience, AuthFrame, Call, CallTbs, List, Opaque, Sender, VERSION, Wire},
};

pub(super) struct World {
    pub(super) store: MemoryStore,
    pub(super) clock: Arc<TestClock>,
    pub(super) engine: Arc<Engine<Counter>>,
    pub(super) courier: Arc<Carrier>,
    tokens: Arc<TokenKeys>,
    drawn: AtomicU64,
}

impl World {
    pub(super) fn new() -> Self {
        Self::over(Behaviour::Plain)
    }

    /// A world whose store fails at its n-th call, before or after it did its work.
    pub(super) fn failing(call: usize, before: bool) -> Self {
        Self::over(Behaviour::Failing { call, before })
    }

    /// A world whose store lets the executor go on around each call.
    pub(super) fn yielding() -> Self {
        Self::over(Behaviour::Yielding)
    }

    /// A world with other limits and costs, and a policy.
    pub(super) fn ruled(rules: Rules, policy: impl Policy) -> Self {
        Self::made(Behaviour::Plain, rules, Arc::new(policy), Arc::new(NoPush))
    }

    /// A world that pushes, and has these limits.
    pub(super) fn pushing(push: Arc<dyn Push>, rules: Rules) -> Self {
        Self::made(Behaviour::Plain, rules, Arc::new(OpenPolicy), push)
    }

    fn over(behaviour: Behaviour) -> Self {
        Self::made(behaviour, Rules::default(), Arc::new(OpenPolicy), Arc::new(NoPush))
    }

    fn made(behaviour: Behaviour, rules: Rules, policy: Arc<dyn Policy>, push: Arc<dyn Push>) -> Self {
        let store = MemoryStore::default();
        let clock = Arc::new(TestClock::default());
        let wrapped =
            TestStore { inner: store.clone(), behaviour, calls: AtomicUsize::new(0), clock: clock.clone() };
        let ports = Ports {
            store: Arc::new(wrapped),
            transport: Arc::new(Nowhere),
            clock: clock.clone(),
            entropy: Arc::new(Counting::default()),
            wake: Arc::new(LocalWake::default()),
            push,
            compute: Arc::new(Inline),
            policy,
        };
        let domain: Fqdn = "alpha.test".parse().unwrap();
        let tokens = Arc::new(TokenKeys::generate(
            domain.clone(),
            clock.now(),
            &ROTATION,
            &mut Chance::from_seed([1; 32]),
        ));
        let shared = Shared::with_rules(ports, domain, AtRestKey::new([2; 32].into()), rules);
        let ring = KeyRing {
            generation: Generation::default(),
            tokens: tokens.clone(),
            at_rest: AtRestKey::new([3; 32].into()),
            service: (),
        };
        let engine = Engine::new(shared, (), ring);
        let courier = Arc::new(Carrier { engine: engine.clone(), carried: Mutex::default() });
        Self { store, clock, engine, courier, tokens, drawn: AtomicU64::new(0) }
    }

    pub(super) fn token(&self, class: Class) -> Token {
        let mut seed = [7; 32];
        seed[..8].copy_from_slice(&self.drawn.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        let list = self.tokens.list(Fingerprint([0; 32])).unwrap();
        let public_key = &list.issuing(class, self.clock.now()).unwrap().public_key;
        let mut chance = Chance::from_seed(seed);
        let digest = challenge_digest(self.engine.shared().domain());
        let blinding = Blinding::new(public_key, digest, 1, &mut chance).unwrap();
        let request = blinding.request(class).unwrap();
        let key = self.tokens.issuing(class, &request.key, self.clock.now()).unwrap();
        let reply = key.secret.evaluate(&request.blinded, &mut chance).unwrap();
        blinding.finalize(&reply).unwrap().remove(0)
    }

    pub(super) async fn add(&self, amount: u64, token: Option<Token>) -> Result<u64, Failure> {
        self.add_from(Origin::default(), amount, token).await
    }

    pub(super) async fn add_from(
        &self,
        origin: Origin,
        amount: u64,
        token: Option<Token>,
    ) -> Result<u64, Failure> {
        let body = Opaque::new(amount.encode()).unwrap();
        let call = Call { version: VERSION, endpoint: Add::DESCRIPTION.id, auth: None, token, body };
        self.engine.call::<Add>(call, origin).await
    }

    /// A call that is signed; by somebody else than it says where it is forged.
    pub(super) fn signed(&self, amount: u64, forged: bool) -> Call {
        let keys =
            [1, 2].map(|seed| SigningKey::generate(Suite::Ed25519, &mut Chance::from_seed([seed; 32])));
        let sender = Sender::NewKey(keys[0].verifying_key());
        let issued_at = self.clock.now().as_secs();
        let (signature, co_signatures) = (Signature::default(), List::default());
        let mut frame = AuthFrame { sender, issued_at, nonce: [5; 16], signature, co_signatures };
        let body = Opaque::new(amount.encode()).unwrap();
        let mut call =
            Call { version: VERSION, endpoint: Sign::DESCRIPTION.id, auth: None, token: None, body };
        let audience = Audience { service: ServiceName::As, domain: self.engine.shared().domain().clone() };
        let key = &keys[usize::from(forged)];
        frame.signature = key.sign(FRAME_LABEL, &CallTbs::encoding(&call, &frame, audience));
        call.auth = Some(frame);
        call
    }

    pub(super) async fn sign(&self, call: Call) -> Result<u64, Failure> {
        self.engine.call::<Sign>(call, Origin::default()).await
    }

    pub(super) async fn await_at_least(&self, count: u64) -> Result<u64, Failure> {
        self.engine.internal::<Await>(count, Fare::Free).await
    }

    pub(super) fn count(&self) -> u64 {
        let counter = place().in_space(Space::As);
        let dump = self.store.dump();
        let found = dump.iter().find(|(partition, _)| *partition == counter);
        found.map_or(0, |(_, found)| u64::decode(&found.rows[0].1).unwrap())
    }

    pub(super) fn partitions(&self, space: Space) -> Vec<PartitionKey> {
        self.store
            .dump()
            .into_iter()
            .map(|(partition, _)| partition)
            .filter(|it| it.space() == space)
            .collect()
    }

    pub(super) fn lanes(&self) -> Lanes {
        Lanes::new(self.engine.shared().clone(), self.courier.clone())
    }

    pub(super) fn alarms(&self) -> Alarms {
        Alarms::new(self.engine.shared().clone(), self.courier.clone())
    }
}

/// Carries deliveries, and runs ticks.
pub(super) struct Carrier {
    engine: Arc<Engine<Counter>>,
    carried: Mutex<Vec<u64>>,
}

impl Carrier {
    pub(super) fn carried(&self) -> Vec<u64> {
        self.carried.lock().unwrap().clone()
    }
}

#[async_trait]
impl Courier for Carrier {
    async fn carry(&self, row: LaneRow, fare: Fare) -> Result<(), Failure> {
        let number = self.engine.internal::<Carry>(u64::decode(&row.body)?, fare).await?;
        self.carried.lock().unwrap().push(number);
        Ok(())
    }
}

#[async_trait]
impl Ticker for Carrier {
    fn on_alarm(&self, space: Space, kind: u8) -> OnAlarm {
        if space == Space::As { Counter::on_alarm(kind) } else { OnAlarm::Drop }
    }

    async fn tick(&self, space: Space, at: Local) -> Result<(), Failure> {
        let fare = Fare::Alarm(at.in_space(space));
        self.engine.internal::<Tick>(0, fare).await.map(drop)
    }
}

/// Time passes only where a test or a wait says so.
#[derive(Default)]
pub(super) struct TestClock {
    passed_ms: AtomicU64,
    frozen: AtomicBool,
    interference: Mutex<Option<MemoryStore>>,
}

impl TestClock {
    pub(super) fn advance_s(&self, seconds: u64) {
        self.passed_ms.fetch_add(seconds * 1_000, Ordering::Relaxed);
    }

    /// From now on no wait ends by itself.
    pub(super) fn freeze(&self) {
        self.frozen.store(true, Ordering::Relaxed);
    }

    pub(super) fn elapsed_s(&self) -> u64 {
        self.passed_ms.load(Ordering::Relaxed) / 1_000
    }

    /// Somebody else writes the counter between the next call's read and its commit.
    pub(super) fn interfere_once(&self, store: &MemoryStore) {
        *self.interference.lock().unwrap() = Some(store.clone());
    }
}

#[async_trait]
impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(1_700_000_000).plus_millis(self.passed_ms.load(Ordering::Relaxed))
    }

    async fn sleep_until(&self, at: Timestamp) {
        if self.frozen.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        self.passed_ms.fetch_add(at.millis_since(self.now()), Ordering::Relaxed);
    }
}

enum Behaviour {
    Plain,
    Yielding,
    Failing { call: usize, before: bool },
}

struct TestStore {
    inner: MemoryStore,
    behaviour: Behaviour,
    calls: AtomicUsize,
    clock: Arc<TestClock>,
}

impl TestStore {
    async fn before(&self) -> Result<bool, StoreError> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        match self.behaviour {
            Behaviour::Plain => Ok(false),
            Behaviour::Yielding => {
                yield_now().await;
                Ok(false)
            }
            Behaviour::Failing { call: failing, before } if call == failing => {
                if before {
                    Err(StoreError::Unavailable)
                } else {
                    Ok(true)
                }
            }
            Behaviour::Failing { .. } => Ok(false),
        }
    }
}

#[async_trait]
impl Store for TestStore {
    async fn read(&self, places: &[Place]) -> Result<Vec<Snapshot>, StoreError> {
        let fails = self.before().await?;
        let found = self.inner.read(places).await?;
        let interference = self.clock.interference.lock().unwrap().take();
        if let Some(store) = interference {
            let part = Part {
                partition: place().in_space(Space::As),
                base: Base::Any,
                mark: Mark([9; 16]),
                writes: vec![Write::Put(ROW, INTERFERED.encode())],
                alarm: Alarm::Keep,
            };
            let _ = store.commit(&Batch { parts: vec![part] }).await?;
        }
        if fails { Err(StoreError::Unavailable) } else { Ok(found) }
    }

    async fn commit(&self, batch: &Batch) -> Result<Commit, StoreError> {
        let fails = self.before().await?;
        let outcome = self.inner.commit(batch).await?;
        if matches!(self.behaviour, Behaviour::Yielding) {
            yield_now().await;
        }
        if fails { Err(StoreError::Unavailable) } else { Ok(outcome) }
    }

    async fn due(&self, space: Space, now: Timestamp, limit: usize) -> Result<Vec<PartitionKey>, StoreError> {
        self.inner.due(space, now, limit).await
    }
}

/// Lets the others go on once.
pub(in crate::engine) async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return std::task::Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}

/// Never the same bytes twice.
#[derive(Default)]
struct Counting(AtomicU64);

impl Entropy for Counting {
    fn fill(&self, buffer: &mut [u8]) {
        let count = self.0.fetch_add(1, Ordering::Relaxed);
        let mut chance = Chance::from_seed([count.to_be_bytes(); 4].concat().try_into().unwrap());
        for byte in buffer {
            let [drawn] = chance.bytes();
            *byte = drawn;
        }
    }
}

struct Nowhere;

#[async_trait]
impl Transport for Nowhere {
    async fn send(&self, _: &Fqdn, _: Outgoing) -> Result<Result<Bytes, ErrorReply>, TransportError> {
        Err(TransportError::Unreachable)
    }

    async fn fetch(&self, _: &Fqdn, _: ServiceName) -> Result<Bytes, TransportError> {
        Err(TransportError::Unreachable)
    }
}

const ROTATION: Rotation = Rotation { period: 7 * DAY, grace: 2 * DAY, ahead: DAY };
