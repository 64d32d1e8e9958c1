//! One connection.

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{Router, body::Body, extract::ConnectInfo, response::Response};
use http::Request;
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

use super::{ServerLimits, admission::Admitted};

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

        let (requests, enough) = (AtomicU64::new(0), Notify::new());
        let service = service_fn(|request: Request<Incoming>| {
            if requests.fetch_add(1, Ordering::Relaxed).saturating_add(1)
                >= shared.limits.requests_per_connection
            {
                enough.notify_one();
            }
            answer(shared.router.clone(), request, peer)
        });
        let http = protocol(shared.limits);
        let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
        let mut stopping = shared.stopping.clone();
        tokio::select! {
            _ = connection.as_mut() => return,
            () = enough.notified() => {}
            () = sleep(shared.limits.connection_time) => {}
            _ = stopping.changed() => {}
        }
        connection.as_mut().graceful_shutdown();
        let _late = timeout(LAST_ANSWERS, connection).await;
    }
}

async fn answer(
    router: Router,
    request: Request<Incoming>,
    peer: SocketAddr,
) -> Result<Response, Infallible> {
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(ConnectInfo(peer));
    router.oneshot(request).await
}

/// HTTP/1.1 and HTTP/2, bounded.
fn protocol(limits: ServerLimits) -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
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
