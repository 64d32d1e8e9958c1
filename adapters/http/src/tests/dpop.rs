//! Users of one homeserver at the API of another's embedder (05, "DPoP"; 10, T27), over HTTPS where homeservers ask each
//! other.

mod leaked;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use axum::{
    Router,
    body::Body,
    extract::ConnectInfo,
    middleware::{self, Next},
    response::IntoResponse,
    routing::{get, put},
};
use http::{
    Request, StatusCode,
    header::{AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE},
};
use phoenix_client::{Client, ClientPorts, DpopToken, Settings, Stretch};
use phoenix_core::{
    Fqdn, Timestamp, UserId, Uuid,
    crypto::Chance,
    dpop::{DPOP_SCHEME, DpopGrant, DpopKey, HttpOrigin, JwkSet, ProofOf},
    federation::{DomainPattern, Outbox, Standing},
    port::{Clock, Inline},
    store::MemoryStore,
    time::{DAY, HOUR},
};
use phoenix_homeserver::{Homeserver, OsEntropy};
use tokio::{sync::watch, time::timeout};
use tower::ServiceExt;

use super::{Authority, Running, alpha};
use crate::{Dpop, DpopCaller, DpopOptions, HttpTransport, router, transport::Everywhere};

#[tokio::test]
async fn a_user_of_another_homeserver_is_known_to_an_api_and_has_an_account_there() {
    let scene = Scene::new().await;
    let token = scene.token().await;
    let user = scene.anna.user().clone();
    assert!(!scene.beta().has_account(&user).await.unwrap());

    let first = scene.media.get(&token, "/media/cat.png?size=2").await;
    let second = scene.media.get(&token, "/media/cat.png").await;

    assert_eq!(first, (StatusCode::OK, format!("{user} true")));
    assert_eq!(second, (StatusCode::OK, format!("{user} false")));
    assert!(scene.beta().has_account(&user).await.unwrap());
    assert!(!scene.alpha.has_account(&user).await.unwrap(), "the user's own homeserver is told nothing");
    assert_eq!(scene.asked(), 1, "keys are asked for once");
}

#[tokio::test]
async fn a_user_is_known_to_the_api_of_its_own_homeserver_which_asks_nobody() {
    let scene = Scene::new().await;
    let media = scene.media_of(&scene.alpha, DpopOptions::new(origin()));
    let token = scene.anna.dpop_token(&[alpha()]).await.unwrap();

    assert_eq!(media.get(&token, "/media/cat.png").await.0, StatusCode::OK);
    assert_eq!(scene.asked(), 0);
}

#[tokio::test]
async fn t27_a_stolen_token_is_worth_nothing_without_its_key() {
    let scene = Scene::new().await;
    let token = scene.token().await;
    let stolen = token.authorization();
    let text = stolen.strip_prefix("DPoP ").unwrap();
    let thief = DpopKey::generate(&mut Chance::from_seed([1; 32]));
    let about = ProofOf { method: "GET", uri: CAT, token: Some(text), nonce: None };
    let proof = thief.prove(&about, scene.clock.now(), &mut Chance::from_seed([2; 32]));

    let bearer = format!("Bearer {text}");
    for (authorization, proofs, expected) in [
        (stolen.as_str(), vec![proof.as_str()], "error=\"invalid_dpop_proof\""),
        (stolen.as_str(), vec![], "error=\"invalid_dpop_proof\""),
        (bearer.as_str(), vec![], "DPoP algs=\"ES256\""),
    ] {
        let response = scene.media.send("GET", "/media/cat.png", authorization, &proofs).await;

        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        let challenge = response.headers()[WWW_AUTHENTICATE].to_str().unwrap();
        assert!(challenge.contains(expected), "{challenge}");
    }
    assert_eq!(scene.asked(), 0, "nobody was asked on a thief's behalf");
}

#[tokio::test]
async fn t27_a_proof_is_good_once_also_after_a_while() {
    let scene = Scene::new().await;
    let token = scene.token().await;
    let proof = token.proof("GET", CAT, None);

    assert_eq!(scene.media.with(&token, &proof).await, StatusCode::OK);
    for passed_s in [0, 30, 30] {
        scene.clock.pass(passed_s);
        assert_eq!(scene.media.with(&token, &proof).await, StatusCode::UNAUTHORIZED);
    }
    scene.clock.pass(300);
    assert_eq!(scene.media.with(&token, &proof).await, StatusCode::UNAUTHORIZED);
    assert_eq!(scene.media.with(&token, &token.proof("GET", CAT, None)).await, StatusCode::OK);
}

#[tokio::test]
async fn t27_of_two_replicas_on_one_store_one_takes_a_proof() {
    let scene = Scene::new().await;
    let other = scene.media_of(&scene.replica().await, DpopOptions::new(origin()));
    let token = scene.token().await;

    for _ in 0..5 {
        let proof = token.proof("GET", CAT, None);

        let (one, two) = futures::join!(scene.media.with(&token, &proof), other.with(&token, &proof));

        let mut answers = [one, two];
        answers.sort();
        assert_eq!(answers, [StatusCode::OK, StatusCode::UNAUTHORIZED]);
    }
}

#[tokio::test]
async fn t27_a_proof_for_another_request_is_refused() {
    let scene = Scene::new().await;
    let (token, other) = (scene.token().await, scene.token().await);
    let refused = [
        (&token, token.proof("PUT", CAT, None)),
        (&token, token.proof("GET", "https://media.beta.test/media/dog.png", None)),
        (&token, token.proof("GET", "https://media.beta.test/cat.png", None)),
        (&token, token.proof("GET", "https://media.gamma.test/media/cat.png", None)),
        (&token, other.proof("GET", CAT, None)),
    ];
    for (token, proof) in refused {
        assert_eq!(scene.media.with(token, &proof).await, StatusCode::UNAUTHORIZED);
    }
    let proof = token.proof("GET", CAT, None);
    let authorization = token.authorization();
    let response = scene.media.send("PUT", "/media/cat.png", &authorization, &[&proof]).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    let twice = scene.media.send("GET", "/media/cat.png", &authorization, &[&proof, &proof]).await;
    assert_eq!(twice.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(scene.media.with(&token, &proof).await, StatusCode::OK, "none of that used it up");
}

#[tokio::test]
async fn t27_a_token_for_somebody_else_or_that_has_ended_is_refused() {
    let scene = Scene::new().await;
    let elsewhere = scene.anna.dpop_token(&["gamma.test".parse().unwrap()]).await.unwrap();
    assert_eq!(scene.media.get(&elsewhere, "/media/cat.png").await.0, StatusCode::UNAUTHORIZED);

    let token = scene.token().await;
    scene.clock.pass(599);
    assert_eq!(scene.media.get(&token, "/media/cat.png").await.0, StatusCode::OK);
    scene.clock.pass(1);
    assert_eq!(scene.media.get(&token, "/media/cat.png").await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn t27_where_nonces_are_demanded_no_proof_can_be_made_long_before() {
    let scene = Scene::new().await;
    let options = DpopOptions { demands_nonces: true, ..DpopOptions::new(origin()) };
    let media = scene.media_of(scene.beta(), options);
    let token = scene.token().await;
    let authorization = token.authorization();

    let without =
        media.send("GET", "/media/cat.png", &authorization, &[&token.proof("GET", CAT, None)]).await;
    let challenge = without.headers()[WWW_AUTHENTICATE].to_str().unwrap();
    assert!(challenge.contains("error=\"use_dpop_nonce\""), "{challenge}");
    let nonce = without.headers()["dpop-nonce"].to_str().unwrap().to_owned();

    assert_eq!(media.with(&token, &token.proof("GET", CAT, Some(&nonce))).await, StatusCode::OK);
    assert_eq!(media.with(&token, &token.proof("GET", CAT, Some("made up"))).await, StatusCode::UNAUTHORIZED);
    scene.clock.pass(300);
    assert_eq!(media.with(&token, &token.proof("GET", CAT, Some(&nonce))).await, StatusCode::OK);
    let token = scene.token().await;
    scene.clock.pass(300);
    assert_eq!(media.with(&token, &token.proof("GET", CAT, Some(&nonce))).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn t27_keys_change_every_week_without_a_refusal_and_those_of_the_past_are_of_no_use() {
    let scene = Scene::new().await;
    let working = tokio::spawn(scene.alpha.clone().run());
    let first = scene.token().await;
    assert_eq!(scene.media.get(&first, "/media/cat.png").await.0, StatusCode::OK);
    let before = scene.alpha.jwks();

    // A day before the first key's end, the next is there, and signs nothing yet.
    scene.pass_until(6 * DAY + 60, |jwks| *jwks != before).await;
    let with_next = scene.alpha.jwks();
    let token = scene.token().await;
    assert_eq!(scene.media.get(&token, "/media/cat.png").await.0, StatusCode::OK);

    // On that day it signs; and a while later the first is gone.
    scene.clock.pass(DAY);
    let token = scene.token().await;
    assert_eq!(scene.media.get(&token, "/media/cat.png").await.0, StatusCode::OK);
    scene.pass_until(2 * HOUR, |jwks| *jwks != with_next).await;
    let asked = scene.asked();
    let forged = scene.signed_with(&kid(&before));
    for _ in 0..3 {
        assert_eq!(scene.media.get_with(&forged).await, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(scene.asked(), asked + 1, "an unknown key is asked for once a minute");
    working.abort();
}

#[tokio::test]
async fn t27_a_homeserver_whose_users_are_not_wanted_is_not_even_asked() {
    let scene = Scene::new().await;
    let options =
        DpopOptions { allowed: Arc::new(|domain| *domain != alpha()), ..DpopOptions::new(origin()) };
    let media = scene.media_of(scene.beta(), options);
    let token = scene.token().await;

    assert_eq!(media.get(&token, "/media/cat.png").await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(scene.asked(), 0);
}

#[tokio::test]
async fn t27_a_homeserver_that_the_operator_blocks_is_not_asked_and_its_users_do_not_come() {
    let scene = Scene::new().await;
    let token = scene.token().await;
    let pattern = DomainPattern::Only(alpha());

    scene.beta().admin().set_rule(pattern.clone(), Standing::Blocked(Outbox::Hold)).await.unwrap();
    assert_eq!(scene.media.get(&token, "/media/cat.png").await.0, StatusCode::FORBIDDEN);
    assert_eq!(scene.asked(), 0);

    scene.beta().admin().remove_rule(&pattern).await.unwrap();
    assert_eq!(scene.media.get(&token, "/media/cat.png").await.0, StatusCode::OK);
}

#[tokio::test]
async fn t27_a_key_that_leaked_is_worth_nothing_once_it_was_retired() {
    // given a token by a key that has leaked, at home and elsewhere
    let scene = Scene::new().await;
    let at_home = scene.media_of(&scene.alpha, DpopOptions::new(origin()));
    let token = scene.anna.dpop_token(&[alpha(), "beta.test".parse().unwrap()]).await.unwrap();
    for media in [&at_home, &scene.media] {
        assert_eq!(media.get(&token, "/media/cat.png").await.0, StatusCode::OK);
    }
    let leaked = kid(&scene.alpha.jwks());

    // when the operator retires it, then it is good for nothing at home
    scene.alpha.admin().retire_dpop_keys().await.unwrap();
    assert_ne!(kid(&scene.alpha.jwks()), leaked);
    assert_eq!(at_home.get(&token, "/media/cat.png").await.0, StatusCode::UNAUTHORIZED);

    // and elsewhere, once a token by the new key came, which is good
    scene.clock.pass(61);
    let fresh = scene.token().await;
    assert_eq!(scene.media.get(&fresh, "/media/cat.png").await.0, StatusCode::OK);
    assert_eq!(scene.media.get(&token, "/media/cat.png").await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn t6_made_up_tokens_have_few_domains_asked_for_their_keys() {
    let scene = Scene::new().await;
    let mut limited = 0;
    for number in 0..20 {
        let domain = format!("d{number}.test").parse().unwrap();
        let forged = scene.forged(&domain, "none");

        let response = scene.media.forged(&forged).await;

        assert!(!response.status().is_success());
        if response.status() == StatusCode::TOO_MANY_REQUESTS {
            assert!(response.headers().contains_key(RETRY_AFTER));
            limited += 1;
        }
    }
    assert_eq!(limited, 10);
}

/// alpha.test over HTTPS with a user, and beta.test with an API.
struct Scene {
    alpha: Homeserver,
    anna: Client,
    asked: Arc<AtomicUsize>,
    /// Whether alpha is kept from answering who asks for the keys of its tokens.
    silent: Arc<AtomicBool>,
    media: Media,
    clock: ManualClock,
    transport: HttpTransport,
    store: MemoryStore,
    beta: Homeserver,
    _running: Running,
}

impl Scene {
    async fn new() -> Self {
        let (authority, clock, asked) = (Authority::new(), ManualClock::new(), Arc::<AtomicUsize>::default());
        let nowhere = HttpTransport::new().unwrap();
        let builder = Homeserver::builder(alpha()).store(MemoryStore::new()).transport(nowhere);
        let alpha = builder.clock(clock.clone()).compute(Inline).build().await.unwrap();
        let (counted, silent) = (asked.clone(), Arc::<AtomicBool>::default());
        let kept_from = silent.clone();
        let count = middleware::from_fn(move |request: axum::extract::Request, next: Next| {
            let is_for_keys = request.uri().path() == "/.well-known/jwks.json";
            counted.fetch_add(usize::from(is_for_keys), Ordering::SeqCst);
            let is_silent = is_for_keys && kept_from.load(Ordering::SeqCst);
            async move {
                if is_silent {
                    return StatusCode::SERVICE_UNAVAILABLE.into_response();
                }
                next.run(request).await
            }
        });
        let running = Running::start(&authority, router(alpha.clone()).layer(count));
        // Every other name leads inside, where nobody is asked.
        let transport =
            HttpTransport::builder().authorities(authority.pem()).resolve(super::alpha(), running.address);
        let transport = transport.names(Everywhere(vec!["127.0.0.1".parse().unwrap()])).build().unwrap();
        let ports = ClientPorts {
            transport: Arc::new(transport.clone()),
            witness: None,
            clock: Arc::new(clock.clone()),
            entropy: Arc::new(OsEntropy),
        };
        let settings = Settings { stretch: Stretch::least(), ..Settings::new(super::alpha(), "a password") };
        let anna = Client::register(settings, ports).await.unwrap();
        let store = MemoryStore::new();
        let beta = beta(&store, &transport, &clock).await;
        let media = Media::new(&beta, &transport, DpopOptions::new(origin()));
        Self { alpha, anna, asked, silent, media, clock, transport, store, beta, _running: running }
    }

    fn beta(&self) -> &Homeserver {
        &self.beta
    }

    /// Another process on beta's store.
    async fn replica(&self) -> Homeserver {
        beta(&self.store, &self.transport, &self.clock).await
    }

    fn media_of(&self, home: &Homeserver, options: DpopOptions) -> Media {
        Media::new(home, &self.transport, options)
    }

    async fn token(&self) -> DpopToken {
        self.anna.dpop_token(&["beta.test".parse().unwrap()]).await.unwrap()
    }

    /// How often alpha was asked for the keys of its tokens.
    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// Lets time pass, and waits until alpha's keys are so.
    async fn pass_until(&self, seconds: u64, holds: impl Fn(&bytes::Bytes) -> bool) {
        self.clock.pass(seconds);
        let reached = async {
            while !holds(&self.alpha.jwks()) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(Duration::from_secs(60), reached).await.unwrap();
    }

    /// A token of one of alpha's users that claims to be signed with a key of this name, and its proof.
    fn signed_with(&self, kid: &str) -> (String, String) {
        self.forged(&alpha(), kid)
    }

    /// A token of this domain's that nobody of this domain signed, and a proof that fits.
    fn forged(&self, domain: &Fqdn, kid: &str) -> (String, String) {
        let (key, now) = (DpopKey::generate(&mut Chance::from_seed([5; 32])), self.clock.now());
        let user = UserId { uuid: Uuid([1; 16]), domain: domain.clone() };
        let grant = DpopGrant {
            user: &user,
            client: phoenix_core::Fingerprint([2; 32]),
            audiences: &["beta.test".parse().unwrap()],
            key: &key.public(),
            issued: now,
            expires: now.plus_secs(60),
            id: [3; 16],
        };
        let token = grant.sign(&key);
        let (_, rest) = token.split_once('.').unwrap();
        let header = serde_json::json!({ "typ": "at+jwt", "alg": "ES256", "kid": kid }).to_string();
        let token = format!("{}.{rest}", encoded(header.as_bytes()));
        let about = ProofOf { method: "GET", uri: CAT, token: Some(&token), nonce: None };
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).unwrap();
        let proof = key.prove(&about, now, &mut Chance::from_seed(seed));
        (format!("{DPOP_SCHEME} {token}"), proof)
    }
}

async fn beta(store: &MemoryStore, transport: &HttpTransport, clock: &ManualClock) -> Homeserver {
    let builder = Homeserver::builder("beta.test".parse().unwrap()).store(store.clone());
    builder.transport(transport.clone()).clock(clock.clone()).compute(Inline).build().await.unwrap()
}

/// An API that tells its callers who they are, nested as embedders nest their routers.
struct Media(Router);

impl Media {
    fn new(home: &Homeserver, transport: &HttpTransport, options: DpopOptions) -> Self {
        async fn who(DpopCaller(visit): DpopCaller) -> String {
            format!("{} {}", visit.identity.user, visit.is_first)
        }
        let dpop = Dpop::new(home.clone(), transport.clone(), options);
        let inner = Router::new().route("/{name}", get(who)).route("/{name}", put(who));
        Self(Router::new().nest("/media", inner).with_state(dpop))
    }

    async fn get(&self, token: &DpopToken, path: &str) -> (StatusCode, String) {
        let proof = token.proof("GET", &format!("https://media.beta.test{path}"), None);
        let response = self.send("GET", path, &token.authorization(), &[&proof]).await;
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), 1 << 16).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn with(&self, token: &DpopToken, proof: &str) -> StatusCode {
        self.send("GET", "/media/cat.png", &token.authorization(), &[proof]).await.status()
    }

    async fn get_with(&self, forged: &(String, String)) -> StatusCode {
        self.forged(forged).await.status()
    }

    async fn forged(&self, (authorization, proof): &(String, String)) -> axum::response::Response {
        self.send("GET", "/media/cat.png", authorization, &[proof]).await
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        authorization: &str,
        proofs: &[&str],
    ) -> axum::response::Response {
        let peer: SocketAddr = "192.0.2.7:1000".parse().unwrap();
        let request = Request::builder().method(method).uri(path).header(AUTHORIZATION, authorization);
        let request = proofs.iter().fold(request, |request, proof| request.header("DPoP", *proof));
        let request = request.extension(ConnectInfo(peer)).body(Body::empty()).unwrap();
        self.0.clone().oneshot(request).await.unwrap()
    }
}

/// A clock that stands still until it is told.
#[derive(Clone)]
struct ManualClock(Arc<watch::Sender<u64>>);

impl ManualClock {
    fn new() -> Self {
        // A minute's first second, and a slot's of nonces.
        Self(Arc::new(watch::Sender::new(1_800_000_000_000)))
    }

    fn pass(&self, seconds: u64) {
        self.0.send_modify(|now| *now += seconds * 1_000);
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(*self.0.borrow())
    }

    async fn sleep_until(&self, at: Timestamp) {
        let mut told = self.0.subscribe();
        // The sender lives as long as this clock.
        let _ = told.wait_for(|now| *now >= at.0).await;
    }
}

/// The name of the one key of a set.
fn kid(jwks: &[u8]) -> String {
    JwkSet::decode(jwks).unwrap();
    let json: serde_json::Value = serde_json::from_slice(jwks).unwrap();
    json["keys"][0]["kid"].as_str().unwrap().to_owned()
}

fn encoded(bytes: &[u8]) -> String {
    base64::Engine::encode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, bytes)
}

fn origin() -> HttpOrigin {
    "https://media.beta.test".parse().unwrap()
}

const CAT: &str = "https://media.beta.test/media/cat.png";
