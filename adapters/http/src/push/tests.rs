//! Pushes against a push service on this machine that checks who vouches, and opens what it is sent.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

use std::{
    pin::pin,
    sync::{Arc, Mutex},
};

use axum::{Router, body::Bytes, extract::Path, response::Response, routing::post};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use futures::future::{Either, join_all, select};
use http::{HeaderMap, StatusCode, header::AUTHORIZATION};
use p256::{
    SecretKey,
    ecdsa::{Signature, VerifyingKey, signature::Verifier},
};
use phoenix_core::{
    Fqdn,
    api::queue::{PushToken, WebPushSubscription},
    port::{Clock, Push, PushNotice, Urgency},
    wire::{Secret, SecretOpaque},
};
use phoenix_homeserver::SystemClock;
use tokio::net::TcpListener;

use super::{Address, NotPushed, VapidError, VapidKey, WebPush, encryption::tests as reading};
use crate::{
    HttpTransport, HttpTransportBuilder, ServerLimits,
    tests::{Authority, Running},
    transport::{Everywhere, networks::Network},
};

#[tokio::test]
async fn a_push_vouches_for_its_homeserver_and_says_nothing() {
    let service = Service::start(StatusCode::CREATED);
    let push = service.web_push();

    for (urgency, name) in [(Urgency::Normal, "normal"), (Urgency::High, "high")] {
        push.push(&notice("https://alpha.test/push/1", urgency)).await;

        let Taken { to, headers, body } = service.taken().remove(0);
        assert_eq!(
            (to.as_str(), &headers["urgency"], &headers["ttl"]),
            ("1", &name.parse().unwrap(), &"86400".parse().unwrap())
        );
        assert_eq!(&headers["content-encoding"], "aes128gcm");
        assert_eq!(&headers["topic"], "phoenix");
        assert_eq!(opened(&body), b"");
        let claims = vouched(&headers, &service.key);
        assert_eq!(
            (claims["aud"].as_str(), claims["sub"].as_str()),
            (Some("https://alpha.test"), Some(CONTACT))
        );
        let left = claims["exp"].as_u64().unwrap() - SystemClock.now().as_secs();
        assert!(left <= 24 * 3_600, "RFC 8292 §2 allows a day");
    }
}

#[tokio::test]
async fn a_subscription_that_is_gone_is_not_pushed_to_again() {
    for status in [StatusCode::NOT_FOUND, StatusCode::GONE] {
        let service = Service::start(status);
        let push = service.web_push();

        for _ in 0..2 {
            push.push(&notice("https://alpha.test/push/1", Urgency::Normal)).await;
        }
        push.push(&notice("https://alpha.test/push/2", Urgency::Normal)).await;

        let to: Vec<_> = service.taken().into_iter().map(|it| it.to).collect();
        assert_eq!(to, ["1", "2"]);
    }
}

#[tokio::test]
async fn a_service_that_has_enough_is_left_alone_and_a_subscription_that_has_costs_no_other() {
    for (status, taken) in
        [(StatusCode::SERVICE_UNAVAILABLE, vec!["1"]), (StatusCode::TOO_MANY_REQUESTS, vec!["1", "2"])]
    {
        let service = Service::start(status);
        let push = service.web_push();

        for name in ["1", "1", "2"] {
            push.push(&notice(&format!("https://alpha.test/push/{name}"), Urgency::Normal)).await;
        }

        let to: Vec<_> = service.taken().into_iter().map(|it| it.to).collect();
        assert_eq!(to, taken, "{status}");
    }
}

#[tokio::test]
async fn a_push_goes_into_the_next_network_where_nobody_is_in_the_first() {
    let service = Service::start(StatusCode::CREATED);
    let push = service.web_push();
    let [elsewhere, there] =
        ["2606:4700:1::1".parse().unwrap(), service.running.address().ip()].map(Network::of);
    let address = Address::parse(b"https://alpha.test/push/1").unwrap();
    let (to, urgency) = (subscription("https://alpha.test/push/1"), Urgency::Normal);
    let sent = async |networks: &[Network]| {
        push.0.send(networks, &address, (&to, urgency)).await.map(|answer| answer.status)
    };

    assert_eq!(sent(&[elsewhere]).await, Err(NotPushed::Unanswered));
    assert_eq!(sent(&[elsewhere, there]).await, Ok(StatusCode::CREATED));
    assert_eq!(sent(&[there, elsewhere]).await, Ok(StatusCode::CREATED));
    assert_eq!(service.taken().len(), 2);
}

#[tokio::test]
async fn t28_pushes_go_to_public_addresses_only() {
    // given names that lead inside, as anybody can make them
    let service = Service::start(StatusCode::CREATED);
    for address in ["127.0.0.1", "10.0.0.1", "::1", "169.254.169.254"] {
        let transport = HttpTransport::builder()
            .authorities(service.authority.pem())
            .names(Everywhere(vec![address.parse().unwrap()]))
            .build()
            .unwrap();
        let push = WebPush::new(&transport, VapidKey::generate().unwrap(), CONTACT).unwrap();

        // when a client has them pushed to, then nothing is sent
        let outcome = push.0.push(&subscription("https://alpha.test/push/1"), Urgency::Normal).await;
        assert_eq!(outcome, Err(NotPushed::Refused), "{address}");
    }
    assert!(service.taken().is_empty());
}

#[test]
fn t28_what_is_no_address_of_a_push_service_is_not_pushed_to() {
    for address in [
        "http://alpha.test/push/1",
        "https://127.0.0.1/push/1",
        "https://[::1]/push/1",
        "https://0x7f.1/",
        "https://2130706433/",
        "https://localhost/push/1",
        "https://alpha.test:8443/push/1",
        "https://alpha.test:22/",
        "https://user@alpha.test/push/1",
        "https://user:password@alpha.test/push/1",
        "file:///etc/passwd",
        "mailto:someone@alpha.test",
        "push/1",
        "",
    ] {
        assert_eq!(Address::parse(address.as_bytes()).err(), Some(NotPushed::Address), "{address}");
    }
    assert_eq!(Address::parse(b"\xff").err(), Some(NotPushed::Address));
    for address in ["https://alpha.test/push/1", "https://alpha.test:443/push?a=b#c", "https://ALPHA.test"] {
        assert_eq!(Address::parse(address.as_bytes()).unwrap().origin, "https://alpha.test");
    }
}

#[tokio::test]
async fn t28_where_peers_are_is_not_where_pushes_go() {
    // given a peer that the operator reaches at an inner address
    let service = Service::start(StatusCode::CREATED);
    let transport = HttpTransport::builder()
        .authorities(service.authority.pem())
        .resolve("alpha.test".parse().unwrap(), service.running.address())
        .names(Everywhere(vec!["10.0.0.1".parse().unwrap()]))
        .build()
        .unwrap();
    let push = WebPush::new(&transport, VapidKey::generate().unwrap(), CONTACT).unwrap();

    // when a client names it as its push service, then nothing is sent there
    for host in ["alpha.test", "push.alpha.test"] {
        let outcome = push.0.push(&subscription(&format!("https://{host}/push/1")), Urgency::Normal).await;
        assert_eq!(outcome, Err(NotPushed::Refused));
    }
    assert!(service.taken().is_empty());
}

#[tokio::test]
async fn t20_one_owner_of_many_names_keeps_nobody_from_being_pushed_to() {
    // given services with a name each that take connections and say nothing, all of one owner
    let tarpit = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tarpit.local_addr().unwrap();
    let service = Service::start(StatusCode::CREATED);
    let names: Vec<Fqdn> = (0..100).map(|number| format!("z{number}.test").parse().unwrap()).collect();
    let transport = names
        .iter()
        .fold(HttpTransport::builder(), |transport, name| transport.push_service(name.clone(), address));
    let push = service.pushing(transport);

    // when more is pushed to them than can be under way
    let to_them = names.iter().map(|name| {
        let to = subscription(&format!("https://push.{name}/1"));
        let push = &push;
        async move { push.0.push(&to, Urgency::Normal).await }
    });
    let mut to_them = join_all(to_them);
    let mut held = Vec::new();
    let fill = async {
        while held.len() < 16 {
            held.push(tarpit.accept().await.unwrap());
        }
    };
    assert!(matches!(select(&mut to_them, pin!(fill)).await, Either::Right(_)), "none of them has ended");

    // then others are pushed to meanwhile
    let to_us = subscription("https://alpha.test/push/1");
    let mut to_us = pin!(push.0.push(&to_us, Urgency::Normal));
    let Either::Right((outcome, _)) = select(&mut to_them, &mut to_us).await else {
        panic!("they have ended")
    };
    assert_eq!(outcome, Ok(()));
    assert_eq!(service.taken().len(), 1);
}

#[tokio::test]
async fn t28_a_redirect_is_not_followed() {
    let service = Service::start(StatusCode::TEMPORARY_REDIRECT);
    let push = service.web_push();

    let outcome = push.0.push(&subscription("https://alpha.test/push/1"), Urgency::Normal).await;

    assert_eq!(outcome, Err(NotPushed::Status(307)));
    assert_eq!(service.taken().len(), 1);
}

#[tokio::test]
async fn t20_an_answer_without_end_is_not_read() {
    let service = Service::start(StatusCode::OK);
    let push = service.web_push();

    let outcome = push.0.push(&subscription("https://alpha.test/push/long"), Urgency::Normal).await;

    assert_eq!(outcome, Err(NotPushed::Refused));
}

#[tokio::test]
async fn a_key_that_is_none_is_pushed_to_nowhere() {
    let service = Service::start(StatusCode::CREATED);
    let broken = WebPushSubscription { key: [4; 65], ..subscription("https://alpha.test/push/1") };

    let outcome = service.web_push().0.push(&broken, Urgency::Normal).await;

    assert_eq!(outcome, Err(NotPushed::Keys));
    assert!(service.taken().is_empty());
}

#[test]
fn a_kept_key_is_the_same_and_what_is_no_key_is_refused() {
    let key = VapidKey::generate().unwrap();
    let again = VapidKey::from_secret_bytes(&key.to_secret_bytes()).unwrap();

    assert_eq!(key.public_key(), again.public_key());
    assert_eq!(URL_SAFE_NO_PAD.decode(key.public_key()).unwrap().len(), 65);
    assert_eq!(VapidKey::from_secret_bytes(&Secret::new([0; 32])).err(), Some(VapidError::Key));
    let transport = HttpTransport::new().unwrap();
    assert_eq!(WebPush::new(&transport, key, "someone").err(), Some(VapidError::Contact));
}

/// A push service, and the homeserver's key that its subscribers know.
pub(crate) struct Service {
    authority: Authority,
    running: Running,
    taken: Arc<Mutex<Vec<Taken>>>,
    pub(crate) key: VapidKey,
}

/// What a push service was sent.
pub(crate) struct Taken {
    pub(crate) to: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Service {
    /// One that answers so.
    pub(crate) fn start(status: StatusCode) -> Self {
        let (authority, taken) = (Authority::new(), Arc::<Mutex<Vec<Taken>>>::default());
        let kept = taken.clone();
        let take = move |Path(to): Path<String>, headers: HeaderMap, body: Bytes| async move {
            let length = if to == "long" { 20 << 10 } else { 0 };
            kept.lock().unwrap().push(Taken { to, headers, body });
            let answer = Response::builder().status(status).header("retry-after", "120");
            answer
                .header("location", "/push/elsewhere")
                .body(axum::body::Body::from(vec![b'x'; length]))
                .unwrap()
        };
        // Not where the tarpit is.
        let address = "127.0.1.1:0".parse().unwrap();
        let router = Router::new().route("/push/{to}", post(take));
        let running = Running::start_at(address, &authority, router, ServerLimits::default());
        Self { authority, running, taken, key: VapidKey::generate().unwrap() }
    }

    pub(crate) fn web_push(&self) -> WebPush {
        self.pushing(HttpTransport::builder())
    }

    /// Pushes that reach this service, and what the transport reaches besides.
    fn pushing(&self, transport: HttpTransportBuilder) -> WebPush {
        let transport = transport.authorities(self.authority.pem());
        let transport = transport.push_service("alpha.test".parse().unwrap(), self.running.address());
        let key = VapidKey::from_secret_bytes(&self.key.to_secret_bytes()).unwrap();
        WebPush::new(&transport.build().unwrap(), key, CONTACT).unwrap()
    }

    pub(crate) fn taken(&self) -> Vec<Taken> {
        std::mem::take(&mut self.taken.lock().unwrap())
    }
}

/// The claims of who vouches, after the signature was checked with the key that subscribers know.
pub(crate) fn vouched(headers: &HeaderMap, key: &VapidKey) -> serde_json::Value {
    let value = headers[AUTHORIZATION].to_str().unwrap();
    let (token, public) = value.strip_prefix("vapid t=").unwrap().split_once(", k=").unwrap();
    assert_eq!(public, key.public_key());
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let point = URL_SAFE_NO_PAD.decode(public).unwrap();
    let signature = Signature::from_slice(&URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
    VerifyingKey::from_sec1_bytes(&point).unwrap().verify(signed.as_bytes(), &signature).unwrap();
    let (header, claims) = signed.split_once('.').unwrap();
    let header: serde_json::Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap();
    assert_eq!(header["alg"], "ES256");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap()
}

fn notice(endpoint: &str, urgency: Urgency) -> PushNotice {
    PushNotice { token: PushToken::WebPush(subscription(endpoint)), urgency }
}

pub(crate) fn subscription(endpoint: &str) -> WebPushSubscription {
    let endpoint = SecretOpaque::new(endpoint.as_bytes()).unwrap();
    WebPushSubscription { endpoint, key: reading::public(&subscriber()), auth: AUTH.clone() }
}

/// What the subscriber finds in the body of a push.
pub(crate) fn opened(body: &[u8]) -> Vec<u8> {
    reading::open(&subscriber(), &AUTH, body)
}

fn subscriber() -> SecretKey {
    SecretKey::from_slice(&[3; 32]).unwrap()
}

static AUTH: Secret<16> = Secret::new([5; 16]);
const CONTACT: &str = "mailto:operator@alpha.test";
