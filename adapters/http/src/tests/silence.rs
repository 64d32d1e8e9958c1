//! Connections on which nothing goes on (02, "HTTP binding"; 10, T20).

use std::{sync::Arc, time::Duration};

use http::{StatusCode, header::CONTENT_TYPE};
use phoenix_core::wire::Wire;
use rustls::{ClientConfig, crypto::ring, pki_types::ServerName, version};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{Authority, Echo, Running, call, echo_server, send};
use crate::{MEDIA_TYPE, RouterOptions, ServerLimits, router::routes, tls::own_roots};

const SOON: Duration = Duration::from_millis(100);
const NEVER: Duration = Duration::from_secs(600);

#[tokio::test]
async fn t20_who_says_nothing_after_the_handshake_is_cut_off() {
    let (authority, limits) =
        (Authority::new(), ServerLimits { header_time: SOON, ..ServerLimits::default() });
    let running = start(&authority, limits);

    for protocol in [&b"http/1.1"[..], b"h2", b""] {
        let stream = handshake(&authority, &running, protocol).await;

        assert!(closed(stream).await, "{protocol:?}");
    }
}

#[tokio::test]
async fn t20_who_says_nothing_after_a_request_is_cut_off() {
    let (authority, limits) =
        (Authority::new(), ServerLimits { idle_time: SOON, header_time: NEVER, ..Default::default() });
    let running = start(&authority, limits);
    let mut http1 = handshake(&authority, &running, b"http/1.1").await;
    http1.write_all(b"GET /nowhere HTTP/1.1\r\nhost: alpha.test\r\n\r\n").await.unwrap();
    // The preface, empty settings, and GET https://alpha.test/ with the headers of RFC 7541's static table.
    let mut http2 = handshake(&authority, &running, b"h2").await;
    let request =
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x03\x01\x05\0\0\0\x01\x82\x84\x87";
    http2.write_all(request).await.unwrap();

    assert!(closed(http1).await);
    assert!(closed(http2).await);
}

#[tokio::test]
async fn a_long_poll_is_not_silence() {
    let (authority, echo) = (Authority::new(), Echo::new());
    let limits =
        ServerLimits { idle_time: SOON, header_time: SOON, write_time: SOON, ..ServerLimits::default() };
    let routes = routes(echo.clone(), RouterOptions::default());
    let running = Running::start_at("127.0.0.1:0".parse().unwrap(), &authority, routes, limits);
    let transport = running.transport(&authority);

    let release = async {
        sleep(5 * SOON).await;
        echo.release.add_permits(1);
    };
    let (answer, ()) = tokio::join!(send(&transport, "slow", ""), release);

    assert!(answer.unwrap().is_ok());
}

#[tokio::test]
async fn t20_who_does_not_take_a_reply_is_cut_off() {
    let (authority, limits) =
        (Authority::new(), ServerLimits { write_time: SOON, ..ServerLimits::default() });
    let running = start(&authority, limits);

    for protocol in ["http/1.1", "h2"] {
        // One who reads gets all of it, and one who stops does not.
        let reply = long_reply(&authority, &running, protocol).await;
        assert_eq!(reply.bytes().await.unwrap().len(), LENGTH);
        if protocol == "h2" {
            let reply = long_reply(&authority, &running, protocol).await;
            sleep(10 * SOON).await;
            assert!(reply.bytes().await.is_err());
        }
    }
}

#[tokio::test]
async fn t20_a_reply_holds_its_memory_until_it_is_sent() {
    let authority = Authority::new();
    let options = RouterOptions { memory: 400 << 10, ..RouterOptions::default() };
    let router = routes(Echo::new(), options);
    let limits = ServerLimits { write_time: NEVER, ..ServerLimits::default() };
    let running = Running::start_at("127.0.0.1:0".parse().unwrap(), &authority, router, limits);

    let stuck = long_reply(&authority, &running, "h2").await;
    let other = post(&authority, &running, "h2").await;
    assert_eq!(other.status(), StatusCode::SERVICE_UNAVAILABLE);
    drop(stuck);

    let begun = std::time::Instant::now();
    while post(&authority, &running, "h2").await.status() != StatusCode::OK {
        assert!(begun.elapsed() < Duration::from_secs(5), "it is given back");
    }
}

#[tokio::test]
async fn t20_one_source_leaves_memory_to_the_others() {
    let echo = Echo::new();
    let options = RouterOptions { memory_per_source: 8 << 10, ..RouterOptions::default() };
    let (_running, transport) = echo_server(&echo, options);

    assert!(send(&transport, "echo", vec![0; 10 << 10]).await.unwrap().is_err());
    assert!(send(&transport, "echo", vec![0; 6 << 10]).await.unwrap().is_ok());
}

fn start(authority: &Authority, limits: ServerLimits) -> Running {
    let router = routes(Echo::new(), RouterOptions::default());
    Running::start_at("127.0.0.1:0".parse().unwrap(), authority, router, limits)
}

fn config(authority: &Authority, protocol: &[u8]) -> ClientConfig {
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&version::TLS13])
        .unwrap()
        .with_root_certificates(own_roots(authority.pem().as_bytes()).unwrap())
        .with_no_client_auth();
    config.alpn_protocols = if protocol.is_empty() { Vec::new() } else { vec![protocol.to_vec()] };
    config
}

async fn handshake(authority: &Authority, running: &Running, protocol: &[u8]) -> TlsStream<TcpStream> {
    let stream = TcpStream::connect(running.address).await.unwrap();
    let connector = TlsConnector::from(Arc::new(config(authority, protocol)));
    connector.connect(ServerName::try_from("alpha.test").unwrap(), stream).await.unwrap()
}

/// Whether the other side closes within a few seconds, whatever it says before.
async fn closed(mut stream: TlsStream<TcpStream>) -> bool {
    let read = async {
        let mut buffer = [0; 1 << 10];
        while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
    };
    timeout(Duration::from_secs(4), read).await.is_ok()
}

/// The head of a reply that is longer than its reader's window.
async fn long_reply(authority: &Authority, running: &Running, protocol: &str) -> reqwest::Response {
    let reply = post(authority, running, protocol).await;
    assert_eq!(reply.status(), StatusCode::OK);
    reply
}

/// Calls with as much as comes back, over a connection of its own.
async fn post(authority: &Authority, running: &Running, protocol: &str) -> reqwest::Response {
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(config(authority, protocol.as_bytes()))
        .no_proxy()
        .http2_initial_stream_window_size(WINDOW)
        .http2_initial_connection_window_size(WINDOW)
        .resolve("alpha.test", running.address)
        .build()
        .unwrap();
    let url = format!("https://alpha.test:{}/v1/ds/echo", running.address.port());
    let body = call("echo", vec![0; LENGTH]).encode();
    client.post(url).header(CONTENT_TYPE, MEDIA_TYPE).body(body).send().await.unwrap()
}

const LENGTH: usize = 250 << 10;
const WINDOW: u32 = 65_535;
