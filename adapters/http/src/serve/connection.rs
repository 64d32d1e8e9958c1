//! One connection.

use std::{convert::Infallible, net::SocketAddr, pin::pin, sync::Arc};

use axum::{Router, body::Body, extract::ConnectInfo};
use http::{Request, Response};
use hyper::{body::Incoming, service::service_fn};
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
    admission::Admitted,
};

/// A connection that may be served.
pub(super) struct Connection {
    pub(super) stream: TcpStream,
    pub(super) peer: SocketAddr,
    pub(super) _admitted: Admitted,
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
    /// Serves until either side has enough. What goes wrong concerns the caller alone.
    pub(super) async fn serve(self, shared: Arc<Shared>) {
        let Self { stream, peer, _admitted } = self;
        let _ = stream.set_nodelay(true);
        let handshake = timeout(shared.limits.header_time, shared.acceptor.accept(stream)).await;
        let Ok(Ok(stream)) = handshake else { return };

        let (activity, enough) = (Activity::new(shared.limits), Notify::new());
        let service = service_fn(|request: Request<Incoming>| {
            let (exchange, is_last) = activity.begin();
            if is_last {
                enough.notify_one();
            }
            answer(shared.router.clone(), request, peer, exchange)
        });
        // What was agreed on, rather than what comes: nobody need say anything to be told apart.
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let http = protocol(shared.limits, is_http2);
        let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
        let mut stopping = shared.stopping.clone();
        let is_stuck = tokio::select! {
            _ = connection.as_mut() => return,
            silence = activity.silence() => silence == Silence::Stuck,
            () = enough.notified() => false,
            () = sleep(shared.limits.connection_time) => false,
            _ = stopping.changed() => false,
        };
        if is_stuck {
            return;
        }
        connection.as_mut().graceful_shutdown();
        tokio::select! {
            _late = timeout(LAST_ANSWERS, connection) => {}
            _ = activity.last_silence(GOODBYE) => {}
        }
    }
}

async fn answer(
    router: Router,
    request: Request<Incoming>,
    peer: SocketAddr,
    exchange: Exchange,
) -> Result<Response<Followed>, Infallible> {
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(ConnectInfo(peer));
    let response = router.oneshot(request).await?;
    Ok(response.map(|body| exchange.follow(body)))
}

/// HTTP/1.1 or HTTP/2, bounded.
fn protocol(limits: ServerLimits, is_http2: bool) -> auto::Builder<TokioExecutor> {
    let http = auto::Builder::new(TokioExecutor::new());
    let mut http = if is_http2 { http.http2_only() } else { http.http1_only() };
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_time)
        .max_headers(MAX_HEADERS)
        .max_buf_size(HTTP1_BUFFER);
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
