//! The homeserver as an axum router (02, "HTTP binding"; 08).

mod intake;
mod memory;
mod streams;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Path, Request, State},
    response::Response,
    routing::{get, post},
};
use bytes::Bytes;
use http::{
    Extensions, HeaderValue,
    header::{CACHE_CONTROL, CONTENT_TYPE},
};
use phoenix_core::{
    ErrorReply, Origin, Refusal, Reject,
    api::{Binding, Description, ServiceName},
    wire::VERSION,
};
use phoenix_homeserver::Homeserver;

use self::{
    intake::{Intake, charged},
    memory::Memory,
    streams::Streams,
};
use crate::{
    MEDIA_TYPE,
    error::{problem, problem_of, wants_token},
    home::Home,
    privacy_pass,
    transport::JWKS,
    well_known::Document,
};

/// What an operator may say about a router.
#[derive(Clone, Debug)]
pub struct RouterOptions {
    /// Where clients and peers find the AS, as `host` or `host:port`; the domain itself when absent.
    pub as_host: Option<String>,
    /// Where they find the QS; the domain itself when absent.
    pub qs_host: Option<String>,
    /// Where they find the DS; the domain itself when absent.
    pub ds_host: Option<String>,
    /// For how many seconds others may keep what is published; 60 s to 7 d (08), by default an hour.
    pub max_age_s: u64,
    /// The key that clients subscribe to push services with, [`VapidKey::public_key`](crate::VapidKey::public_key): told
    /// where the services are told. None by default.
    pub push_key: Option<String>,
    /// Bytes of requests, and of replies that are not sent yet, that may be in memory at once; by default 64 MiB
    /// (02).
    pub memory: usize,
    /// How many of these those of one source may be (an address; IPv6: a /64); by default 8 MiB, an eighth. Where
    /// all callers come from one address, as from a proxy that tells no other, it should be `memory`.
    pub memory_per_source: usize,
    /// Queue streams that may be open at once; by default 3,072, which leaves some of a [`Server`](crate::Server)'s
    /// connections to other calls.
    pub streams: usize,
    /// How many of these one source may have; by default 128.
    pub streams_per_source: usize,
    /// What streams may take their time for.
    pub stream_times: StreamTimes,
}

/// What streams may take their time for. For tests; the defaults are right for the internet.
#[derive(Clone, Copy, Debug)]
pub struct StreamTimes {
    /// How long after the handshake the call may take to come. By default 10 s.
    pub call: Duration,
    /// How often it is asked whether the client is there; who has not answered by the next time is cut off. By default
    /// 30 s (06).
    pub ping: Duration,
    /// How long a client may take for a message, beside what its length takes. By default 30 s.
    pub write: Duration,
    /// Bytes a second that a client must take. By default 16 KiB.
    pub slowest: usize,
}

impl Default for StreamTimes {
    fn default() -> Self {
        let half_a_minute = Duration::from_secs(30);
        Self { call: Duration::from_secs(10), ping: half_a_minute, write: half_a_minute, slowest: 16 << 10 }
    }
}

impl Default for RouterOptions {
    fn default() -> Self {
        Self {
            as_host: None,
            qs_host: None,
            ds_host: None,
            max_age_s: 3_600,
            push_key: None,
            memory: 64 << 20,
            memory_per_source: 8 << 20,
            streams: 3_072,
            streams_per_source: 128,
            stream_times: StreamTimes::default(),
        }
    }
}

/// The routes of a homeserver: its endpoints, its published keys, and the document by which it is found. They
/// can be merged with an embedder's own routes.
///
/// Callers' addresses are known where the serving function gives them as [`ConnectInfo`], as
/// [`Server`](crate::Server) and axum's `into_make_service_with_connect_info` do; limits by address need them.
pub fn router(home: Homeserver) -> Router {
    router_with(home, RouterOptions::default())
}

/// The same with options.
pub fn router_with(home: Homeserver, options: RouterOptions) -> Router {
    routes(Arc::new(home), options)
}

/// The same for anything that is like a homeserver.
pub(crate) fn routes(home: Arc<dyn Home>, options: RouterOptions) -> Router {
    let is_reached = |it: &Description| it.binding != Binding::None;
    let table: Vec<_> = home.descriptions().into_iter().filter(is_reached).collect();
    let published: Vec<_> = table.iter().filter(|it| it.binding == Binding::Json).copied().collect();
    let memory = Memory::new(options.memory, options.memory_per_source);
    let streams = Streams::new(&options, memory.clone());
    let intake = Intake::new(memory);
    let gate = Arc::new(Gate { table, intake, streams, home, options });
    let calls = post(call).get(streams::open);
    let router =
        Router::new().route("/v1/{service}/{name}", calls).route("/.well-known/phoenix", get(discovery));
    let router = router
        .route(JWKS, get(jwks))
        .route(privacy_pass::DIRECTORY, get(directory))
        .route(privacy_pass::REQUEST, post(token_request));
    let publish = |router: Router<Arc<Gate>>, endpoint: Description| {
        let path = endpoint.service.keys_path();
        router.route(&path, get(move |gate, request| document(gate, endpoint, request)))
    };
    published.into_iter().fold(router, publish).with_state(gate)
}

struct Gate {
    home: Arc<dyn Home>,
    table: Vec<Description>,
    intake: Intake,
    streams: Streams,
    options: RouterOptions,
}

impl Gate {
    /// The endpoint of a path, if it is reached in this way.
    fn endpoint(&self, service: &str, name: &str, way: impl Fn(Binding) -> bool) -> Option<Description> {
        let is_meant =
            |it: &&Description| it.service.as_str() == service && it.name == name && way(it.binding);
        self.table.iter().find(is_meant).copied()
    }

    /// Reads the call and carries it out.
    async fn answer(
        &self,
        endpoint: Description,
        request: Request,
        origin: Origin,
    ) -> Result<Bytes, ErrorReply> {
        let (call, charge) = self.intake.read(&endpoint, request, origin.address).await?;
        let home = Arc::clone(&self.home);
        // A task of its own: the call runs to its end though the caller hangs up, else hanging up buys free work.
        let running = tokio::spawn(async move {
            let reply = home.call(&endpoint, call, origin).await?;
            charged(charge, reply)
        });
        running.await.unwrap_or_else(|_| Err(refused(Reject::Internal)))
    }
}

async fn call(
    State(gate): State<Arc<Gate>>,
    Path((service, name)): Path<(String, String)>,
    request: Request,
) -> Response {
    let is_posted = |binding| matches!(binding, Binding::Post | Binding::Json);
    let Some(endpoint) = gate.endpoint(&service, &name, is_posted) else {
        return problem(&refused(Reject::NotFound), &[]);
    };
    let origin = origin(request.extensions());
    match gate.answer(endpoint, request, origin).await {
        Ok(reply) => content(reply, MEDIA_TYPE, HeaderValue::from_static("no-store")),
        Err(error) => {
            let class = endpoint.token.filter(|_| wants_token(error.code));
            let challenges = class.map(|class| gate.home.challenges(class)).unwrap_or_default();
            problem_of(&origin, &error, &challenges)
        }
    }
}

/// A request for a token, as any Privacy Pass client makes it (RFC 9578 §5.1).
async fn token_request(State(gate): State<Arc<Gate>>, request: Request) -> Response {
    let endpoint = gate.table.iter().find(|it| it.binding == Binding::PrivacyPass).copied();
    let Some(endpoint) = endpoint else { return problem(&refused(Reject::NotFound), &[]) };
    let origin = origin(request.extensions());
    match gate.answer(endpoint, request, origin).await {
        Ok(reply) => content(reply, privacy_pass::RESPONSE_TYPE, HeaderValue::from_static("no-store")),
        Err(error) => privacy_pass::refusal(&error),
    }
}

/// The keys that issue such tokens (RFC 9578 §4).
async fn directory(State(gate): State<Arc<Gate>>) -> Response {
    let json = privacy_pass::directory(gate.options.as_host.as_deref(), gate.home.issuing_keys());
    let age = gate.options.max_age_s.min(privacy_pass::DIRECTORY_AGE_S);
    content(json.into(), privacy_pass::DIRECTORY_TYPE, max_age(age))
}

async fn discovery(State(gate): State<Arc<Gate>>) -> Response {
    let options = &gate.options;
    let domain = gate.home.domain().to_string();
    let host = |host: &Option<String>| host.clone().unwrap_or_else(|| domain.clone());
    let document = Document {
        auth: host(&options.as_host),
        ds: host(&options.ds_host),
        qs: host(&options.qs_host),
        domain: domain.clone(),
        versions: vec![VERSION],
        max_age_s: options.max_age_s,
        push_key: options.push_key.clone(),
    };
    let json = serde_json::to_vec(&document).unwrap_or_default();
    content(json.into(), JSON, max_age(options.max_age_s))
}

/// A service's keys, which count as if they were asked for at their endpoint.
async fn document(State(gate): State<Arc<Gate>>, endpoint: Description, request: Request) -> Response {
    let found = match gate.home.admit(&endpoint, &origin(request.extensions())) {
        Ok(()) => gate.home.document(endpoint.service).await,
        Err(error) => Err(error),
    };
    match found {
        Ok(json) => content(json, JSON, max_age(gate.options.max_age_s)),
        Err(error) => problem(&error, &[]),
    }
}

/// The keys of DPoP tokens, which count as the AS's others do.
async fn jwks(State(gate): State<Arc<Gate>>, request: Request) -> Response {
    let is_meant = |it: &&Description| it.service == ServiceName::As && it.binding == Binding::Json;
    let Some(endpoint) = gate.table.iter().find(is_meant) else {
        return problem(&refused(Reject::NotFound), &[]);
    };
    match gate.home.admit(endpoint, &origin(request.extensions())) {
        // A key is published a day before it signs: an hour leaves others time to learn of it.
        Ok(()) => content(gate.home.jwks(), JWKS_TYPE, max_age(gate.options.max_age_s.min(3_600))),
        Err(error) => problem(&error, &[]),
    }
}

fn content(body: Bytes, media_type: &'static str, caching: HeaderValue) -> Response {
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response.headers_mut().insert(CACHE_CONTROL, caching);
    response
}

fn max_age(seconds: u64) -> HeaderValue {
    HeaderValue::from_str(&format!("max-age={seconds}")).unwrap_or(HeaderValue::from_static("no-store"))
}

/// Where a request came from: the peer of its connection, where the serving function tells.
pub(crate) fn origin(extensions: &Extensions) -> Origin {
    let peer = extensions.get::<ConnectInfo<SocketAddr>>();
    Origin {
        address: peer.map(|ConnectInfo(peer)| peer.ip().to_canonical()),
        // A number to find a request in a log by; where the system has no randomness, none can be found.
        request: getrandom::u64().unwrap_or_default(),
    }
}

fn refused(reject: Reject) -> ErrorReply {
    Refusal::from(reject).into()
}

const JSON: &str = "application/json";
/// The media type of a JWK Set (RFC 7517 §8.5.2).
const JWKS_TYPE: &str = "application/jwk-set+json";
