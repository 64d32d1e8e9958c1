//! A homeserver that is a QS alone, with its real engine, and clients of it.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use phoenix_core::{
    ConfigId, ErrorReply, Fqdn, Origin, QsClientId, QsUserId, Timestamp,
    api::{
        Description, Endpoint, ServiceName,
        queue::{
            ClientQueueConfig, CreateUser, CreateUserRequest, DeliverRequest, Entry, FanOutMessage,
            NotifyClass, PushToken, QueueConfigTbs, QueueEntry, Recipient, SetPushToken, SetPushTokenRequest,
            WebPushSubscription,
        },
        stream::{Stream, StreamRequest},
    },
    crypto::{AtRestKey, Chance, HpkeSecretKey, Signature, SigningKey, Suite},
    engine::{Engine, Handler, OpenStream, Rules, Shared},
    operation::{Fare, KeyRing},
    port::{
        Batch, Circuit, Clock, Commit, Entropy, Inline, LocalWake, NoPush, OpenPolicy, Outgoing,
        PartitionKey, Place, Ports, Push, Snapshot, Space, Store, StoreError,
    },
    queue::ClientRatchet,
    store::MemoryStore,
    time::{DAY, Month},
    token::{Blinding, Class, KeyListEntry, Rotation, Token, TokenKeys, challenge_digest},
    wire::{
        Audience, AuthFrame, Call, CallTbs, CoSignature, Flag, List, Opaque, Secret, Sender, VERSION, Wire,
    },
};
use phoenix_homeserver::{OsEntropy, SystemClock};
use phoenix_qs::{QueueKeys, QueueService, QueueSettings, handlers, op::deliver::Deliver};

use super::alpha;
use crate::{
    HttpTransport,
    home::{Challenge, Home},
};

/// A QS. Another on the same parts is the same homeserver after a restart, or another replica.
pub(super) struct QueueHome {
    parts: Parts,
    pub(super) engine: Arc<Engine<QueueService>>,
    handlers: Vec<Arc<dyn Handler>>,
    domain: Fqdn,
    pub(super) pause: Arc<Pause>,
}

/// Stops the store, as a slow disk does.
#[derive(Default)]
pub(super) struct Pause {
    stopped: tokio::sync::RwLock<()>,
    waiting: AtomicUsize,
}

/// A store that can be stopped.
struct Paused(MemoryStore, Arc<Pause>);

impl Pause {
    /// Nothing is read or written until the guard is dropped.
    pub(super) async fn stop(&self) -> tokio::sync::RwLockWriteGuard<'_, ()> {
        self.stopped.write().await
    }

    /// Whether somebody waits for the store.
    pub(super) fn is_felt(&self) -> bool {
        self.waiting.load(Ordering::Acquire) > 0
    }

    async fn pass(&self) {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        drop(self.stopped.read().await);
        self.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

#[async_trait]
impl Store for Paused {
    async fn read(&self, places: &[Place]) -> Result<Vec<Snapshot>, StoreError> {
        self.1.pass().await;
        self.0.read(places).await
    }

    async fn commit(&self, batch: &Batch) -> Result<Commit, StoreError> {
        self.1.pass().await;
        self.0.commit(batch).await
    }

    async fn due(&self, space: Space, now: Timestamp, limit: usize) -> Result<Vec<PartitionKey>, StoreError> {
        self.0.due(space, now, limit).await
    }
}

/// What outlives a process.
#[derive(Clone)]
pub(super) struct Parts {
    pub(super) store: MemoryStore,
    tokens: Arc<TokenKeys>,
    root: AtRestKey,
    /// Encoded.
    keys: Bytes,
}

impl QueueHome {
    pub(super) fn new() -> Arc<Self> {
        let mut chance = chance();
        let now = SystemClock.now();
        let rotation = Rotation { period: 400 * DAY, grace: DAY, ahead: DAY };
        Self::again(Parts {
            store: MemoryStore::new(),
            tokens: Arc::new(TokenKeys::generate(alpha(), now, &rotation, &mut chance)),
            root: AtRestKey::generate(&mut chance),
            keys: Bytes::copy_from_slice(&QueueKeys::generate(&alpha(), now, &mut chance).encode()),
        })
    }

    /// One that pushes.
    pub(super) fn pushing(push: Arc<dyn Push>) -> Arc<Self> {
        Self::with(Self::new().parts(), push)
    }

    /// The same after a restart.
    pub(super) fn again(parts: Parts) -> Arc<Self> {
        Self::with(parts, Arc::new(NoPush))
    }

    fn with(parts: Parts, push: Arc<dyn Push>) -> Arc<Self> {
        let pause = Arc::<Pause>::default();
        let ports = Ports {
            store: Arc::new(Paused(parts.store.clone(), pause.clone())),
            transport: Arc::new(HttpTransport::new().unwrap()),
            clock: Arc::new(SystemClock),
            entropy: Arc::new(OsEntropy),
            wake: Arc::new(LocalWake::default()),
            push,
            compute: Arc::new(Inline),
            policy: Arc::new(OpenPolicy),
        };
        let ring = KeyRing {
            generation: phoenix_core::Generation::default(),
            tokens: parts.tokens.clone(),
            at_rest: parts.root.derive("qs"),
            service: QueueKeys::decode(&parts.keys).unwrap(),
        };
        let shared = Shared::with_rules(ports, alpha(), parts.root.derive("core"), Rules::default());
        let engine = Engine::new(shared, QueueSettings::default(), ring);
        let handlers = handlers(&engine);
        Arc::new(Self { parts, engine, handlers, domain: alpha(), pause })
    }

    pub(super) fn parts(&self) -> Parts {
        self.parts.clone()
    }

    /// Delivers a message to a client's queue.
    pub(super) async fn deliver(&self, to: &ClientQueueConfig, content: impl Into<Bytes>) {
        let message = FanOutMessage {
            notify: NotifyClass::Normal,
            ephemeral: Flag::No,
            accepted_at: SystemClock.now().as_secs(),
            recipients: List::new(vec![Recipient { any: to.any, config: to.sealed.clone() }]).unwrap(),
            content: Opaque::new(content).unwrap(),
        };
        let (source, back) = (alpha(), Opaque::default());
        let request = DeliverRequest { source, receipt: None, back, share: 0, message };
        self.engine.internal::<Deliver>(request, Fare::Free).await.unwrap();
    }

    /// Rows of the store, of which each entry is one.
    pub(super) fn rows(&self) -> usize {
        self.parts.store.dump().into_iter().map(|(_, found)| found.rows.len()).sum()
    }

    fn token(&self, class: Class) -> Token {
        let mut chance = chance();
        let key = self.parts.tokens.keys().iter().find(|key| key.class == class).unwrap();
        let digest = challenge_digest(&alpha());
        let blinding = Blinding::new(key.secret.public_key(), digest, 1, &mut chance).unwrap();
        let request = blinding.request(class).unwrap();
        let reply = key.secret.evaluate(&request.blinded, &mut chance).unwrap();
        blinding.finalize(&reply).unwrap().remove(0)
    }

    fn handler(&self, endpoint: &Description) -> &dyn Handler {
        self.handlers.iter().find(|it| it.description().id == endpoint.id).unwrap().as_ref()
    }
}

#[async_trait]
impl Home for QueueHome {
    fn domain(&self) -> &Fqdn {
        &self.domain
    }

    fn descriptions(&self) -> Vec<Description> {
        self.handlers.iter().map(|it| it.description()).collect()
    }

    async fn call(&self, endpoint: &Description, call: Call, origin: Origin) -> Result<Bytes, ErrorReply> {
        self.handler(endpoint).handle(call, origin).await
    }

    async fn open(
        &self,
        endpoint: &Description,
        call: Call,
        origin: Origin,
    ) -> Result<OpenStream, ErrorReply> {
        self.handler(endpoint).open(call, origin).await
    }

    fn admit(&self, _: &Description, _: &Origin) -> Result<(), ErrorReply> {
        Ok(())
    }

    async fn document(&self, _: ServiceName) -> Result<Bytes, ErrorReply> {
        Ok(Bytes::new())
    }

    fn jwks(&self) -> Bytes {
        Bytes::new()
    }

    fn challenges(&self, _: Class) -> Vec<Challenge> {
        Vec::new()
    }

    fn issuing_keys(&self) -> Vec<KeyListEntry> {
        Vec::new()
    }
}

/// A client of the QS.
pub(super) struct QueueClient {
    pub(super) id: QsClientId,
    key: SigningKey,
    pub(super) config: ClientQueueConfig,
    pub(super) ratchet: ClientRatchet,
}

impl QueueClient {
    /// One with a record and a queue.
    pub(super) async fn at(home: &Arc<QueueHome>) -> Self {
        let mut chance = chance();
        let (user_key, key) =
            (SigningKey::generate(SUITE, &mut chance), SigningKey::generate(SUITE, &mut chance));
        let queue_key = HpkeSecretKey::generate(SUITE, &mut chance);
        let id = QsClientId(chance.bytes());
        let request = CreateUserRequest {
            user: QsUserId(chance.bytes()),
            client: id,
            user_key: user_key.verifying_key(),
            client_key: key.verifying_key(),
            friendship_secret: Secret::new(chance.bytes()),
            queue_key: queue_key.public_key().clone(),
        };
        let mut call = envelope::<CreateUser>(&request);
        call.token = Some(home.token(Class::Home));
        let sender = Sender::NewKey(user_key.verifying_key());
        sign::<CreateUser>(&mut call, sender, &[&user_key, &key]);
        home.handler(&CreateUser::DESCRIPTION).handle(call, Origin::default()).await.unwrap();
        let config = config(home, id, &key, None);
        Self { id, key, config, ratchet: ClientRatchet::new(queue_key) }
    }

    /// Leaves a push token: the config through which it is pushed to.
    pub(super) async fn pushed_to(&self, home: &QueueHome, to: WebPushSubscription) -> ClientQueueConfig {
        let mut chance = chance();
        let push_key = Secret::new(chance.bytes());
        let token = PushToken::WebPush(to).seal(&self.id, &push_key, &mut chance).unwrap();
        let mut call = envelope::<SetPushToken>(&SetPushTokenRequest { token: Some(token) });
        call.token = Some(home.token(Class::Standard));
        sign::<SetPushToken>(&mut call, Sender::QsClient(self.id), &[&self.key]);
        home.handler(&SetPushToken::DESCRIPTION).handle(call, Origin::default()).await.unwrap();
        config(home, self.id, &self.key, Some(push_key))
    }

    /// The call that opens a stream.
    pub(super) fn call(&self, from: u64, ack_below: u64) -> Call {
        let mut call = envelope::<Stream>(&StreamRequest { from, ack_below });
        sign::<Stream>(&mut call, Sender::QsClient(self.id), &[&self.key]);
        call
    }

    pub(super) fn outgoing(&self, from: u64, ack_below: u64) -> Outgoing {
        let (service, name) = (ServiceName::Qs, Stream::DESCRIPTION.name);
        Outgoing { service, name, call: self.call(from, ack_below), circuit: Circuit(1) }
    }

    /// What an entry says.
    pub(super) fn open(&mut self, entries: &[QueueEntry]) -> Vec<Bytes> {
        let opened = entries.iter().filter_map(|entry| self.ratchet.open(entry).unwrap());
        opened.map(|entry: Entry| entry.content.bytes()).collect()
    }
}

/// A config of a client, which may bring the key of its push token.
fn config(
    home: &QueueHome,
    client: QsClientId,
    key: &SigningKey,
    push_key: Option<Secret<32>>,
) -> ClientQueueConfig {
    let mut chance = chance();
    let payload = QueueConfigTbs {
        client,
        config: ConfigId(chance.bytes()),
        audience: Some(alpha()),
        expires: Month(u32::MAX / 2),
        generation: 0,
        push_key,
    };
    let keys = home.engine.ring().service.public(SystemClock.now());
    payload.seal(&alpha(), key, &keys.queue_config[0], &mut chance).unwrap()
}

fn envelope<E: Endpoint>(request: &E::Request) -> Call {
    let body = Opaque::new(request.encode()).unwrap();
    Call { version: VERSION, endpoint: E::DESCRIPTION.id, auth: None, token: None, body }
}

/// Signs a call with the first key, and co-signs it with the others.
fn sign<E: Endpoint>(call: &mut Call, sender: Sender, keys: &[&SigningKey]) {
    let mut frame = AuthFrame {
        sender,
        issued_at: SystemClock.now().as_secs(),
        nonce: chance().bytes(),
        signature: Signature::default(),
        co_signatures: List::default(),
    };
    let audience = Audience { service: E::DESCRIPTION.service, domain: alpha() };
    let covered = CallTbs::encoding(call, &frame, audience);
    frame.signature = keys[0].sign("Call", &covered);
    let co_signed =
        |key: &&SigningKey| CoSignature { key: key.verifying_key(), signature: key.sign("Call", &covered) };
    frame.co_signatures = List::new(keys[1..].iter().map(co_signed).collect()).unwrap();
    call.auth = Some(frame);
}

fn chance() -> Chance {
    let mut seed = [0; 32];
    OsEntropy.fill(&mut seed);
    Chance::from_seed(seed)
}

const SUITE: Suite = Suite::Ed25519;
