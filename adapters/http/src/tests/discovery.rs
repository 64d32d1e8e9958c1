//! Finding services (08, "Discovery"; 10, T6 and T28).

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::{
    Router,
    response::Redirect,
    routing::{get, post},
};
use futures::future::join_all;
use http::StatusCode;
use phoenix_core::{
    api::ServiceName,
    port::{Transport, TransportError},
};
use serde_json::json;

use super::{Authority, Echo, Running, alpha, echo_server, send};
use crate::{HttpTransport, RouterOptions, ServerLimits, router::routes, transport::Everywhere};

#[tokio::test]
async fn one_look_up_serves_all_who_ask() {
    let looked = Looked::default();
    let (_running, transport) = looked.server(|| document("alpha.test"));

    let alpha = alpha();
    let answers = join_all((0..10).map(|_| transport.fetch(&alpha, ServiceName::As))).await;

    assert!(answers.into_iter().all(|answer| answer.is_ok()));
    assert_eq!(looked.times(), 1);
}

#[tokio::test]
async fn without_a_document_the_services_are_below_the_domain() {
    let authority = Authority::new();
    let host = async |uri: http::Uri| uri.host().unwrap_or_default().to_owned();
    let running = Running::start(&authority, Router::new().route("/.well-known/phoenix/qs-keys", get(host)));
    let transport = running.transport(&authority);

    assert_eq!(transport.fetch(&alpha(), ServiceName::Qs).await.unwrap(), "qs.alpha.test");
}

#[tokio::test]
async fn t6_failures_are_remembered() {
    for (status, error) in [
        (StatusCode::INTERNAL_SERVER_ERROR, TransportError::Unreachable),
        (StatusCode::FORBIDDEN, TransportError::Refused),
    ] {
        let looked = Looked::default();
        let (_running, transport) = looked.server(move || (status, String::new()));

        for _ in 0..5 {
            assert_eq!(transport.fetch(&alpha(), ServiceName::As).await, Err(error));
        }
        assert_eq!(looked.times(), 1);
    }
}

#[tokio::test]
async fn t6_a_redirect_is_not_followed() {
    let authority = Authority::new();
    let (found, elsewhere) = (Looked::default(), Looked::default());
    let (counted, reached) = (found.clone(), elsewhere.clone());
    let away = async || Redirect::temporary("/elsewhere");
    let discovery = async move || {
        counted.count();
        document("alpha.test").1
    };
    let router = Router::new()
        .route("/.well-known/phoenix", get(discovery))
        .route("/.well-known/phoenix/as-keys", get(away))
        .route("/v1/ds/echo", post(away))
        .route("/elsewhere", get(async move || reached.count()));
    let running = Running::start(&authority, router);
    let transport = running.transport(&authority);

    assert_eq!(send(&transport, "echo", "").await, Err(TransportError::Refused));
    assert_eq!(transport.fetch(&alpha(), ServiceName::As).await, Err(TransportError::Refused));
    assert_eq!((found.times(), elsewhere.times()), (1, 0));
}

#[tokio::test]
async fn t6_a_redirect_of_the_discovery_itself_is_not_followed() {
    let authority = Authority::new();
    let away = async || Redirect::permanent("https://alpha.test/elsewhere");
    let elsewhere = async || document("alpha.test").1;
    let router = Router::new().route("/.well-known/phoenix", get(away)).route("/elsewhere", get(elsewhere));
    let running = Running::start(&authority, router);

    let answer = running.transport(&authority).fetch(&alpha(), ServiceName::As).await;

    assert_eq!(answer, Err(TransportError::Refused));
}

#[tokio::test]
async fn the_document_of_another_domain_is_refused() {
    let looked = Looked::default();
    let (_running, transport) = looked.server(|| document("beta.test"));

    assert_eq!(send(&transport, "echo", "").await, Err(TransportError::Refused));
}

#[tokio::test]
async fn t28_private_addresses_are_refused_without_an_override() {
    let authority = Authority::new();
    let running = Running::start(&authority, routes(Echo::new(), RouterOptions::default()));
    let builder = || HttpTransport::builder().authorities(authority.pem());

    let answer =
        send(&builder().names(Everywhere(vec![running.address.ip()])).build().unwrap(), "echo", "").await;

    assert_eq!(answer, Err(TransportError::Refused));
    let answer = send(&builder().resolve(alpha(), running.address).build().unwrap(), "echo", "").await;
    assert!(matches!(answer, Ok(Ok(_))));
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_is_refused() {
    let (running, _) = echo_server(&Echo::new(), RouterOptions::default());

    for transport in [running.transport(&Authority::new()), web(&running)] {
        assert_eq!(send(&transport, "echo", "").await, Err(TransportError::Refused));
    }
}

#[tokio::test]
async fn a_certificate_of_another_name_is_refused() {
    let authority = Authority::new();
    let running = Running::start(&authority, routes(Echo::new(), RouterOptions::default()));
    let beta = "beta.test".parse().unwrap();
    let transport = HttpTransport::builder().authorities(authority.pem());
    let transport = transport.resolve("beta.test".parse().unwrap(), running.address).build().unwrap();

    assert_eq!(transport.fetch(&beta, ServiceName::As).await, Err(TransportError::Refused));
}

#[tokio::test]
async fn t22_when_a_cut_wire_is_mended_the_next_call_arrives() {
    let authority = Authority::new();
    let router = routes(Echo::new(), RouterOptions::default());
    let running = Running::start(&authority, router.clone());
    let transport = running.transport(&authority);
    assert!(matches!(send(&transport, "echo", "").await, Ok(Ok(_))));

    let address = running.stop().await;
    for _ in 0..3 {
        assert_eq!(send(&transport, "echo", "").await, Err(TransportError::Unreachable));
    }
    let _mended = Running::start_at(address, &authority, router, ServerLimits::default());

    assert!(matches!(send(&transport, "echo", "").await, Ok(Ok(_))));
}

fn web(running: &Running) -> HttpTransport {
    HttpTransport::builder().resolve(alpha(), running.address).build().unwrap()
}

fn document(domain: &str) -> (StatusCode, String) {
    let json = json!({
        "domain": domain, "versions": [1], "as": "alpha.test", "ds": "alpha.test", "qs": "alpha.test", "max_age_s": 60,
    });
    (StatusCode::OK, json.to_string())
}

/// Counts how often something was asked for.
#[derive(Clone, Default)]
struct Looked(Arc<AtomicUsize>);

impl Looked {
    fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn times(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// A server whose discovery answers so, and a transport that reaches it.
    fn server(
        &self,
        answer: impl Fn() -> (StatusCode, String) + Clone + Send + Sync + 'static,
    ) -> (Running, HttpTransport) {
        let (authority, looked) = (Authority::new(), self.clone());
        let discovery = async move || {
            looked.count();
            answer()
        };
        let keys = get(async || "{}");
        let router = Router::new()
            .route("/.well-known/phoenix", get(discovery))
            .route("/.well-known/phoenix/as-keys", keys);
        let running = Running::start(&authority, router);
        let transport = running.transport(&authority);
        (running, transport)
    }
}
