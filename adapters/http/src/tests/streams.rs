//! Queue streams over sockets of this machine (06, "Wake-ups").

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{StatusCode, header::CONTENT_TYPE};
use phoenix_core::{
    ErrorCode,
    api::{
        Endpoint,
        queue::Dequeue,
        stream::{StreamAck, StreamMessage},
    },
    port::{StreamTransport, Streaming, TransportError},
    wire::Wire,
};
use tokio::time::{Instant, sleep, timeout};

use super::{
    Authority, Running, alpha,
    queue_home::{QueueClient, QueueHome},
};
use crate::{HttpTransport, MEDIA_TYPE, RouterOptions, ServerLimits, router::routes};

#[tokio::test]
async fn entries_arrive_and_go_once_they_are_acknowledged() {
    // given a client with an open stream
    let site = Site::new().await;
    let mut client = QueueClient::at(&site.home).await;
    let mut stream = site.open(&client, 0, 0).await;
    assert_eq!(client.hear(&mut stream).await, Heard::Entries(vec![]));
    let rows = site.home.rows();

    for text in ["one", "two"] {
        // when something is delivered, then it arrives
        site.home.deliver(&client.config, text).await;
        assert_eq!(client.hear(&mut stream).await, entries(&[text]));
    }
    assert_eq!(site.home.rows(), rows + 2);

    // and goes when it is acknowledged
    acknowledge(&mut stream, 3).await;
    until(|| site.home.rows() == rows - 1).await;
}

#[tokio::test]
async fn a_stream_is_resumed_after_a_cut() {
    let site = Site::new().await;
    let mut client = QueueClient::at(&site.home).await;
    let mut stream = site.open(&client, 0, 0).await;
    client.hear(&mut stream).await;
    site.home.deliver(&client.config, "one").await;
    assert_eq!(client.hear(&mut stream).await, entries(&["one"]));
    drop(stream);
    site.home.deliver(&client.config, "two").await;

    // whoever comes again before it acknowledged gets again what it asks for
    let mut stream = site.open(&client, client.ratchet.next_seq(), 1).await;

    assert_eq!(client.hear(&mut stream).await, entries(&["two"]));
    until(|| site.home.engine.shared().open_streams() == 1).await;
}

#[tokio::test]
async fn a_stream_is_resumed_where_its_homeserver_has_restarted() {
    // given a stream
    let mut site = Site::new().await;
    let mut client = QueueClient::at(&site.home).await;
    let mut stream = site.open(&client, 0, 0).await;
    client.hear(&mut stream).await;

    // when its homeserver ends and another takes its place
    site.home.engine.shared().end_streams();
    assert!(matches!(client.hear(&mut stream).await, Heard::Reconnect(_)));
    assert_eq!(client.hear(&mut stream).await, Heard::End);
    let parts = site.home.parts();
    let address = site.running.stop().await;
    assert_eq!(site.transport.open(&alpha(), client.outgoing(1, 1)).await.err(), Some(UNREACHABLE));
    site.home = QueueHome::again(parts);
    let routes = routes(site.home.clone(), RouterOptions::default());
    site.running = Running::start_at(address, &site.authority, routes, ServerLimits::default());
    site.home.deliver(&client.config, "one").await;

    // then the stream goes on there
    let mut stream = site.open(&client, client.ratchet.next_seq(), 1).await;
    assert_eq!(client.hear(&mut stream).await, entries(&["one"]));
}

#[tokio::test]
async fn a_second_stream_closes_the_first() {
    let site = Site::new().await;
    let mut client = QueueClient::at(&site.home).await;
    let mut first = site.open(&client, 0, 0).await;
    client.hear(&mut first).await;

    let mut second = site.open(&client, 1, 0).await;

    assert_eq!(client.hear(&mut first).await, Heard::Refused(ErrorCode::Conflict));
    assert_eq!(client.hear(&mut first).await, Heard::End);
    site.home.deliver(&client.config, "one").await;
    assert_eq!(client.hear(&mut second).await, entries(&["one"]));
}

#[tokio::test]
async fn a_homeserver_that_drains_asks_to_reconnect_and_waits_until_that_is_said() {
    let site = Site::new().await;
    let mut client = QueueClient::at(&site.home).await;
    let mut stream = site.open(&client, 0, 0).await;
    client.hear(&mut stream).await;

    site.home.engine.shared().end_streams();

    let Heard::Reconnect(delay) = client.hear(&mut stream).await else { panic!("it is asked to") };
    assert!(delay < 30_000);
    assert_eq!(client.hear(&mut stream).await, Heard::End);
    until(|| site.home.engine.shared().open_streams() == 0).await;
    let mut late = site.open(&client, 0, 0).await;
    assert_eq!(client.hear(&mut late).await, Heard::Refused(ErrorCode::Unavailable));
}

#[tokio::test]
async fn calls_that_are_not_its_clients_open_no_stream() {
    let site = Site::new().await;
    let mut client = QueueClient::at(&site.home).await;
    // one that opened a stream already,
    let call = client.outgoing(0, 0);
    let mut stream = site.transport.open(&alpha(), call.clone()).await.unwrap();
    client.hear(&mut stream).await;
    // one that was altered, and one for another endpoint
    let mut altered = client.outgoing(0, 0);
    altered.call.body = client.outgoing(1, 0).call.body;
    let mut other = client.outgoing(0, 0);
    other.call.endpoint = Dequeue::DESCRIPTION.id;

    for (call, code) in [
        (call, ErrorCode::Unauthenticated),
        (altered, ErrorCode::Unauthenticated),
        (other, ErrorCode::Malformed),
        (client.outgoing(1, 2), ErrorCode::Malformed),
    ] {
        let mut refused = site.transport.open(&alpha(), call).await.unwrap();
        assert_eq!(client.hear(&mut refused).await, Heard::Refused(code));
        assert_eq!(client.hear(&mut refused).await, Heard::End);
    }
    site.home.deliver(&client.config, "one").await;
    assert_eq!(client.hear(&mut stream).await, entries(&["one"]));
}

#[tokio::test]
async fn only_streams_are_opened_and_they_are_not_called() {
    let site = Site::new().await;
    let client = QueueClient::at(&site.home).await;
    let mut outgoing = client.outgoing(0, 0);
    outgoing.name = Dequeue::DESCRIPTION.name;

    assert_eq!(site.transport.open(&alpha(), outgoing).await.err(), Some(TransportError::Refused));
    let http = reqwest::Client::builder()
        .tls_backend_preconfigured(
            crate::tls::client(crate::tls::own_roots(site.authority.pem().as_bytes()).unwrap()).unwrap(),
        )
        .no_proxy()
        .resolve("alpha.test", site.running.address)
        .build()
        .unwrap();
    let url = format!("https://alpha.test:{}/v1/qs/stream", site.running.address.port());
    let posted = http.post(&url).header(CONTENT_TYPE, MEDIA_TYPE).body(client.call(0, 0).encode());
    assert_eq!(posted.send().await.unwrap().status(), StatusCode::NOT_FOUND);
    assert_eq!(http.get(&url).send().await.unwrap().status(), StatusCode::BAD_REQUEST);
}

/// A QS on a port of this machine, and a transport that reaches it.
pub(super) struct Site {
    pub(super) home: Arc<QueueHome>,
    pub(super) authority: Authority,
    pub(super) running: Running,
    pub(super) transport: HttpTransport,
}

impl Site {
    async fn new() -> Self {
        Self::with(RouterOptions::default()).await
    }

    pub(super) async fn with(options: RouterOptions) -> Self {
        Self::limited(options, ServerLimits::default()).await
    }

    pub(super) async fn limited(options: RouterOptions, limits: ServerLimits) -> Self {
        let (home, authority) = (QueueHome::new(), Authority::new());
        let (address, routes) = ("127.0.0.1:0".parse().unwrap(), routes(home.clone(), options));
        let running = Running::start_at(address, &authority, routes, limits);
        let transport = running.transport(&authority);
        Self { home, authority, running, transport }
    }

    pub(super) async fn open(&self, client: &QueueClient, from: u64, ack_below: u64) -> Box<dyn Streaming> {
        self.transport.open(&alpha(), client.outgoing(from, ack_below)).await.unwrap()
    }
}

/// What a client heard.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Entries(Vec<Bytes>),
    Refused(ErrorCode),
    Reconnect(u32),
    End,
}

impl QueueClient {
    pub(super) async fn hear(&mut self, stream: &mut Box<dyn Streaming>) -> Heard {
        let message = timeout(Duration::from_secs(10), stream.receive()).await.unwrap();
        let Some(message) = message else { return Heard::End };
        match StreamMessage::decode(&message).unwrap() {
            StreamMessage::Entries(found) => Heard::Entries(QueueClient::open(self, &found.entries)),
            StreamMessage::Refused(error) => Heard::Refused(error.code),
            StreamMessage::Reconnect(delay) => Heard::Reconnect(delay),
            StreamMessage::Ephemeral(_) => panic!("nobody sent any"),
        }
    }
}

pub(super) fn entries(texts: &[&'static str]) -> Heard {
    Heard::Entries(texts.iter().map(|text| Bytes::from_static(text.as_bytes())).collect())
}

async fn acknowledge(stream: &mut Box<dyn Streaming>, ack_below: u64) {
    stream.send(StreamAck { ack_below }.encode()).await.unwrap();
}

/// Waits until something is so, some seconds at most.
pub(super) async fn until(is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(10), "it never is");
        sleep(Duration::from_millis(5)).await;
    }
}

const UNREACHABLE: TransportError = TransportError::Unreachable;
