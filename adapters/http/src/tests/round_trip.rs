//! What is sent arrives, and what is answered comes back.

use axum::{
    Router,
    extract::ConnectInfo,
    routing::{get, post},
};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use phoenix_core::{
    ErrorCode, ErrorReply,
    api::ServiceName,
    port::{Circuit, Transport, TransportError},
    published::max_document,
    wire::{Opaque, Wire},
};
use std::net::SocketAddr;

use super::{Authority, Echo, Running, alpha, echo_server, outgoing, send, token};
use crate::{MEDIA_TYPE, RouterOptions};

#[tokio::test]
async fn a_call_and_its_reply_make_the_round_trip() {
    let echo = Echo::new();
    let (_running, transport) = echo_server(&echo, RouterOptions::default());

    let answer = send(&transport, "echo", "hello").await;

    assert_eq!(answer, Ok(Ok(Bytes::from_static(b"hello"))));
    assert_eq!(echo.last().1.address, Some("127.0.0.1".parse().unwrap()));
}

#[tokio::test]
async fn the_largest_body_of_an_endpoint_makes_the_round_trip() {
    let (_running, transport) = echo_server(&Echo::new(), RouterOptions::default());

    let answer = send(&transport, "echo", vec![7; 256 << 10]).await;

    assert_eq!(answer.unwrap().unwrap().len(), 256 << 10);
}

#[tokio::test]
async fn a_token_travels_in_the_header_and_arrives_in_the_call() {
    let echo = Echo::new();
    let (_running, transport) = echo_server(&echo, RouterOptions::default());

    let answer = transport.send(&alpha(), outgoing("paid", "hello", Some(token()))).await;

    assert!(matches!(answer, Ok(Ok(_))));
    assert_eq!(echo.last().0, Some(token()));
}

#[tokio::test]
async fn an_error_comes_back_whole() {
    let (_running, transport) = echo_server(&Echo::new(), RouterOptions::default());
    let detail = Opaque::new(vec![9; 64 << 10]).unwrap();
    let error = ErrorReply { code: ErrorCode::PendingProposals, retry_after_s: Some(3), detail };

    assert_eq!(send(&transport, "refuse", error.encode()).await, Ok(Err(error)));
}

#[tokio::test]
async fn published_documents_are_fetched() {
    let (_running, transport) = echo_server(&Echo::new(), RouterOptions::default());

    for service in ServiceName::ALL {
        let document = transport.fetch(&alpha(), service).await.unwrap();
        assert_eq!(document, format!("{{\"service\": \"{}\"}}", service.as_str()));
    }
}

#[tokio::test]
async fn published_documents_are_read_up_to_their_bound_and_no_further() {
    let authority = Authority::new();
    for service in ServiceName::ALL {
        for (more, is_read) in [(0, true), (1, false)] {
            let size = max_document(service) + more;
            let path = service.keys_path();
            let router = Router::new().route(&path, get(async move || vec![b' '; size]));
            let running = Running::start(&authority, router);

            let fetched = running.transport(&authority).fetch(&alpha(), service).await;

            let expected = if is_read { Ok(size) } else { Err(TransportError::Refused) };
            assert_eq!(fetched.map(|document| document.len()), expected, "{path}");
        }
    }
}

#[tokio::test]
async fn circuits_share_no_connection() {
    let authority = Authority::new();
    let peer = |ConnectInfo(peer): ConnectInfo<SocketAddr>| async move {
        ([(CONTENT_TYPE, MEDIA_TYPE)], peer.port().to_string())
    };
    let running = Running::start(&authority, Router::new().route("/v1/ds/echo", post(peer)));
    let transport = running.transport(&authority);
    let port = async |circuit| {
        let mut outgoing = outgoing("echo", "", None);
        outgoing.circuit = Circuit(circuit);
        transport.send(&alpha(), outgoing).await.unwrap().unwrap()
    };

    let ports = [port(1).await, port(2).await, port(1).await, port(2).await];

    assert_eq!((&ports[0], &ports[1]), (&ports[2], &ports[3]));
    assert_ne!(ports[0], ports[1]);
}

#[tokio::test]
async fn answers_that_are_not_the_protocols_are_no_replies() {
    let authority = Authority::new();
    let page = || async { ([(CONTENT_TYPE, "text/html")], "welcome") };
    let down = || async { http::StatusCode::BAD_GATEWAY };
    let large = || async { (http::StatusCode::PAYLOAD_TOO_LARGE, "too large") };
    let long = || async { ([(CONTENT_TYPE, MEDIA_TYPE)], vec![0_u8; (8 << 20) + 1]) };
    let router = Router::new()
        .route("/v1/ds/echo", post(page))
        .route("/v1/ds/paid", post(down))
        .route("/v1/ds/slow", post(long))
        .route("/v1/ds/refuse", post(large))
        .route("/.well-known/phoenix/as-keys", get(async || vec![0_u8; max_document(ServiceName::As) + 1]));
    let running = Running::start(&authority, router);
    let transport = running.transport(&authority);

    assert_eq!(send(&transport, "echo", "").await, Err(TransportError::Refused));
    assert_eq!(send(&transport, "paid", "").await, Err(TransportError::Unreachable));
    assert_eq!(send(&transport, "slow", "").await, Err(TransportError::Refused));
    let refused = send(&transport, "refuse", "").await.unwrap().unwrap_err();
    assert_eq!(refused.code, ErrorCode::TooLarge, "what stands before it may say that");
    assert_eq!(transport.fetch(&alpha(), ServiceName::As).await, Err(TransportError::Refused));
}
