//! Homeservers in one thread and in virtual time, and people whose keys the tests hold: what a hostile client would
//! do with its own.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use bytes::Bytes;
use phoenix_client::{BatchSizes, Client, ClientError, ClientPorts, Event, Habits, Settings, Stretch};
use phoenix_conformance::{
    network::{Network, NetworkTransport},
    world::{Executor, Tape, VirtualClock},
};
use phoenix_core::{
    ErrorReply, Fqdn, GroupId, Origin, Refusal, Reject, Timestamp,
    api::{
        Endpoint, ServiceName,
        auth::{AddClientFinish, RegisterFinish},
    },
    credential::ClientCredential,
    crypto::{Chance, Signature, Signer, SignerError, SigningKey, Suite, VerifyingKey},
    port::{Inline, Outgoing, Transport, TransportError},
    store::MemoryStore,
    time::DAY,
    token::Token,
    wire::{Call, Opaque, VERSION, Wire as _},
};
use phoenix_homeserver::{Builder, Homeserver};

/// Homeservers that reach each other.
pub(crate) struct Site {
    executor: Executor,
    pub(crate) clock: VirtualClock,
    pub(crate) tape: Tape,
    pub(crate) network: Network,
    forged: Forged,
    post: Arc<Mutex<Post>>,
}

/// Someone with a client, and with its keys at hand.
#[derive(Clone)]
pub(crate) struct Person {
    pub(crate) client: Arc<Client>,
    pub(crate) key: Arc<Forger>,
    pub(crate) credential: ClientCredential,
    pub(crate) tap: Tap,
    network: Network,
}

impl Site {
    /// Homeservers of these domains, with default settings.
    pub(crate) fn new(domains: &[&str], seed: u64) -> Self {
        Self::with(domains, seed, |_, builder| builder.store(MemoryStore::new()))
    }

    /// Homeservers of these domains; what a builder lacks, it is given by `finish`.
    pub(crate) fn with(domains: &[&str], seed: u64, finish: impl Fn(&str, Builder) -> Builder) -> Self {
        let (clock, tape) = (VirtualClock::starting_at(beginning()), Tape::of_seed(seed));
        let (mut executor, network) = (Executor::new(clock.clone(), tape.clone()), Network::default());
        let (forged, post) = (Forged::default(), Arc::<Mutex<Post>>::default());
        for domain in domains {
            let builder = Homeserver::builder(domain.parse().unwrap())
                .transport(Mail {
                    transport: network.transport(),
                    forged: forged.clone(),
                    post: post.clone(),
                })
                .clock(clock.clone())
                .entropy(tape.entropy())
                .compute(Inline);
            let home = executor.run(finish(domain, builder).build()).unwrap().unwrap();
            network.join(home.clone());
            let spawner = executor.spawner();
            spawner.spawn(spawner.process(), home.run());
        }
        Self { executor, clock, tape, network, forged, post }
    }

    /// Runs everything until this is done.
    pub(crate) fn run<T: Send + 'static>(&mut self, work: impl Future<Output = T> + Send + 'static) -> T {
        self.executor.run(work).unwrap()
    }

    pub(crate) fn home(&self, domain: &str) -> Homeserver {
        self.network.home(&fqdn(domain)).unwrap()
    }

    /// Registers someone, with all that is needed to be reached.
    pub(crate) fn register(&mut self, name: &str, domain: &str) -> Person {
        self.register_with(Settings::new(fqdn(domain), password(name)), Suite::Ed25519)
    }

    pub(crate) fn register_with(&mut self, settings: Settings, suite: Suite) -> Person {
        self.enter(settings, suite, Client::register)
    }

    /// A further client of someone who registered with these settings.
    pub(crate) fn log_in_with(&mut self, settings: Settings, suite: Suite) -> Person {
        self.enter(settings, suite, Client::log_in)
    }

    fn enter<F>(
        &mut self,
        settings: Settings,
        suite: Suite,
        come: impl FnOnce(Settings, ClientPorts) -> F + Send + 'static,
    ) -> Person
    where
        F: Future<Output = Result<Client, ClientError>> + Send,
    {
        let (key, network) = (Arc::new(Forger::new(suite, &self.tape)), self.network.clone());
        let tap = Tap::new(network.clone());
        let ports = ClientPorts { transport: Arc::new(tap.clone()), ..self.ports() };
        self.run(async move {
            let settings = Settings {
                stretch: Stretch::least(),
                suite,
                signer: Some(key.clone()),
                habits: habits(),
                ..settings
            };
            let client = come(settings, ports).await.unwrap();
            client.set_up().await.unwrap();
            let credential = tap.credential();
            Person { client: Arc::new(client), key, credential, tap, network }
        })
    }

    /// What a client needs.
    pub(crate) fn ports(&self) -> ClientPorts {
        ClientPorts {
            transport: Arc::new(self.network.transport()),
            clock: Arc::new(self.clock.clone()),
            entropy: Arc::new(self.tape.entropy()),
            witness: None,
        }
    }

    /// From now on, homeservers that fetch the document of a service find this one.
    pub(crate) fn publish(&self, domain: &str, service: ServiceName, document: Bytes) {
        self.forged.lock().unwrap().insert((fqdn(domain), service), document);
    }

    /// What homeservers have sent to each other.
    pub(crate) fn posted(&self) -> Vec<(Fqdn, Outgoing)> {
        self.post.lock().unwrap().passed.clone()
    }

    /// From now on, this befalls what homeservers send to each other.
    pub(crate) fn intercept(&self, fate: impl FnMut(&Fqdn, &Outgoing) -> Fate + Send + 'static) {
        self.post.lock().unwrap().fate = Some(Box::new(fate));
    }

    /// From now on, all passes. Tells what befell what was sent before.
    pub(crate) fn calm(&self) -> Vec<Fate> {
        let mut post = self.post.lock().unwrap();
        post.fate = None;
        std::mem::take(&mut post.fates)
    }

    /// From now on, this is what becomes of homeservers' asking for each other.
    pub(crate) fn wire(&self, wire: Wire) {
        self.post.lock().unwrap().wire = wire;
    }

    /// How often homeservers asked for each other's keys in vain.
    pub(crate) fn asked_in_vain(&self) -> usize {
        self.post.lock().unwrap().asked_in_vain
    }

    /// Connects two people, so that each can add the other to groups.
    pub(crate) fn connect(&mut self, one: &Person, other: &Person) {
        let (from, to) = (one.client.clone(), other.client.clone());
        self.run(async move {
            from.connect(to.user()).await.unwrap();
            for event in to.sync(Duration::ZERO).await.unwrap() {
                if let Event::Offer { offer, .. } = event {
                    to.accept(offer).await.unwrap();
                }
            }
            // What else there is to read may come before the answer.
            for _ in 0..PATIENCE {
                if !from.connections().await.contains(to.user()) {
                    from.sync(Duration::from_secs(5)).await.unwrap();
                }
            }
            assert!(from.connections().await.contains(to.user()));
        });
    }
}

/// Texts that somebody says, one after the other.
pub(crate) fn texts(numbers: Range<usize>) -> Vec<String> {
    numbers.map(|number| format!("message {number}")).collect()
}

/// The texts of a group that somebody is shown.
pub(crate) fn shown(events: Vec<Event>, group: &GroupId) -> Vec<String> {
    let of_group = events.into_iter().filter_map(|event| match event {
        Event::Message(message) if message.group == *group => Some(message.text),
        _ => None,
    });
    of_group.map(|text| String::from_utf8(text.to_vec()).unwrap()).collect()
}

impl Person {
    /// Calls an endpoint by hand, as nobody.
    pub(crate) async fn ask<E: Endpoint>(
        &self,
        domain: &str,
        request: &E::Request,
        token: Option<Token>,
    ) -> Result<E::Reply, ErrorReply> {
        let home = self.network.home(&fqdn(domain)).unwrap();
        let call = unsigned::<E>(request, token);
        let answer = home.call(E::DESCRIPTION.service, E::DESCRIPTION.name, call, origin()).await;
        answer.map(|reply| E::Reply::decode(&reply).unwrap())
    }
}

/// A call that nobody signed.
pub(crate) fn unsigned<E: Endpoint>(request: &E::Request, token: Option<Token>) -> Call {
    let body = Opaque::new(request.encode()).unwrap();
    Call { version: VERSION, endpoint: E::DESCRIPTION.id, auth: None, token, body }
}

/// A client's key that signs under another label than it is asked to, while it is told so.
#[derive(Debug)]
pub(crate) struct Forger {
    suite: Suite,
    secret: [u8; 32],
    lie: Mutex<Option<(String, String)>>,
}

impl Forger {
    fn new(suite: Suite, tape: &Tape) -> Self {
        let key = SigningKey::generate(suite, &mut Chance::from_seed(tape.bytes()));
        Self { suite, secret: *key.to_secret_bytes().expose(), lie: Mutex::default() }
    }

    /// From now on, what is asked for under one label is signed under another.
    pub(crate) fn lie(&self, asked: &str, signed: &str) {
        *self.lie.lock().unwrap() = Some((asked.to_owned(), signed.to_owned()));
    }

    /// The secret bytes of the key.
    pub(crate) const fn secret(&self) -> &[u8; 32] {
        &self.secret
    }

    fn key(&self) -> SigningKey {
        SigningKey::from_secret_bytes(self.suite, &self.secret.into()).unwrap()
    }
}

impl Signer for Forger {
    fn verifying_key(&self) -> VerifyingKey {
        self.key().verifying_key()
    }

    fn sign(&self, label: &str, content: &[u8]) -> Result<Signature, SignerError> {
        let lie = self.lie.lock().unwrap().clone().filter(|(asked, _)| asked == label);
        let label = lie.as_ref().map_or(label, |(_, signed)| signed);
        Ok(self.key().sign(label, content))
    }
}

/// A client's way to homeservers, which keeps all that passes.
#[derive(Clone)]
pub(crate) struct Tap {
    network: Network,
    passed: Arc<Mutex<Vec<Passed>>>,
    change: Arc<Mutex<Option<Box<Change>>>>,
}

/// What a homeserver answers, and what its client is to be told instead.
type Change = dyn Fn(&Outgoing, Bytes) -> Bytes + Send;

/// A call that passed, and its answer.
#[derive(Clone)]
pub(crate) struct Passed {
    pub(crate) outgoing: Outgoing,
    pub(crate) answer: Result<Bytes, ErrorReply>,
}

impl Tap {
    fn new(network: Network) -> Self {
        Self { network, passed: Arc::default(), change: Arc::default() }
    }

    /// All that passed.
    pub(crate) fn passed(&self) -> Vec<Passed> {
        self.passed.lock().unwrap().clone()
    }

    /// From now on, what is answered is changed on its way.
    pub(crate) fn change(&self, change: impl Fn(&Outgoing, Bytes) -> Bytes + Send + 'static) {
        *self.change.lock().unwrap() = Some(Box::new(change));
    }

    fn credential(&self) -> ClientCredential {
        let passed = self.passed();
        let finishes = [RegisterFinish::DESCRIPTION.id, AddClientFinish::DESCRIPTION.id];
        let finish = passed.iter().find(|it| finishes.contains(&it.outgoing.call.endpoint));
        ClientCredential::decode(finish.unwrap().answer.as_ref().unwrap()).unwrap()
    }
}

#[async_trait]
impl Transport for Tap {
    async fn send(&self, to: &Fqdn, outgoing: Outgoing) -> Result<Result<Bytes, ErrorReply>, TransportError> {
        let home = self.network.home(to).ok_or(TransportError::Unreachable)?;
        let Outgoing { service, name, call, circuit: _ } = outgoing.clone();
        let answer = home.call(service, name, call, origin()).await;
        let answer = match &*self.change.lock().unwrap() {
            Some(change) => answer.map(|answer| change(&outgoing, answer)),
            None => answer,
        };
        self.passed.lock().unwrap().push(Passed { outgoing, answer: answer.clone() });
        Ok(answer)
    }

    async fn fetch(&self, from: &Fqdn, service: ServiceName) -> Result<Bytes, TransportError> {
        self.network.transport().fetch(from, service).await
    }
}

/// Documents that a homeserver publishes and the real one of its domain would not.
type Forged = Arc<Mutex<BTreeMap<(Fqdn, ServiceName), Bytes>>>;

/// What befalls something that a homeserver sends to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Passes,
    IsLost,
    LosesItsAnswer,
    ComesTwice,
    ComesAgainAfterTheNext,
    /// The other side does not take it.
    IsRefused(Reject),
}

/// The way between homeservers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Wire {
    #[default]
    Whole,
    /// Nobody is reached.
    Cut,
    /// Nobody ever answers.
    Silent,
}

/// What is between homeservers.
#[derive(Default)]
struct Post {
    wire: Wire,
    asked_in_vain: usize,
    passed: Vec<(Fqdn, Outgoing)>,
    fate: Option<Box<Befalling>>,
    fates: Vec<Fate>,
    /// To be brought again, late.
    late: Option<(Fqdn, Outgoing)>,
}

type Befalling = dyn FnMut(&Fqdn, &Outgoing) -> Fate + Send;

/// The homeservers' way to each other.
struct Mail {
    transport: NetworkTransport,
    forged: Forged,
    post: Arc<Mutex<Post>>,
}

impl Mail {
    /// Fails, or never ends, unless the wire is whole.
    async fn pass(&self) -> Result<(), TransportError> {
        let wire = self.post.lock().unwrap().wire;
        match wire {
            Wire::Whole => Ok(()),
            Wire::Cut => Err(TransportError::Unreachable),
            Wire::Silent => std::future::pending().await,
        }
    }

    /// What befalls something, and what comes again after it.
    fn befall(&self, to: &Fqdn, outgoing: &Outgoing) -> (Fate, Option<(Fqdn, Outgoing)>) {
        let mut post = self.post.lock().unwrap();
        post.passed.push((to.clone(), outgoing.clone()));
        let fate = post.fate.as_mut().map_or(Fate::Passes, |fate| fate(to, outgoing));
        post.fates.push(fate);
        let late = post.late.take();
        if fate == Fate::ComesAgainAfterTheNext {
            post.late = Some((to.clone(), outgoing.clone()));
        }
        (fate, late)
    }
}

#[async_trait]
impl Transport for Mail {
    async fn send(&self, to: &Fqdn, outgoing: Outgoing) -> Result<Result<Bytes, ErrorReply>, TransportError> {
        self.pass().await?;
        let (fate, late) = self.befall(to, &outgoing);
        if fate == Fate::IsLost {
            return Err(TransportError::Unreachable);
        }
        if let Fate::IsRefused(reject) = fate {
            return Ok(Err(Refusal::from(reject).into()));
        }
        let answer = self.transport.send(to, outgoing.clone()).await;
        if let Some((to, outgoing)) = late {
            let _ = self.transport.send(&to, outgoing).await;
        }
        match fate {
            Fate::LosesItsAnswer => Err(TransportError::Unreachable),
            Fate::ComesTwice => self.transport.send(to, outgoing).await,
            Fate::Passes | Fate::IsLost | Fate::IsRefused(_) | Fate::ComesAgainAfterTheNext => answer,
        }
    }

    async fn fetch(&self, from: &Fqdn, service: ServiceName) -> Result<Bytes, TransportError> {
        self.post.lock().unwrap().asked_in_vain += 1;
        self.pass().await?;
        self.post.lock().unwrap().asked_in_vain -= 1;
        let forged = self.forged.lock().unwrap().get(&(from.clone(), service)).cloned();
        match forged {
            Some(document) => Ok(document),
            None => self.transport.fetch(from, service).await,
        }
    }
}

/// Where everybody calls from.
pub(crate) fn origin() -> Origin {
    Origin { address: Some(ADDRESS.parse().unwrap()), request: 0x5eed }
}

pub(crate) fn fqdn(domain: &str) -> Fqdn {
    domain.parse().unwrap()
}

/// The password of somebody.
pub(crate) fn password(name: &str) -> String {
    format!("the password of {name}")
}

pub(crate) fn habits() -> Habits {
    Habits {
        batch: BatchSizes { standard: 20, home: 4, contact: 10, alias: 1 },
        add_packages: 4,
        connection_packages: 2,
        ..Habits::default()
    }
}

/// Sixty days ago: OpenMLS checks lifetimes by the system's clock.
pub(crate) fn beginning() -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    Timestamp::from_secs((now / DAY - 60) * DAY)
}

/// How often somebody looks for an answer.
const PATIENCE: usize = 5;
/// An address for documents (RFC 5737), which nobody has.
pub(crate) const ADDRESS: &str = "203.0.113.177";
