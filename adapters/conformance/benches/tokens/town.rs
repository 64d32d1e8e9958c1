//! A homeserver, a user of it whose key is known, and calls that are signed ahead.

use std::{
    ops::Range,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use bytes::Bytes;
use phoenix_client::{Client, ClientPorts, Settings, Stretch};
use phoenix_conformance::network::{Network, NetworkTransport};
use phoenix_core::{
    ErrorReply, Fqdn, Origin,
    api::{
        Endpoint, ServiceName,
        auth::RegisterFinish,
        queue::Dequeue,
        tokens::{IssueRequest, IssueTokens, TokenRequest},
    },
    credential::ClientCredential,
    crypto::{Chance, Signer, SigningKey, Suite},
    port::{Clock, Compute, Outgoing, Transport, TransportError},
    store::MemoryStore,
    token::{Blinding, Class, KeyListEntry, SingleBlinding, TokenType, challenge_digest},
    wire::{Audience, AuthFrame, Call, CallTbs, List, Opaque, Sender, VERSION, Wire},
};
use phoenix_homeserver::{Homeserver, OsEntropy, SystemClock, auth::Settings as AuthSettings};

pub(crate) struct Town {
    home: Homeserver,
    _network: Network,
    key: SigningKey,
    credential: ClientCredential,
    /// Twice the elements of a batch: every hundred of them in a row make a request that was never made.
    blinded: Vec<[u8; 32]>,
    key_id: [u8; 32],
    dequeue: Call,
}

impl Town {
    pub(crate) async fn new(compute: impl Compute) -> Self {
        let network = Network::default();
        let mut auth = AuthSettings { ceiling: u64::MAX / 1_000, ..AuthSettings::default() };
        auth.allowances.standard = u32::MAX;
        let builder = Homeserver::builder(domain()).store(MemoryStore::new()).transport(network.transport());
        let home = builder.compute(compute).auth_settings(auth).build().await.unwrap();
        network.join(home.clone());
        let key = SigningKey::generate(Suite::Ed25519, &mut Chance::from_seed([7; 32]));
        let (credential, dequeue) = settle(&key, network.transport()).await;
        let entry = entry(&home, TokenType::Ristretto255, Class::Standard);
        let digest = challenge_digest(&domain());
        let blind = |seed| {
            let blinding = Blinding::new(&entry.public_key, digest, 100, &mut Chance::from_seed([seed; 32]));
            blinding.unwrap().request(Class::Standard).unwrap().blinded.into_vec()
        };
        let blinded = [blind(1), blind(2)].concat();
        Self { home, _network: network, key, credential, blinded, key_id: entry.key_id(), dequeue }
    }

    /// So many requests for 100 tokens, none of them equal.
    pub(crate) fn batches(&self, numbers: Range<usize>) -> Vec<(&'static str, Call)> {
        let request = |number: usize| {
            // Which hundred, and which two of them change places.
            let mut blinded: Vec<_> = self.blinded.iter().skip(number % 100).take(100).copied().collect();
            blinded.swap(0, number / 100);
            let blinded = List::new(blinded).unwrap();
            let request = IssueRequest { class: Class::Standard, key: self.key_id, blinded };
            self.signed::<IssueTokens>(&request)
        };
        numbers.map(request).collect()
    }

    /// A request for one token of type 0x0001.
    pub(crate) fn single(&self, class: Class) -> (&'static str, Call) {
        let entry = entry(&self.home, TokenType::P384, class);
        let digest = TokenType::P384.challenge_digest(&domain());
        let blinding = SingleBlinding::new(&entry.public_key, digest, &mut chance()).unwrap();
        self.signed::<TokenRequest>(&blinding.request())
    }

    /// Has a request answered.
    pub(crate) async fn issue(&self, (name, call): (&'static str, Call)) {
        let reply = self.home.call(ServiceName::As, name, call, Origin::default()).await.unwrap();
        assert!(reply.len() > 100);
    }

    /// Asks for what is in the queue: nothing.
    pub(crate) async fn dequeue(&self) {
        let name = Dequeue::DESCRIPTION.name;
        self.home.call(ServiceName::Qs, name, self.dequeue.clone(), Origin::default()).await.unwrap();
    }

    fn signed<E: Endpoint>(&self, request: &E::Request) -> (&'static str, Call) {
        let body = Opaque::new(request.encode()).unwrap();
        let endpoint = E::DESCRIPTION.id;
        let mut call = Call { version: VERSION, endpoint, auth: None, token: None, body };
        let mut frame = AuthFrame {
            sender: Sender::ClientCredential(Box::new(self.credential.clone())),
            issued_at: SystemClock.now().as_secs(),
            nonce: chance().bytes(),
            signature: Default::default(),
            co_signatures: List::default(),
        };
        let audience = Audience { service: ServiceName::As, domain: domain() };
        frame.signature = self.key.sign("Call", &CallTbs::encoding(&call, &frame, audience));
        call.auth = Some(frame);
        (E::DESCRIPTION.name, call)
    }
}

fn entry(home: &Homeserver, token_type: TokenType, class: Class) -> KeyListEntry {
    let is_meant = |key: &KeyListEntry| key.token_type == token_type.number() && key.class == class;
    home.issuing_keys().into_iter().find(is_meant).unwrap()
}

/// Registers the user with a queue; gives its credential, and a call that reads the queue.
async fn settle(key: &SigningKey, inner: NetworkTransport) -> (ClientCredential, Call) {
    let tap = Arc::new(Tap { inner, credential: Mutex::default(), dequeue: Mutex::default() });
    let ports = ClientPorts {
        transport: tap.clone(),
        witness: None,
        clock: Arc::new(SystemClock),
        entropy: Arc::new(OsEntropy),
    };
    let mut settings = Settings::new(domain(), "a password");
    settings.stretch = Stretch::least();
    settings.signer = Some(Arc::new(key.clone()) as Arc<dyn Signer>);
    let client = Client::register(settings, ports).await.unwrap();
    client.create_queue().await.unwrap();
    client.sync(std::time::Duration::ZERO).await.unwrap();
    let credential = tap.credential.lock().unwrap().take().unwrap();
    let dequeue = tap.dequeue.lock().unwrap().take().unwrap();
    (credential, dequeue)
}

/// Keeps what comes by.
struct Tap {
    inner: NetworkTransport,
    credential: Mutex<Option<ClientCredential>>,
    dequeue: Mutex<Option<Call>>,
}

#[async_trait]
impl Transport for Tap {
    async fn send(&self, to: &Fqdn, outgoing: Outgoing) -> Result<Result<Bytes, ErrorReply>, TransportError> {
        let endpoint = outgoing.call.endpoint;
        if endpoint == Dequeue::DESCRIPTION.id {
            *self.dequeue.lock().unwrap() = Some(outgoing.call.clone());
        }
        let answer = self.inner.send(to, outgoing).await;
        if let (true, Ok(Ok(reply))) = (endpoint == RegisterFinish::DESCRIPTION.id, &answer) {
            *self.credential.lock().unwrap() = ClientCredential::decode(reply).ok();
        }
        answer
    }

    async fn fetch(&self, from: &Fqdn, service: ServiceName) -> Result<Bytes, TransportError> {
        self.inner.fetch(from, service).await
    }
}

fn domain() -> Fqdn {
    "alpha.test".parse().unwrap()
}

fn chance() -> Chance {
    let mut seed = [0; 32];
    phoenix_core::port::Entropy::fill(&OsEntropy, &mut seed);
    Chance::from_seed(seed)
}
