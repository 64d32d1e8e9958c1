//! A Privacy Pass client that knows RFC 9577 and RFC 9578 and nothing of ours, but how to say who asks for tokens.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::URL_SAFE};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use p384::NistP384;
use phoenix_client::{Client, ClientPorts, Settings, Stretch};
use phoenix_core::{
    ErrorCode, ErrorReply, Fqdn, Uuid,
    api::{
        Empty, Endpoint, EndpointId, ServiceName,
        auth::{RegisterFinish, RegistrationChallenge},
        delivery::RequestGroupId,
    },
    credential::ClientCredential,
    crypto::{Chance, Signer, SigningKey, Suite},
    port::{Clock, Compute, Inline, Job, Outgoing, Saturated, Transport, TransportError},
    wire::{Audience, AuthFrame, Call, CallTbs, List, Opaque, Sender, VERSION, Wire},
};
use phoenix_homeserver::{Homeserver, OsEntropy, SystemClock};
use sha2::{Digest, Sha256};
use voprf_ng::{EvaluationElement, Group, Proof, VoprfClient};

use super::{
    Authority, Running, alpha,
    homeserver::{homeserver, homeserver_on},
};
use crate::{HttpTransport, MEDIA_TYPE, error::reply_in, router, tls};

const DIRECTORY: &str = "/.well-known/private-token-issuer-directory";
const REQUEST_TYPE: &str = "application/private-token-request";

#[tokio::test]
async fn a_standard_client_gets_a_token_and_spends_it_once() {
    let town = Town::start().await;
    // It is told that a token is wanted, and of which kind.
    let challenged = town.spend(None).await;
    assert_eq!(challenged.status, 401);
    let (challenge, key) = of_type_1(&challenged.header(WWW_AUTHENTICATE.as_str()));
    assert_eq!(challenge, b"\x00\x01\x00\x0aalpha.test\x00\x00\x00");
    assert!(town.token_keys().await.contains(&(1, key.clone())), "the key is everyone's");

    let blinding = Blinding::new(&challenge, &key);
    let answer = town.request(&blinding.request, REQUEST_TYPE, true).await;
    assert_eq!((answer.status, answer.media_type()), (200, "application/private-token-response".into()));
    let token = blinding.finish(&answer.body);

    let paid = town.spend(Some(&token)).await;
    assert_eq!((paid.status, paid.media_type()), (200, MEDIA_TYPE.into()));
    let again = town.spend(Some(&token)).await;
    assert_eq!((again.status, again.error().code), (401, ErrorCode::TokenSpent));
    let mut forged = token;
    forged[2] ^= 1;
    let refused = town.spend(Some(&forged)).await;
    assert_eq!((refused.status, refused.error().code), (401, ErrorCode::TokenInvalid));
}

#[tokio::test]
async fn the_directory_says_which_keys_issue_the_standard_ones_first() {
    let town = Town::start().await;

    let answer = town.get(DIRECTORY).await;

    assert_eq!(answer.status, 200);
    assert_eq!(answer.media_type(), "application/private-token-issuer-directory");
    assert_eq!(answer.header(CACHE_CONTROL.as_str()), "max-age=3600");
    let directory: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(directory["issuer-request-uri"], "/token-request");
    let keys = directory["token-keys"].as_array().unwrap();
    let classes: Vec<_> = keys.iter().map(|key| key["class"].as_str().unwrap()).collect();
    assert_eq!(classes, ["standard", "home", "contact", "alias"]);
    for key in keys {
        assert_eq!(key["token-type"], 1);
        assert!(key["not-before"].as_u64().unwrap() <= SystemClock.now().as_secs());
        let key = URL_SAFE.decode(key["token-key"].as_str().unwrap()).unwrap();
        assert!(NistP384::deserialize_elem(&key).is_ok());
    }
}

#[tokio::test]
async fn requests_that_cannot_be_answered_have_the_statuses_of_the_rfc() {
    let town = Town::start().await;
    let (_, key) = town.token_keys().await.remove(0);
    let good = Blinding::new(b"", &key).request;
    let keys = town.token_keys().await;
    let last = |key: &[u8]| Sha256::digest(key)[31];
    let unknown = (0..=255).find(|byte| keys.iter().all(|(_, key)| last(key) != *byte)).unwrap();
    let changed = |at: usize, to: u8| {
        let mut request = good.clone();
        request[at] = to;
        request
    };

    let cases = [
        ("another type", changed(1, 2), ErrorCode::Malformed),
        ("our other type", changed(1, 5), ErrorCode::Malformed),
        ("an unknown key", changed(2, unknown), ErrorCode::TokenInvalid),
        ("no point", changed(3, 9), ErrorCode::Malformed),
        ("too short", good[..51].to_vec(), ErrorCode::Malformed),
    ];
    for (what, request, code) in cases {
        let answer = town.request(&request, REQUEST_TYPE, true).await;
        assert_eq!((answer.status, answer.error().code), (422, code), "{what}");
        let document: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(document["status"], 422, "{what}");
    }
    let long = town.request(&[good.as_slice(), &[0]].concat(), REQUEST_TYPE, true).await;
    assert_eq!((long.status, long.error().code), (422, ErrorCode::TooLarge));
    let nobody = town.request(&good, REQUEST_TYPE, false).await;
    assert_eq!((nobody.status, nobody.error().code), (401, ErrorCode::Unauthenticated));
    let untyped = town.request(&good, MEDIA_TYPE, true).await;
    assert_eq!(untyped.error().code, ErrorCode::Malformed);
    assert_eq!(town.request(&good, REQUEST_TYPE, true).await.status, 200);
}

#[tokio::test]
async fn a_frame_is_good_for_the_body_that_was_signed_only() {
    let town = Town::start().await;
    let (_, key) = town.token_keys().await.remove(0);
    let (signed, sent) = (Blinding::new(b"", &key).request, Blinding::new(b"", &key).request);
    let moved = town.frame(&sent, RegistrationChallenge::DESCRIPTION.id);

    let other_body = town.post(sent.clone(), REQUEST_TYPE, Some(town.frame(&signed, TOKEN_REQUEST))).await;
    assert_eq!((other_body.status, other_body.error().code), (401, ErrorCode::Unauthenticated));
    let other_endpoint = town.post(sent.clone(), REQUEST_TYPE, Some(moved)).await;
    assert_eq!((other_endpoint.status, other_endpoint.error().code), (401, ErrorCode::Unauthenticated));
    let garbage = town.post(sent, REQUEST_TYPE, Some("?".into())).await;
    assert_eq!(garbage.error().code, ErrorCode::Malformed);
}

#[tokio::test]
async fn the_arithmetic_of_such_a_token_is_done_where_heavy_computations_run() {
    let jobs = Arc::new(AtomicUsize::new(0));
    let town = Town::of(homeserver_on(Counted(jobs.clone())).await).await;
    let (challenge, key) = of_type_1(&town.spend(None).await.header(WWW_AUTHENTICATE.as_str()));
    let blinding = Blinding::new(&challenge, &key);
    let begun = jobs.load(Ordering::Relaxed);

    let token = blinding.finish(&town.request(&blinding.request, REQUEST_TYPE, true).await.body);
    assert_eq!(jobs.load(Ordering::Relaxed) - begun, 1, "one evaluation");
    assert_eq!(town.spend(Some(&token)).await.status, 200);
    assert_eq!(jobs.load(Ordering::Relaxed) - begun, 2, "one verification");
}

/// Runs every job at once, and counts them.
struct Counted(Arc<AtomicUsize>);

impl Compute for Counted {
    fn submit(&self, job: Job) -> Result<(), Saturated> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Inline.submit(job)
    }
}

/// A homeserver behind TLS, and a user of it.
struct Town {
    running: Running,
    client: reqwest::Client,
    key: SigningKey,
    credential: ClientCredential,
}

impl Town {
    async fn start() -> Self {
        Self::of(homeserver().await).await
    }

    async fn of(home: Homeserver) -> Self {
        let authority = Authority::new();
        let running = Running::start(&authority, router(home));
        let roots = tls::own_roots(authority.pem().as_bytes()).unwrap();
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls::client(roots).unwrap())
            .resolve("alpha.test", running.address)
            .build()
            .unwrap();
        let key = SigningKey::generate(Suite::Ed25519, &mut Chance::from_seed([7; 32]));
        let credential = register(&key, running.transport(&authority)).await;
        Self { running, client, key, credential }
    }

    /// What the directory lists: types and keys.
    async fn token_keys(&self) -> Vec<(u64, Vec<u8>)> {
        let directory: serde_json::Value = serde_json::from_slice(&self.get(DIRECTORY).await.body).unwrap();
        let keys = directory["token-keys"].as_array().unwrap().iter();
        keys.map(|key| {
            let bytes = URL_SAFE.decode(key["token-key"].as_str().unwrap()).unwrap();
            (key["token-type"].as_u64().unwrap(), bytes)
        })
        .collect()
    }

    async fn request(&self, body: &[u8], media_type: &str, is_signed: bool) -> Answer {
        let frame = is_signed.then(|| self.frame(body, TOKEN_REQUEST));
        self.post(body.to_vec(), media_type, frame).await
    }

    async fn post(&self, body: Vec<u8>, media_type: &str, frame: Option<String>) -> Answer {
        let mut request =
            self.client.post(self.url("/token-request")).header(CONTENT_TYPE, media_type).body(body);
        if let Some(frame) = frame {
            request = request.header("Phoenix-Auth", frame);
        }
        Answer::of(request).await
    }

    /// Calls what costs a Home token.
    async fn spend(&self, token: Option<&[u8]>) -> Answer {
        let body = Opaque::new(Empty {}.encode()).unwrap();
        let endpoint = RequestGroupId::DESCRIPTION.id;
        let call = Call { version: VERSION, endpoint, auth: None, token: None, body }.encode();
        let request = self.client.post(self.url("/v1/ds/request_group_id"));
        let mut request = request.header(CONTENT_TYPE, MEDIA_TYPE).body(call);
        if let Some(token) = token {
            let token = URL_SAFE.encode(token);
            request = request.header(AUTHORIZATION, format!("PrivateToken token=\"{token}\""));
        }
        Answer::of(request).await
    }

    async fn get(&self, path: &str) -> Answer {
        Answer::of(self.client.get(self.url(path))).await
    }

    fn url(&self, path: &str) -> String {
        format!("https://alpha.test:{}{path}", SocketAddr::port(&self.running.address))
    }

    /// The value of `Phoenix-Auth` for a body.
    fn frame(&self, body: &[u8], endpoint: EndpointId) -> String {
        let body = Opaque::new(body.to_vec()).unwrap();
        let call = Call { version: VERSION, endpoint, auth: None, token: None, body };
        let mut frame = AuthFrame {
            sender: Sender::ClientCredential(Box::new(self.credential.clone())),
            issued_at: SystemClock.now().as_secs(),
            nonce: getrandom::u64().unwrap().to_be_bytes().repeat(2).try_into().unwrap(),
            signature: Default::default(),
            co_signatures: List::default(),
        };
        let audience = Audience { service: ServiceName::As, domain: alpha() };
        frame.signature = self.key.sign("Call", &CallTbs::encoding(&call, &frame, audience));
        URL_SAFE.encode(frame.encode())
    }
}

/// Registers a user with the key, and gives the credential.
async fn register(key: &SigningKey, transport: HttpTransport) -> ClientCredential {
    let tap = Arc::new(Tap { inner: transport, credential: Mutex::default() });
    let ports = ClientPorts {
        transport: tap.clone(),
        witness: None,
        clock: Arc::new(SystemClock),
        entropy: Arc::new(OsEntropy),
    };
    let mut settings = Settings::new(alpha(), "a password");
    settings.user = Some(Uuid([9; 16]));
    settings.stretch = Stretch::least();
    settings.signer = Some(Arc::new(key.clone()) as Arc<dyn Signer>);
    Client::register(settings, ports).await.unwrap();
    tap.credential.lock().unwrap().take().unwrap()
}

/// Keeps the credential that comes by.
struct Tap {
    inner: HttpTransport,
    credential: Mutex<Option<ClientCredential>>,
}

#[async_trait]
impl Transport for Tap {
    async fn send(&self, to: &Fqdn, outgoing: Outgoing) -> Result<Result<Bytes, ErrorReply>, TransportError> {
        let is_last = outgoing.call.endpoint == RegisterFinish::DESCRIPTION.id;
        let answer = self.inner.send(to, outgoing).await;
        if let (true, Ok(Ok(reply))) = (is_last, &answer) {
            *self.credential.lock().unwrap() = ClientCredential::decode(reply).ok();
        }
        answer
    }

    async fn fetch(&self, from: &Fqdn, service: ServiceName) -> Result<Bytes, TransportError> {
        self.inner.fetch(from, service).await
    }
}

struct Answer {
    status: u16,
    headers: http::HeaderMap,
    body: Bytes,
}

impl Answer {
    async fn of(request: reqwest::RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Self { status, headers, body: response.bytes().await.unwrap() }
    }

    fn header(&self, name: &str) -> String {
        self.headers[name].to_str().unwrap().to_owned()
    }

    fn media_type(&self) -> String {
        self.header(CONTENT_TYPE.as_str())
    }

    fn error(&self) -> ErrorReply {
        reply_in(&self.body).unwrap()
    }
}

/// A token on its way (RFC 9578 §5.1).
struct Blinding {
    input: Vec<u8>,
    key: Vec<u8>,
    state: VoprfClient<NistP384>,
    request: Vec<u8>,
}

impl Blinding {
    fn new(challenge: &[u8], key: &[u8]) -> Self {
        let mut chance = Chance::from_seed(Sha256::digest(getrandom::u64().unwrap().to_be_bytes()).into());
        let key_id = Sha256::digest(key);
        let input = [&[0, 1][..], &chance.bytes::<32>(), &Sha256::digest(challenge), &key_id].concat();
        let blinded = VoprfClient::blind(&input, &mut chance).unwrap();
        let request = [&[0, 1, key_id[31]][..], &blinded.message.serialize()].concat();
        Self { input, key: key.to_vec(), state: blinded.state, request }
    }

    /// The token (RFC 9578 §5.3).
    fn finish(&self, response: &[u8]) -> Vec<u8> {
        assert_eq!(response.len(), 49 + 96);
        let element = EvaluationElement::deserialize(&response[..49]).unwrap();
        let proof = Proof::deserialize(&response[49..]).unwrap();
        let key = NistP384::deserialize_elem(&self.key).unwrap();
        let authenticator = self.state.finalize(&self.input, &element, &proof, key).unwrap();
        [&self.input[..], &authenticator].concat()
    }
}

/// The challenge and the key of type 0x0001 in a list of challenges (RFC 9577 §2.1).
fn of_type_1(header: &str) -> (Vec<u8>, Vec<u8>) {
    let value = |challenge: &str, name: &str| {
        let after = challenge.split_once(&format!("{name}=\"")).unwrap().1;
        URL_SAFE.decode(after.split_once('"').unwrap().0).unwrap()
    };
    let challenges = header.split("PrivateToken ").skip(1);
    let parsed: Vec<_> = challenges.map(|it| (value(it, "challenge"), value(it, "token-key"))).collect();
    assert_eq!(parsed.len(), 2, "{header}");
    parsed.into_iter().find(|(challenge, _)| challenge.starts_with(&[0, 1])).unwrap()
}

/// The endpoint's number, which the frame's signature covers.
const TOKEN_REQUEST: EndpointId = EndpointId(0x0132);
