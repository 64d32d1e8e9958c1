//! One AS over memory, with a clock that the tests control, and a neighbour whose clients come by.

use std::{
    cell::Cell,
    sync::{Arc, atomic::Ordering},
};

use bytes::Bytes;
use futures::executor::block_on;
use phoenix_core::{
    AliasHash, ClientId, Failure, Fqdn, Generation, KeyId, Origin, Reject, Timestamp, UserId, Uuid,
    api::{
        Endpoint, ServiceName,
        auth::{RegisterFinishRequest, RegisterInitReply, RegisterInitRequest, RegistrationProof},
        queue::DequeueRequest,
    },
    credential::{
        ClientCredential, ClientCredentialPayload, Csr, ExpirationData, PackagePayload, RevocationEntry,
    },
    crypto::{AtRestKey, Chance, HpkeSecretKey, SigningKey, Suite},
    engine::{Alarms, Engine, Shared},
    federation::{FederationPolicy, Standing},
    operation::{KeyRing, Operation, ReplyOf, RequestOf},
    port::{Clock, Inline, LocalWake, NoPush, OpenPolicy, Policy, Ports, Space},
    store::MemoryStore,
    time::DAY,
    token::{Blinding, Class, Rotation, Token, challenge_digest},
    wire::{Audience, AuthFrame, Call, CallTbs, List, Opaque, Sender, VERSION, Wire},
};

use super::surroundings::{Counting, Drops, Neighbour, TestClock, TestStore};
use crate::{AuthKeys, AuthService, AuthSettings, op, opaque::client};

pub(super) struct World {
    pub(super) engine: Arc<Engine<AuthService>>,
    pub(super) store: MemoryStore,
    settings: AuthSettings,
    access: Arc<TestStore>,
    pub(super) clock: Arc<TestClock>,
    neighbour: Arc<Neighbour>,
    drawn: Cell<u64>,
}

/// A client with its keys.
#[derive(Clone)]
pub(super) struct TestClient {
    pub(super) id: ClientId,
    pub(super) key: SigningKey,
    pub(super) queue_key: HpkeSecretKey,
    pub(super) credential: ClientCredential,
}

/// Who signs a call.
pub(super) enum By<'a> {
    Nobody,
    Client(&'a TestClient),
    Alias(AliasHash, &'a SigningKey),
    Key(&'a SigningKey),
    Homeserver(&'a str, &'a SigningKey),
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(AuthSettings::default())
    }

    pub(super) fn with(settings: AuthSettings) -> Self {
        Self::judged(settings, OpenPolicy)
    }

    /// With another judge than one who lets all pass.
    pub(super) fn judged(settings: AuthSettings, policy: impl Policy) -> Self {
        let (store, clock) = (MemoryStore::new(), Arc::new(TestClock::default()));
        let beta =
            AuthKeys::generate(&domain("beta.test"), clock.now(), &mut Chance::from_seed([2; 32])).unwrap();
        let (fetches, questions, revoked) = Default::default();
        let neighbour = Arc::new(Neighbour { keys: beta, clock: clock.clone(), fetches, questions, revoked });
        let access = Arc::new(TestStore::new(store.clone()));
        let ports = Ports {
            store: access.clone(),
            transport: neighbour.clone(),
            clock: clock.clone(),
            entropy: Arc::new(Counting::default()),
            wake: Arc::new(LocalWake::default()),
            push: Arc::new(NoPush),
            compute: Arc::new(Inline),
            policy: Arc::new(policy),
        };
        let keys =
            AuthKeys::generate(&domain("alpha.test"), clock.now(), &mut Chance::from_seed([1; 32])).unwrap();
        let shared = Shared::new(ports, domain("alpha.test"), AtRestKey::new([3; 32].into()));
        let ring = KeyRing {
            generation: Generation::default(),
            tokens: keys.tokens().clone(),
            at_rest: AtRestKey::new([4; 32].into()),
            service: keys,
        };
        let engine = Engine::new(shared, settings.clone(), ring);
        Self { engine, store, settings, access, clock, neighbour, drawn: Cell::new(0) }
    }

    /// From now on the operator stands so to a domain, and to all others as by default.
    pub(super) fn rule(&self, pattern: &str, standing: Standing) {
        let policy = FederationPolicy::default().with(pattern.parse().unwrap(), standing).unwrap();
        self.engine.shared().put_federation(policy);
    }

    /// Another replica: the same keys and the same store, but nothing else. From here on, calls race.
    pub(super) fn replica(&self) -> Arc<Engine<AuthService>> {
        self.access.let_others_in();
        let shared = self.engine.shared();
        let ports = shared.ports().clone();
        let shared = Shared::new(ports, shared.domain().clone(), AtRestKey::new([3; 32].into()));
        let ring = self.engine.ring();
        let keys = AuthKeys::decode(&ring.service.encode().unwrap()).unwrap();
        let ring = KeyRing {
            generation: Generation::default(),
            tokens: keys.tokens().clone(),
            at_rest: ring.at_rest.clone(),
            service: keys,
        };
        Engine::new(shared, self.settings.clone(), ring)
    }

    /// The places of each read since this was asked last.
    pub(super) fn reads(&self) -> Vec<usize> {
        self.access.reads()
    }

    /// The parts of each commit since this was asked last.
    pub(super) fn commits(&self) -> Vec<usize> {
        self.access.commits()
    }

    /// Puts the clock back.
    pub(super) fn put_back(&self, seconds: u64) {
        self.clock.0.fetch_sub(seconds, Ordering::Relaxed);
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Never the same twice.
    pub(super) fn chance(&self) -> Chance {
        self.drawn.set(self.drawn.get() + 1);
        let mut seed = [7; 32];
        seed[..8].copy_from_slice(&self.drawn.get().to_be_bytes());
        Chance::from_seed(seed)
    }

    /// Calls an endpoint, with the token that it costs.
    pub(super) fn ask<O>(&self, request: RequestOf<O>, by: By<'_>) -> Result<ReplyOf<O>, Reject>
    where
        O: Operation<Service = AuthService>,
    {
        let token = O::Endpoint::DESCRIPTION.token.map(|class| self.token(class));
        self.send::<O>(self.call::<O>(&request, by, token))
    }

    pub(super) fn send<O: Operation<Service = AuthService>>(&self, call: Call) -> Result<ReplyOf<O>, Reject> {
        block_on(self.engine.call::<O>(call, Origin::default())).map_err(refusal)
    }

    pub(super) fn call<O: Operation>(
        &self,
        request: &RequestOf<O>,
        by: By<'_>,
        token: Option<Token>,
    ) -> Call {
        let body = Opaque::new(request.encode()).unwrap();
        let mut call =
            Call { version: VERSION, endpoint: O::Endpoint::DESCRIPTION.id, auth: None, token, body };
        let (sender, key) = match by {
            By::Nobody => return call,
            By::Client(client) => {
                (Sender::ClientCredential(Box::new(client.credential.clone())), &client.key)
            }
            By::Alias(alias, key) => (Sender::Alias(alias), key),
            By::Key(key) => (Sender::NewKey(key.verifying_key()), key),
            By::Homeserver(name, key) => {
                let id = KeyId::of(&key.verifying_key());
                (Sender::Homeserver(domain(name), ServiceName::As, id), key)
            }
        };
        let mut frame = AuthFrame {
            sender,
            issued_at: self.now().as_secs(),
            nonce: self.chance().bytes(),
            signature: Default::default(),
            co_signatures: List::default(),
        };
        let audience = Audience { service: ServiceName::As, domain: domain("alpha.test") };
        frame.signature = key.sign("Call", &CallTbs::encoding(&call, &frame, audience));
        call.auth = Some(frame);
        call
    }

    pub(super) fn token(&self, class: Class) -> Token {
        let blinding = self.blinding(class, 1);
        let ring = self.engine.ring();
        let request = blinding.request(class).unwrap();
        let key = ring.tokens.issuing(class, &request.key, self.now()).unwrap();
        let reply = key.secret.evaluate(&request.blinded, &mut self.chance()).unwrap();
        blinding.finalize(&reply).unwrap().remove(0)
    }

    pub(super) fn blinding(&self, class: Class, count: usize) -> Blinding {
        let list = self.engine.ring().service.key_list().list.clone();
        let key = list.issuing(class, self.now()).unwrap();
        let digest = challenge_digest(&domain("alpha.test"));
        Blinding::new(&key.public_key, digest, count, &mut self.chance()).unwrap()
    }

    /// Registers the only client of a new user.
    pub(super) fn register(&self, uuid: u8) -> TestClient {
        let finish = self.begin(uuid);
        self.finish(&finish).unwrap()
    }

    /// Begins a registration; what finishes it comes back.
    pub(super) fn begin(&self, uuid: u8) -> Finish {
        self.begin_with(uuid, Vec::new()).unwrap()
    }

    /// Begins one that brings something.
    pub(super) fn begin_with(&self, uuid: u8, proofs: Vec<RegistrationProof>) -> Result<Finish, Reject> {
        let key = SigningKey::generate(Suite::Ed25519, &mut self.chance());
        let queue_key = HpkeSecretKey::generate(Suite::Ed25519, &mut self.chance());
        let id = client_id(uuid, "alpha.test");
        let (started, request) = client::start(&mut self.chance()).unwrap();
        let request = RegisterInitRequest {
            user: id.user.clone(),
            opaque: Opaque::new(request).unwrap(),
            proofs: List::new(proofs).unwrap(),
        };
        let RegisterInitReply { registration, opaque } = self.ask::<op::RegisterInit>(request, By::Nobody)?;
        let record = started.finish(&opaque, &id.user, &domain("alpha.test"), &mut self.chance()).unwrap();
        let request = RegisterFinishRequest {
            registration,
            csr: csr(id, &key, &self.engine.ring().service, self.now()),
            queue_key: queue_key.public_key().clone(),
            record: Opaque::new(record).unwrap(),
        };
        Ok(Finish { request, key, queue_key })
    }

    pub(super) fn finish(&self, finish: &Finish) -> Result<TestClient, Reject> {
        let Finish { request, key, queue_key } = finish.clone();
        let id = request.csr.payload.client.clone();
        let credential = self.ask::<op::RegisterFinish>(request, By::Key(&key))?;
        Ok(TestClient { id, key, queue_key, credential })
    }

    /// A client of the neighbour.
    pub(super) fn stranger(&self, uuid: u8) -> TestClient {
        let key = SigningKey::generate(Suite::Ed25519, &mut self.chance());
        let queue_key = HpkeSecretKey::generate(Suite::Ed25519, &mut self.chance());
        let id = client_id(uuid, "beta.test");
        let keys = &self.neighbour.keys;
        let (intermediate, signer) = keys.intermediate();
        let csr = csr(id.clone(), &key, keys, self.now());
        let credential = ClientCredential::issue(csr, intermediate, signer, self.now()).unwrap();
        TestClient { id, key, queue_key, credential }
    }

    /// Signs for the neighbour.
    pub(super) fn neighbours_key(&self) -> &SigningKey {
        self.neighbour.keys.intermediate().1
    }

    /// The neighbour removes a client.
    pub(super) fn revoke(&self, stranger: &TestClient) {
        let (credential, revoked_at) = (stranger.credential.fingerprint(), self.now().as_secs());
        self.neighbour.revoked.lock().unwrap().push(RevocationEntry { credential, revoked_at });
    }

    /// How often the neighbour was asked for its keys.
    pub(super) fn fetches(&self) -> u64 {
        self.neighbour.fetches.load(Ordering::Relaxed)
    }

    /// How often it was asked anything else.
    pub(super) fn questions(&self) -> u64 {
        self.neighbour.questions.load(Ordering::Relaxed)
    }

    /// Lets time pass, the alarms ring, and the token keys rotate.
    pub(super) fn pass(&self, seconds: u64) {
        self.pass_unswept(seconds);
        block_on(Alarms::new(self.engine.shared().clone(), Arc::new(Drops)).run_once());
    }

    /// The store is an older copy that was brought back, for so many times.
    pub(super) fn restored(&self, times: u32) {
        let ring = self.engine.ring();
        let generation = Generation(times);
        let jump = generation.jump_from(ring.generation).unwrap();
        let keys = ring.service.restored(jump, self.now(), &Rotation::default(), &mut self.chance()).unwrap();
        let (tokens, at_rest) = (keys.tokens().clone(), ring.at_rest.clone());
        self.engine.rotate(KeyRing { generation, tokens, at_rest, service: keys });
    }

    /// Lets time pass and the token keys rotate, but no alarm ring.
    pub(super) fn pass_unswept(&self, seconds: u64) {
        self.clock.0.fetch_add(seconds, Ordering::Relaxed);
        let ring = self.engine.ring();
        let rotated = ring.service.rotated(self.now(), &Rotation::default(), &mut self.chance()).unwrap();
        if let Some(keys) = rotated {
            let (tokens, at_rest) = (keys.tokens().clone(), ring.at_rest.clone());
            self.engine.rotate(KeyRing { generation: Generation::default(), tokens, at_rest, service: keys });
        }
    }

    pub(super) fn payload(&self, lifetime: u64) -> PackagePayload {
        let key = HpkeSecretKey::generate(Suite::Ed25519, &mut self.chance());
        let now = self.now().as_secs();
        PackagePayload {
            encryption_key: key.public_key().clone(),
            lifetime: ExpirationData { not_before: now, not_after: now + lifetime },
            versions: List::new(vec![VERSION]).unwrap(),
        }
    }

    /// Whether some bytes lie anywhere in the store of the AS.
    pub(super) fn holds(&self, bytes: &[u8]) -> bool {
        let has =
            |value: &Bytes| bytes.is_empty() || value.windows(bytes.len()).any(|window| window == bytes);
        self.store.dump().iter().filter(|(key, _)| key.space() == Space::As).any(|(key, found)| {
            has(key.key()) || found.rows.iter().any(|(row, value)| has(row) || has(value))
        })
    }
}

/// What finishes a registration.
#[derive(Clone)]
pub(super) struct Finish {
    pub(super) request: RegisterFinishRequest,
    pub(super) key: SigningKey,
    pub(super) queue_key: HpkeSecretKey,
}

/// Why a call was refused.
pub(super) fn refusal(failure: Failure) -> Reject {
    match failure {
        Failure::Refused(refusal) => refusal.reject,
        Failure::Broken(fault) => panic!("{fault}"),
    }
}

pub(super) fn domain(name: &str) -> Fqdn {
    name.parse().unwrap()
}

pub(super) fn client_id(uuid: u8, name: &str) -> ClientId {
    ClientId {
        user: UserId { uuid: Uuid([uuid; 16]), domain: domain(name) },
        client: Uuid([uuid ^ 0xf0; 16]),
    }
}

pub(super) fn csr(client: ClientId, key: &SigningKey, keys: &AuthKeys, now: Timestamp) -> Csr {
    let not_before = now.as_secs();
    let payload = ClientCredentialPayload {
        client,
        validity: ExpirationData { not_before, not_after: not_before + 90 * DAY },
        key: key.verifying_key(),
        signer: keys.intermediate().0.fingerprint(),
    };
    Csr::new(key, payload).unwrap()
}

pub(super) fn dequeue(from: u64, ack_below: u64, wait_s: u8) -> DequeueRequest {
    DequeueRequest { from, max: 500, ack_below, wait_s }
}
