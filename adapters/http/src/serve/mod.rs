//! Serves a router over TLS, within the bounds of 02, "HTTP binding".

mod activity;
mod connection;

use std::{io, net::TcpListener, pin::pin, sync::Arc, time::Duration};

use axum::Router;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use self::connection::Connection;
pub(crate) use self::connection::ConnectionPlace;
use crate::{admission::Admission, tls::ServerTls};

/// A listener with what it serves.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    tls: ServerTls,
    router: Router,
    limits: ServerLimits,
}

/// What strangers may use of a server.
#[derive(Clone, Copy, Debug)]
pub struct ServerLimits {
    /// Connections in all; further callers wait to be taken. By default 4,096.
    pub connections: usize,
    /// Connections of one address (IPv6: of one /64); further ones are closed. By default 256.
    pub connections_per_address: usize,
    /// Requests of one connection; after them the caller must connect anew. By default 10,000.
    pub requests_per_connection: u64,
    /// How long a TLS handshake, and then the headers of a request, may take. By default 10 s.
    pub header_time: Duration,
    /// How long a connection stays without a request; until the first, `header_time`. By default 60 s.
    pub idle_time: Duration,
    /// How long a caller may take no piece of a reply, before the connection is closed. By default 30 s.
    pub write_time: Duration,
    /// How long a connection lives at most. By default 15 min.
    pub connection_time: Duration,
    /// How long calls may go on after the shutdown began. By default 10 s.
    pub drain_time: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            connections: 4_096,
            connections_per_address: 256,
            requests_per_connection: 10_000,
            header_time: Duration::from_secs(10),
            idle_time: Duration::from_secs(60),
            write_time: Duration::from_secs(30),
            connection_time: Duration::from_secs(15 * 60),
            drain_time: Duration::from_secs(10),
        }
    }
}

impl Server {
    /// Serves the router on the listener, with the default limits.
    #[must_use]
    pub fn new(listener: TcpListener, tls: ServerTls, router: Router) -> Self {
        Self { listener, tls, router, limits: ServerLimits::default() }
    }

    /// With other limits.
    #[must_use]
    pub fn limits(mut self, limits: ServerLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Serves until `shutdown` is ready; then takes no more connections, and lets calls that run end.
    ///
    /// # Errors
    /// The listener's, when it cannot be used.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) -> io::Result<()> {
        let Self { listener, tls, router, limits } = self;
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let (stop, stopping) = watch::channel(());
        let shared =
            Arc::new(connection::Shared { acceptor: TlsAcceptor::from(tls.0), router, limits, stopping });
        let mut connections = JoinSet::new();
        {
            let mut shutdown = pin!(shutdown);
            let admission = Admission::new(limits.connections, limits.connections_per_address);
            loop {
                let next = tokio::select! {
                    () = &mut shutdown => break,
                    Some(_) = connections.join_next() => continue,
                    next = accept(&listener, &admission) => next,
                };
                let Some(connection) = next else { continue };
                connections.spawn(connection.serve(Arc::clone(&shared)));
            }
        }
        drop((listener, stop));
        let ended = async { while connections.join_next().await.is_some() {} };
        // What is not over by then is dropped with the set; the calls themselves go on in tasks of their own.
        let _late = timeout(limits.drain_time, ended).await;
        Ok(())
    }
}

/// The next connection that may be served.
async fn accept(listener: &tokio::net::TcpListener, admission: &Admission) -> Option<Connection> {
    let place = admission.place().await?;
    match listener.accept().await {
        Ok((stream, peer)) => {
            let admitted = admission.admit(place, Some(peer.ip()))?;
            Some(Connection { stream, peer, admitted })
        }
        Err(error) => {
            tracing::warn!(kind = ?error.kind(), "a connection could not be taken");
            sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

/// After a failed accept (most likely out of descriptors), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
