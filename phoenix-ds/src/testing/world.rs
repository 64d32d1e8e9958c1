//! One engine, its clock, its peers, and what it delivered.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::executor::block_on;
use phoenix_core::{
    ErrorReply, Failure, Fingerprint, Fqdn, Generation, KeyId, Origin, Refusal, Reject, Timestamp,
    api::{
        Endpoint, ServiceName,
        delivery::{CreateGroupRequest, GroupAccess, GroupReservation, Undeliverable, UndeliveredRequest},
        queue::{
            ClientQueueConfig, FanOutMessage, KeyPackageBatch, KeyPackageBatchTbs, QsPublicKeys, ServiceKey,
        },
    },
    crypto::{AtRestKey, Chance, SigningKey, Suite},
    engine::{Courier, Engine, LaneRow, Lanes, Rules, Shared},
    federation::{FederationPolicy, Outbox, Standing},
    limit::Limits,
    operation::{Context, FRAME_LABEL, Fare, KeyRing, Operation, ReplyOf, RequestOf},
    port::{
        Clock, Entropy, Inline, LocalWake, NoPush, OpenPolicy, Outgoing, PartitionKey, Place, Ports, Space,
        Store, Transport, TransportError, Wanted,
    },
    published::{PublishedKeys, QsDocument},
    store::MemoryStore,
    time::{DAY, MINUTE},
    token::{Blinding, Rotation, Token, TokenKeys, challenge_digest},
    wire::{Audience, AuthFrame, Call, CallTbs, List, Opaque, Sender, VERSION, Wire},
};

use crate::{DeliveryKeys, DeliveryService, DeliverySettings, Undelivered, group::Group};

pub(crate) struct World {
    pub(crate) store: MemoryStore,
    pub(crate) engine: Arc<Engine<DeliveryService>>,
    clock: Arc<TestClock>,
    qs: Arc<SigningKey>,
    tokens: Mutex<Arc<TokenKeys>>,
    carried: Arc<Carried>,
    drawn: AtomicU64,
}

/// A row as its courier got it.
pub(crate) struct Arrived {
    pub(crate) to: Fqdn,
    pub(crate) back: Bytes,
    pub(crate) message: FanOutMessage,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(DeliverySettings::default())
    }

    /// A DS whose keys are others.
    pub(crate) fn with_other_keys() -> Self {
        Self::seeded(DeliverySettings::default(), 8)
    }

    pub(crate) fn with(settings: DeliverySettings) -> Self {
        Self::seeded(settings, 1)
    }

    /// A DS that lets through so much.
    pub(crate) fn limited(limits: Limits) -> Self {
        Self::made(DeliverySettings::default(), limits, 1)
    }

    fn seeded(settings: DeliverySettings, seed: u8) -> Self {
        Self::made(settings, Limits::default(), seed)
    }

    fn made(settings: DeliverySettings, limits: Limits, seed: u8) -> Self {
        let (store, clock) = (MemoryStore::default(), Arc::new(TestClock::default()));
        let qs = Arc::new(SigningKey::generate(Suite::Ed25519, &mut Chance::from_seed([9; 32])));
        let (domain, chance) = (alpha(), &mut Chance::from_seed([seed; 32]));
        let tokens = Arc::new(TokenKeys::generate(domain.clone(), clock.now(), &ROTATION, chance));
        let rules = Rules { limits, ..Rules::default() };
        let shared = shared((Arc::new(store.clone()), 0), clock.clone(), qs.clone(), rules);
        let service = DeliveryKeys::generate(&domain, clock.now(), chance);
        let ring = KeyRing {
            generation: Generation::default(),
            tokens: tokens.clone(),
            at_rest: AtRestKey::new([3; 32].into()),
            service,
        };
        let (engine, tokens) = (Engine::new(shared, settings, ring), Mutex::new(tokens));
        Self { store, engine, clock, qs, tokens, carried: Arc::default(), drawn: AtomicU64::new(0) }
    }

    /// Another process of the same homeserver, over this store and with these settings: it shares nothing else.
    pub(crate) fn instance(
        &self,
        store: Arc<dyn Store>,
        settings: DeliverySettings,
    ) -> Arc<Engine<DeliveryService>> {
        let ring = self.engine.ring();
        let KeyRing { tokens, at_rest, service, generation: _ } = &*ring;
        let ring = KeyRing {
            generation: Generation::default(),
            tokens: tokens.clone(),
            at_rest: at_rest.clone(),
            service: service.clone(),
        };
        let rules = Rules { limits: Limits::unlimited(), ..Rules::default() };
        // What it draws is no other's: batches are told apart by it.
        let number = self.drawn.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        Engine::new(shared((store, number), self.clock.clone(), self.qs.clone(), rules), settings, ring)
    }

    /// From now on the operator blocks these domains, and no others.
    pub(crate) fn block(&self, domains: &[&str]) {
        let rule = |policy: FederationPolicy, domain: &&str| {
            policy.with(domain.parse().unwrap(), Standing::Blocked(Outbox::Hold)).unwrap()
        };
        let policy = domains.iter().fold(FederationPolicy::default(), rule);
        self.engine.shared().put_federation(policy);
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn advance_s(&self, seconds: u64) {
        self.clock.0.fetch_add(seconds * 1_000, Ordering::Relaxed);
    }

    /// Lets days go by, and the keys of the homeserver rotate as they would.
    pub(crate) fn advance_days(&self, days: u64) {
        self.advance_s(days * DAY);
        let (now, mut chance) = (self.now(), Chance::from_seed(self.seed()));
        let mut tokens = self.tokens.lock().unwrap();
        if let Some(rotated) = tokens.rotated(now, &ROTATION, &mut chance) {
            *tokens = Arc::new(rotated);
        }
        let ring = self.engine.ring();
        let service = ring.service.rotated(now, &mut chance).unwrap_or_else(|| ring.service.clone());
        self.engine.rotate(KeyRing {
            generation: Generation::default(),
            tokens: tokens.clone(),
            at_rest: ring.at_rest.clone(),
            service,
        });
    }

    /// Tells the DS, as a QS does, that these members' queues are gone.
    pub(crate) fn tell_gone(&self, back: &[u8], gone: &[&ClientQueueConfig]) {
        self.tell_undelivered(back, Undeliverable::Gone, gone);
    }

    /// Tells the DS so of what was seen a while ago.
    pub(crate) fn tell_gone_late(&self, back: &[u8], gone: &[&ClientQueueConfig], late_s: u64) {
        let seen_at = self.now().as_secs() - late_s;
        self.tell(back, (Undeliverable::Gone, seen_at), gone);
    }

    /// Tells the DS, as a QS does, that a message did not reach these members' queues.
    pub(crate) fn tell_undelivered(&self, back: &[u8], cause: Undeliverable, queues: &[&ClientQueueConfig]) {
        self.tell(back, (cause, self.now().as_secs()), queues);
    }

    fn tell(&self, back: &[u8], (cause, seen_at): (Undeliverable, u64), queues: &[&ClientQueueConfig]) {
        let seen_at = seen_at - seen_at % MINUTE;
        let queues = List::new(queues.iter().map(|it| it.sealed.digest()).collect()).unwrap();
        let back = Opaque::new(back.to_vec()).unwrap();
        let request = UndeliveredRequest { back, cause, seen_at, queues };
        block_on(self.engine.internal::<Undelivered>(request, Fare::Free)).unwrap();
    }

    /// Calls an endpoint with the right kind of token, signed by whoever is named.
    pub(crate) fn call<O: Operation<Service = DeliveryService>>(
        &self,
        request: &RequestOf<O>,
        signer: Option<(Sender, &SigningKey)>,
    ) -> Result<ReplyOf<O>, Failure> {
        block_on(self.engine.call::<O>(self.prepared::<O>(request, signer), Origin::default()))
    }

    /// A call that may be given to any instance.
    pub(crate) fn prepared<O: Operation<Service = DeliveryService>>(
        &self,
        request: &RequestOf<O>,
        signer: Option<(Sender, &SigningKey)>,
    ) -> Call {
        let description = O::Endpoint::DESCRIPTION;
        let token = description.token.map(|class| self.token(class));
        let body = Opaque::new(request.encode()).unwrap();
        let mut call = Call { version: VERSION, endpoint: description.id, auth: None, token, body };
        if let Some((sender, key)) = signer {
            let nonce = Chance::from_seed(self.seed()).bytes();
            let (issued_at, signature) = (self.now().as_secs(), Default::default());
            let mut frame = AuthFrame { sender, issued_at, nonce, signature, co_signatures: List::default() };
            let audience = Audience { service: ServiceName::Ds, domain: alpha() };
            frame.signature = key.sign(FRAME_LABEL, &CallTbs::encoding(&call, &frame, audience));
            call.auth = Some(frame);
        }
        call
    }

    /// What another DS would have reserved for this request.
    pub(crate) fn reservation_of(&self, other: &Self, request: &CreateGroupRequest) -> GroupReservation {
        let GroupReservation { group, expires, .. } = request.reservation.clone();
        let mac = *other.engine.ring().service.reservation_mac(&group, expires).expose();
        GroupReservation { group, expires, mac }
    }

    /// The group as a commit would find it.
    pub(crate) fn group(&self, access: &GroupAccess) -> Group {
        let cx = self.context();
        let at = crate::kinds::group(&cx.keys.at_rest, &access.group);
        let partition = PartitionKey::new(Space::Ds, at.name().clone());
        let found = block_on(self.store.read(&[Place { partition, wanted: Wanted::first(100) }])).unwrap();
        Group::open(access, &found.into(), &cx).unwrap()
    }

    pub(crate) fn context(&self) -> Context<DeliveryService> {
        self.context_with(DeliverySettings::default())
    }

    pub(crate) fn context_with(&self, settings: DeliverySettings) -> Context<DeliveryService> {
        Context::for_tests(self.now(), alpha(), self.engine.ring(), settings, self.seed())
    }

    /// All rows of groups, as a copy of the disk would show them.
    pub(crate) fn group_rows(&self) -> Vec<(Bytes, Bytes)> {
        let dump = self.store.dump().into_iter();
        let groups =
            dump.filter(|(at, _)| at.space() == Space::Ds && at.key().first() == Some(&crate::kinds::GROUP));
        groups.flat_map(|(_, found)| found.rows).collect()
    }

    /// All that was delivered since the last time.
    pub(crate) fn delivered(&self) -> Vec<Arrived> {
        block_on(Lanes::new(self.engine.shared().clone(), self.carried.clone()).flush_all());
        let rows = std::mem::take(&mut *self.carried.0.lock().unwrap());
        let arrived = |row: LaneRow| Arrived {
            to: row.to,
            back: row.back.bytes(),
            message: FanOutMessage::decode(&row.body).unwrap(),
        };
        rows.into_iter().map(arrived).collect()
    }

    /// The QS's word that it handed these packages out now.
    pub(crate) fn batch(&self, domain: &Fqdn, packages: Vec<phoenix_core::KeyPackageRef>) -> KeyPackageBatch {
        let key = KeyId::of(&self.qs.verifying_key());
        let issued_at = self.now().as_secs();
        let packages = List::new(packages).unwrap();
        let payload = KeyPackageBatchTbs { domain: domain.clone(), packages, issued_at, key };
        let signature = self.qs.sign("KeyPackageBatch", &payload.encode());
        KeyPackageBatch { payload, signature }
    }

    pub(crate) fn seed(&self) -> [u8; 32] {
        let mut seed = [7; 32];
        seed[..8].copy_from_slice(&self.drawn.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        seed
    }

    fn token(&self, class: phoenix_core::token::Class) -> Token {
        let tokens = self.tokens.lock().unwrap().clone();
        let list = tokens.list(Fingerprint([0; 32])).unwrap();
        let public_key = &list.issuing(class, self.now()).unwrap().public_key;
        let mut chance = Chance::from_seed(self.seed());
        let blinding = Blinding::new(public_key, challenge_digest(&alpha()), 1, &mut chance).unwrap();
        let request = blinding.request(class).unwrap();
        let key = tokens.issuing(class, &request.key, self.now()).unwrap();
        let reply = key.secret.evaluate(&request.blinded, &mut chance).unwrap();
        blinding.finalize(&reply).unwrap().remove(0)
    }
}

pub(crate) fn refusal<T>(outcome: Result<T, Failure>) -> Refusal {
    match outcome {
        Err(Failure::Refused(refusal)) => refusal,
        Err(Failure::Broken(fault)) => panic!("{fault}"),
        Ok(_) => panic!("accepted"),
    }
}

pub(crate) fn rejected<T>(outcome: Result<T, Failure>) -> Reject {
    refusal(outcome).reject
}

fn shared(
    (store, number): (Arc<dyn Store>, u64),
    clock: Arc<TestClock>,
    qs: Arc<SigningKey>,
    rules: Rules,
) -> Arc<Shared> {
    let keys = PublishedKeys::Qs(Box::new(published(&qs)));
    let ports = Ports {
        store,
        transport: Arc::new(Peer(qs)),
        clock,
        entropy: Arc::new(Counting(AtomicU64::new(number << 32))),
        wake: Arc::new(LocalWake::default()),
        push: Arc::new(NoPush),
        compute: Arc::new(Inline),
        policy: Arc::new(OpenPolicy),
    };
    let shared = Shared::with_rules(ports, alpha(), AtRestKey::new([2; 32].into()), rules);
    shared.directory().publish(ServiceName::Qs, keys);
    shared
}

fn alpha() -> Fqdn {
    "alpha.test".parse().unwrap()
}

fn published(qs: &SigningKey) -> QsPublicKeys {
    let verifying = List::new(vec![ServiceKey::new(qs.verifying_key(), 0, u64::MAX)]).unwrap();
    QsPublicKeys { verifying, queue_config: List::default(), delivery: List::default() }
}

/// OpenMLS has a clock of its own, so this one starts with it.
struct TestClock(AtomicU64);

impl Default for TestClock {
    fn default() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Self(AtomicU64::new(now.as_millis().try_into().unwrap()))
    }
}

#[async_trait]
impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }

    async fn sleep_until(&self, at: Timestamp) {
        self.0.fetch_max(at.0, Ordering::Relaxed);
    }
}

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

/// All other homeservers, whose QS has the same key.
struct Peer(Arc<SigningKey>);

#[async_trait]
impl Transport for Peer {
    async fn send(&self, _: &Fqdn, _: Outgoing) -> Result<Result<Bytes, ErrorReply>, TransportError> {
        Err(TransportError::Unreachable)
    }

    async fn fetch(&self, domain: &Fqdn, _: ServiceName) -> Result<Bytes, TransportError> {
        Ok(QsDocument::encode(domain, &published(&self.0)).unwrap())
    }
}

#[derive(Default)]
struct Carried(Mutex<Vec<LaneRow>>);

#[async_trait]
impl Courier for Carried {
    async fn carry(&self, row: LaneRow, _: Fare) -> Result<(), Failure> {
        self.0.lock().unwrap().push(row);
        // Removes the row from its lane.
        Err(Reject::Forbidden.into())
    }
}

const ROTATION: Rotation = Rotation { period: 7 * DAY, grace: 2 * DAY, ahead: DAY };
