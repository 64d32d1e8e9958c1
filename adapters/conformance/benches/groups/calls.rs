//! Calls, and what pays for them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::executor::block_on;
use phoenix_client::{Client, ClientPorts, Settings, Stretch};
use phoenix_conformance::network::NetworkTransport;
use phoenix_core::{
    ErrorReply, Fqdn,
    api::{Endpoint, ServiceName, auth::RegisterFinish, tokens::IssueTokens},
    credential::ClientCredential,
    crypto::{Chance, Signer, SigningKey, Suite},
    port::{Clock, Entropy, Outgoing, Transport, TransportError},
    token::{Blinding, Class, Token, TokenType, challenge_digest},
    wire::{Audience, AuthFrame, Call, CallTbs, CoSignature, List, Opaque, Sender, VERSION, Wire},
};
use phoenix_homeserver::{OsEntropy, SystemClock};

use crate::{home::domain, house::House};

/// A call without a sender.
pub(crate) fn unsigned<E: Endpoint>(request: &E::Request, token: Option<Token>) -> Call {
    let body = Opaque::new(request.encode()).unwrap();
    Call { version: VERSION, endpoint: E::DESCRIPTION.id, auth: None, token, body }
}

/// A call that its senders sign: the first in its frame, others beside.
pub(crate) fn signed<E: Endpoint>(
    request: &E::Request,
    token: Option<Token>,
    sender: Sender,
    keys: &[&SigningKey],
) -> Call {
    let mut call = unsigned::<E>(request, token);
    let mut frame = AuthFrame {
        sender,
        issued_at: SystemClock.now().as_secs(),
        nonce: chance().bytes(),
        signature: Default::default(),
        co_signatures: List::default(),
    };
    let audience = Audience { service: E::DESCRIPTION.service, domain: domain() };
    let covered = CallTbs::encoding(&call, &frame, audience);
    let mut signatures = keys.iter().map(|key| (key.verifying_key(), key.sign("Call", &covered)));
    frame.signature = signatures.next().unwrap().1;
    let others = signatures.map(|(key, signature)| CoSignature { key, signature });
    frame.co_signatures = List::new(others.collect()).unwrap();
    call.auth = Some(frame);
    call
}

pub(crate) fn chance() -> Chance {
    let mut seed = [0; 32];
    OsEntropy.fill(&mut seed);
    Chance::from_seed(seed)
}

/// A user whose tokens pay for everything.
pub(crate) struct Purse {
    key: SigningKey,
    credential: ClientCredential,
    tokens: BTreeMap<Class, Vec<Token>>,
}

impl Purse {
    pub(crate) fn new(house: &House) -> Self {
        let key = SigningKey::generate(Suite::Ed25519, &mut chance());
        let tap = Arc::new(Tap { inner: house.network.transport(), credential: Mutex::default() });
        let ports = ClientPorts {
            transport: tap.clone(),
            witness: None,
            clock: Arc::new(SystemClock),
            entropy: Arc::new(OsEntropy),
        };
        let mut settings = Settings::new(domain(), "a password");
        settings.stretch = Stretch::least();
        settings.signer = Some(Arc::new(key.clone()) as Arc<dyn Signer>);
        block_on(Client::register(settings, ports)).unwrap();
        let credential = tap.credential.lock().unwrap().take().unwrap();
        Self { key, credential, tokens: BTreeMap::new() }
    }

    pub(crate) fn take(&mut self, house: &House, class: Class) -> Option<Token> {
        if self.tokens.get(&class).is_none_or(Vec::is_empty) {
            let batch = self.fetch(house, class);
            self.tokens.insert(class, batch);
        }
        self.tokens.get_mut(&class)?.pop()
    }

    fn fetch(&self, house: &House, class: Class) -> Vec<Token> {
        let mut keys = house.home.issuing_keys().into_iter();
        let is_meant = |type_number, of| type_number == TokenType::Ristretto255.number() && of == class;
        let key = keys.find(|key| is_meant(key.token_type, key.class)).unwrap();
        let blinding = Blinding::new(&key.public_key, challenge_digest(&domain()), 100, &mut chance());
        let blinding = blinding.unwrap();
        let sender = Sender::ClientCredential(Box::new(self.credential.clone()));
        let call = signed::<IssueTokens>(&blinding.request(class).unwrap(), None, sender, &[&self.key]);
        blinding.finalize(&house.ask::<IssueTokens>(call)).unwrap()
    }
}

/// Keeps the credential that comes by.
struct Tap {
    inner: NetworkTransport,
    credential: Mutex<Option<ClientCredential>>,
}

#[async_trait]
impl Transport for Tap {
    async fn send(&self, to: &Fqdn, outgoing: Outgoing) -> Result<Result<Bytes, ErrorReply>, TransportError> {
        let endpoint = outgoing.call.endpoint;
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
