//! What strangers and slow clients cannot use up by streams (10, T20).

use std::{sync::Arc, time::Duration};

use futures::{SinkExt, StreamExt};
use http::{Request, StatusCode, header::CONTENT_TYPE};
use phoenix_core::{
    ErrorCode,
    api::stream::{StreamAck, StreamMessage},
    port::{StreamTransport, TransportError},
    wire::Wire,
};
use rustls::pki_types::ServerName;
use tokio::{
    net::{TcpSocket, TcpStream},
    time::{Instant, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest},
};
use tower::ServiceExt;

use super::{
    alpha,
    queue_home::{QueueClient, QueueHome},
    streams::{Heard, Site, entries, until},
};
use crate::{MEDIA_TYPE, RouterOptions, ServerLimits, StreamTimes, router::routes, tls};

const SOON: Duration = Duration::from_millis(150);

#[tokio::test]
async fn t20_a_stream_that_begins_with_no_call_is_refused() {
    let site = Site::with(RouterOptions::default()).await;

    for (message, code) in [
        (Message::text("hello"), ErrorCode::Malformed),
        (Message::binary(&b"hello"[..]), ErrorCode::UnsupportedVersion),
        (Message::binary(&b"\0\x01hello"[..]), ErrorCode::Malformed),
        (Message::binary(vec![0; 20 << 10]), ErrorCode::TooLarge),
        (Message::binary(vec![0; 4 << 20]), ErrorCode::TooLarge),
    ] {
        let mut socket = web_socket(&site).await;
        // Of a long one, the server may not want to hear the end.
        let _ = socket.send(message).await;

        assert_eq!(last_word(&mut socket).await, Some(code));
    }
    assert_eq!(site.home.engine.shared().open_streams(), 0);
}

#[tokio::test]
async fn t20_who_opens_a_stream_and_calls_nothing_is_cut_off() {
    let site = Site::with(times(StreamTimes { call: SOON, ..StreamTimes::default() })).await;
    let mut socket = web_socket(&site).await;

    assert_eq!(last_word(&mut socket).await, Some(ErrorCode::Malformed));
}

#[tokio::test]
async fn t20_what_is_no_acknowledgement_ends_the_stream() {
    let site = Site::with(RouterOptions::default()).await;
    let client = QueueClient::at(&site.home).await;

    for (message, code) in [
        (Message::text("hello"), ErrorCode::Malformed),
        (Message::binary(&b"hello"[..]), ErrorCode::Malformed),
        (Message::binary(StreamAck { ack_below: 1_000 }.encode()), ErrorCode::Malformed),
        (Message::binary(vec![0; 20 << 10]), ErrorCode::TooLarge),
    ] {
        let mut socket = opened(&site, &client).await;
        let _ = socket.send(message).await;

        assert_eq!(last_word(&mut socket).await, Some(code));
    }
    until(|| site.home.engine.shared().open_streams() == 0).await;
}

#[tokio::test]
async fn t20_who_talks_without_end_is_cut_off() {
    let site = Site::with(RouterOptions::default()).await;
    let client = QueueClient::at(&site.home).await;
    let mut socket = opened(&site, &client).await;

    for _ in 0..200 {
        let _ = socket.send(Message::binary(StreamAck { ack_below: 0 }.encode())).await;
    }

    assert_eq!(last_word(&mut socket).await, Some(ErrorCode::RateLimited));
}

#[tokio::test]
async fn t20_a_stream_whose_client_has_gone_ends() {
    // given one whose client hangs up, and one whose client answers nothing, not even pings
    let site = Site::with(times(StreamTimes { ping: SOON, ..StreamTimes::default() })).await;
    let [gone, silent] = [QueueClient::at(&site.home).await, QueueClient::at(&site.home).await];
    drop(opened(&site, &gone).await);
    let _silent = opened(&site, &silent).await;

    until(|| site.home.engine.shared().open_streams() == 0).await;
}

#[tokio::test]
async fn a_stream_on_which_nothing_happens_stays() {
    let site = Site::with(times(StreamTimes { ping: SOON, ..StreamTimes::default() })).await;
    let mut client = QueueClient::at(&site.home).await;
    let mut stream = site.open(&client, 0, 0).await;
    client.hear(&mut stream).await;

    // Waiting answers pings.
    assert!(timeout(6 * SOON, stream.receive()).await.is_err());

    site.home.deliver(&client.config, "one").await;
    assert_eq!(client.hear(&mut stream).await, entries(&["one"]));
}

#[tokio::test]
async fn t20_a_slow_reader_is_cut_off_and_holds_little_meanwhile() {
    // given a client with 20 MiB in its queue, more than sockets hold, that opens a stream and reads nothing
    let hasty = StreamTimes { write: 2 * SOON, slowest: 1 << 20, ..StreamTimes::default() };
    let options = RouterOptions { memory: 1 << 20, ..times(hasty) };
    let site = Site::with(options).await;
    let [client, mut other] = [QueueClient::at(&site.home).await, QueueClient::at(&site.home).await];
    for _ in 0..90 {
        site.home.deliver(&client.config, vec![7; 230 << 10]).await;
    }
    let socket = opened(&site, &client).await;
    until(|| site.home.engine.shared().open_streams() == 1).await;

    // when somebody else reads its own queue meanwhile, then there is memory for that
    let mut stream = site.open(&other, 0, 0).await;
    assert_eq!(other.hear(&mut stream).await, Heard::Entries(vec![]));

    // and the slow one is cut off
    until(|| site.home.engine.shared().open_streams() == 1).await;
    site.home.deliver(&other.config, "one").await;
    assert_eq!(other.hear(&mut stream).await, entries(&["one"]));
    drop(socket);
}

#[tokio::test]
async fn t20_who_finds_no_memory_for_a_message_is_asked_to_come_again() {
    let site = Site::with(RouterOptions { memory: 300 << 10, ..RouterOptions::default() }).await;
    let mut client = QueueClient::at(&site.home).await;
    site.home.deliver(&client.config, vec![7; 200 << 10]).await;
    let mut stream = site.open(&client, 0, 0).await;

    assert_eq!(client.hear(&mut stream).await, Heard::Reconnect(10_000));
    assert_eq!(client.hear(&mut stream).await, Heard::End);
    until(|| site.home.engine.shared().open_streams() == 0).await;
}

#[tokio::test]
async fn t20_a_source_has_only_so_many_streams() {
    let options = RouterOptions { streams_per_source: 2, ..RouterOptions::default() };
    let site = Site::with(options).await;
    let clients = [
        QueueClient::at(&site.home).await,
        QueueClient::at(&site.home).await,
        QueueClient::at(&site.home).await,
    ];
    let first = site.open(&clients[0], 0, 0).await;
    let _second = site.open(&clients[1], 0, 0).await;

    let third = site.transport.open(&alpha(), clients[2].outgoing(0, 0)).await;
    assert_eq!(third.err(), Some(TransportError::Unreachable));

    drop(first);
    until(|| site.home.engine.shared().open_streams() <= 1).await;
    let begun = Instant::now();
    while site.transport.open(&alpha(), clients[2].outgoing(0, 0)).await.is_err() {
        assert!(begun.elapsed() < Duration::from_secs(5), "its place is given back");
    }
}

#[tokio::test]
async fn t20_all_sources_together_have_only_so_many_streams() {
    let options = RouterOptions { streams: 0, ..RouterOptions::default() };
    let request = Request::get("/v1/qs/stream").header(CONTENT_TYPE, MEDIA_TYPE);
    let upgradable = request.body(axum::body::Body::empty()).unwrap();

    let site = Site::with(options.clone()).await;
    let client = QueueClient::at(&site.home).await;
    let refused = site.transport.open(&alpha(), client.outgoing(0, 0)).await;
    assert_eq!(refused.err(), Some(TransportError::Unreachable));
    // One that cannot become a stream takes no place.
    let response = routes(QueueHome::new(), options).oneshot(upgradable).await.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn t20_a_stream_keeps_the_place_of_its_connection() {
    let limits = ServerLimits { connections_per_address: 1, ..ServerLimits::default() };
    let site = Site::limited(RouterOptions::default(), limits).await;
    let first = web_socket(&site).await;

    assert!(try_web_socket(&site).await.is_none());

    drop(first);
    let begun = Instant::now();
    while try_web_socket(&site).await.is_none() {
        assert!(begun.elapsed() < Duration::from_secs(5), "its place is given back");
    }
}

#[tokio::test]
async fn t20_who_is_told_the_last_word_holds_up_nobody() {
    // given a stream whose queue is being read, which takes a while
    let site = Site::with(RouterOptions::default()).await;
    let client = QueueClient::at(&site.home).await;
    let mut socket = opened(&site, &client).await;
    assert!(matches!(socket.next().await, Some(Ok(Message::Binary(_)))));
    let stopped = site.home.pause.stop().await;
    socket.send(Message::binary(StreamAck { ack_below: 1 }.encode())).await.unwrap();
    until(|| site.home.pause.is_felt()).await;

    // when its client is refused meanwhile, and takes its time to close
    socket.send(Message::text("hello")).await.unwrap();
    assert!(matches!(socket.next().await, Some(Ok(Message::Binary(_)))));
    drop(stopped);

    // then the queue can be changed before it has closed
    site.home.deliver(&client.config, "one").await;
    assert_eq!(site.home.engine.shared().open_streams(), 1);
}

fn times(stream_times: StreamTimes) -> RouterOptions {
    RouterOptions { stream_times, ..RouterOptions::default() }
}

type Socket = WebSocketStream<TlsStream<TcpStream>>;

/// A WebSocket without protocol, which takes little at once.
async fn web_socket(site: &Site) -> Socket {
    try_web_socket(site).await.unwrap()
}

/// The same, or none where the server closes instead.
async fn try_web_socket(site: &Site) -> Option<Socket> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 << 10).unwrap();
    let stream = socket.connect(site.running.address).await.unwrap();
    let config = tls::client(tls::own_roots(site.authority.pem().as_bytes()).unwrap()).unwrap();
    let connector = TlsConnector::from(Arc::new(tls::for_web_sockets(&config)));
    let stream = connector.connect(ServerName::try_from("alpha.test").unwrap(), stream).await.ok()?;
    let request = "wss://alpha.test/v1/qs/stream".into_client_request().unwrap();
    Some(client_async(request, stream).await.ok()?.0)
}

/// The same, after the call of a client was sent.
async fn opened(site: &Site, client: &QueueClient) -> Socket {
    let mut socket = web_socket(site).await;
    socket.send(Message::binary(client.call(0, 0).encode())).await.unwrap();
    socket
}

/// What the server refuses with, before it closes.
async fn last_word(socket: &mut Socket) -> Option<ErrorCode> {
    let mut said = None;
    let hear = async {
        while let Some(Ok(message)) = socket.next().await {
            if let Message::Binary(bytes) = message
                && let StreamMessage::Refused(error) = StreamMessage::decode(&bytes).unwrap()
            {
                said = Some(error.code);
            }
        }
    };
    timeout(Duration::from_secs(10), hear).await.expect("it closes");
    said
}
