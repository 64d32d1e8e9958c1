//! One connection.

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
};

use axum::{Router, body::Body, extract::ConnectInfo};
use http::{Request, Response};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    net::TcpStream,
    sync::{Notify, watch},
    time::{Duration, sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use super::{
    ServerLimits,
    activity::{Activity, Exchange, Followed, Silence},
};
use crate::admission::Admitted;

/// A connection that may be served.
pub(super) struct Connection {
    pub(super) stream: TcpStream,
    pub(super) peer: SocketAddr,
    pub(super) admitted: Admitted,
}

/// A connection's place. Each of its requests knows it, so that one that becomes a stream keeps it.
#[derive(Clone)]
pub(crate) struct ConnectionPlace {
    _admitted: Arc<Admitted>,
}

/// What all connections of a server have in common.
pub(super) struct Shared {
    pub(super) acceptor: TlsAcceptor,
    pub(super) router: Router,
    pub(super) limits: ServerLimits,
    /// Closed when the server stops.
    pub(super) stopping: watch::Receiver<()>,
}

impl Connection {
    /// Serves until either side has enough, or the connection has become a stream, which has bounds of its own. What
    /// goes wrong concerns the caller alone.
    pub(super) async fn serve(self, shared: Arc<Shared>) {
        let Self { stream, peer, admitted } = self;
        let place = ConnectionPlace { _admitted: Arc::new(admitted) };
        let _ = stream.set_nodelay(true);
        let handshake = timeout(shared.limits.header_time, shared.acceptor.accept(stream)).await;
        let Ok(Ok(stream)) = handshake else { return };

        let course = Course { activity: Activity::new(shared.limits), enough: Notify::new() };
        let service = service_fn(|request: Request<Incoming>| {
            let (exchange, is_last) = course.activity.begin();
            if is_last {
                course.enough.notify_one();
            }
            answer(shared.router.clone(), request, (peer, place.clone()), exchange)
        });
        // What was agreed on, rather than what comes: nobody need say anything to be told apart.
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        if is_http2 {
            let http = http2(shared.limits);
            let connection = pin!(http.serve_connection(TokioIo::new(stream), service));
            course.run(connection, |it| it.graceful_shutdown(), &shared).await;
        } else {
            let connection = http1(shared.limits).serve_connection(TokioIo::new(stream), service);
            course.run(pin!(connection.with_upgrades()), |it| it.graceful_shutdown(), &shared).await;
        }
    }
}

/// What a connection goes through.
struct Course {
    activity: Arc<Activity>,
    /// It has had all the requests that it may have.
    enough: Notify,
}

impl Course {
    async fn run<C: Future>(
        &self,
        mut connection: Pin<&mut C>,
        shut_down: impl FnOnce(Pin<&mut C>),
        shared: &Shared,
    ) {
        let mut stopping = shared.stopping.clone();
        let is_stuck = tokio::select! {
            _ = connection.as_mut() => return,
            silence = self.activity.silence() => silence == Silence::Stuck,
            () = self.enough.notified() => false,
            () = sleep(shared.limits.connection_time) => false,
            _ = stopping.changed() => false,
        };
        if is_stuck {
            return;
        }
        shut_down(connection.as_mut());
        tokio::select! {
            _late = timeout(LAST_ANSWERS, connection) => {}
            _ = self.activity.last_silence(GOODBYE) => {}
        }
    }
}

async fn answer(
    router: Router,
    request: Request<Incoming>,
    (peer, place): (SocketAddr, ConnectionPlace),
    exchange: Exchange,
) -> Result<Response<Followed>, Infallible> {
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(ConnectInfo(peer));
    request.extensions_mut().insert(place);
    let response = router.oneshot(request).await?;
    Ok(response.map(|body| exchange.follow(body)))
}

/// HTTP/1.1, bounded.
fn http1(limits: ServerLimits) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.header_time)
        .max_headers(MAX_HEADERS)
        .max_buf_size(HTTP1_BUFFER);
    http
}

/// HTTP/2, bounded.
fn http2(limits: ServerLimits) -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new()).http2_only();
    http.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(HTTP2_HEADERS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(limits.header_time);
    http
}

/// For what still runs on a connection that is to end: a long poll's deadline and some (architecture, 35 s).
const LAST_ANSWERS: Duration = Duration::from_secs(40);
/// For a caller who is told that the connection ends, and has no request under way any more.
const GOODBYE: Duration = Duration::from_secs(1);
/// Header fields of a request; a token and what proxies add are far fewer.
const MAX_HEADERS: usize = 64;
/// Bytes that HTTP/1.1 buffers of a connection, headers included.
const HTTP1_BUFFER: usize = 16 << 10;
/// Bytes of the headers of a request over HTTP/2.
const HTTP2_HEADERS: u32 = 16 << 10;
/// Requests at once on a connection of HTTP/2.
const MAX_STREAMS: u32 = 64;
/// Bytes that may be under way on one stream,
const STREAM_WINDOW: u32 = 256 << 10;
/// and on one connection, before the router has taken them.
const CONNECTION_WINDOW: u32 = 512 << 10;
/// How often a silent connection of HTTP/2 is asked whether someone is there.
const PING_EVERY: Duration = Duration::from_secs(30);
