//! The router, the server and the transport against each other, over sockets of this machine.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod authority;
mod blocked;
mod bounds;
mod check;
mod discovery;
mod dpop;
mod echo;
mod homeserver;
mod limits;
mod privacy_pass;
mod protocol;
mod pushes;
mod queue_home;
mod rebinding;
mod requests;
mod round_trip;
mod silence;
mod strangers;
mod streams;
mod streams_bounds;

use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
};

use axum::Router;
use bytes::Bytes;
use phoenix_core::{
    ErrorReply, Fqdn,
    api::ServiceName,
    port::{Circuit, Outgoing, Transport, TransportError},
    token::{Authenticator, Token},
    wire::{Call, Opaque, VERSION},
};
use tokio::{sync::oneshot, task::JoinHandle};

pub(crate) use self::authority::Authority;
use self::echo::Echo;
use crate::{HttpTransport, RouterOptions, Server, ServerLimits, ServerTls, router::routes};

/// A server on a port of this machine that stops when told or dropped.
pub(crate) struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Running {
    pub(crate) fn start(authority: &Authority, router: Router) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), authority, router, ServerLimits::default())
    }

    pub(crate) fn start_at(
        address: SocketAddr,
        authority: &Authority,
        router: Router,
        limits: ServerLimits,
    ) -> Self {
        Self::start_on(TcpListener::bind(address).unwrap(), authority.server(), router, limits)
    }

    /// On a listener, with any certificate.
    pub(crate) fn start_on(
        listener: TcpListener,
        tls: ServerTls,
        router: Router,
        limits: ServerLimits,
    ) -> Self {
        let address = listener.local_addr().unwrap();
        let server = Server::new(listener, tls, router).limits(limits);
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let until = async { drop(stopped.await) };
            server.run(until).await.unwrap();
        });
        Self { address, stop, task }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it, with its connections.
    async fn stop(self) -> SocketAddr {
        drop(self.stop);
        self.task.await.unwrap();
        self.address
    }

    pub(crate) fn transport(&self, authority: &Authority) -> HttpTransport {
        HttpTransport::builder().authorities(authority.pem()).resolve(alpha(), self.address).build().unwrap()
    }
}

/// A homeserver that repeats what it is told, and a transport that reaches it.
fn echo_server(echo: &Arc<Echo>, options: RouterOptions) -> (Running, HttpTransport) {
    let authority = Authority::new();
    let running = Running::start(&authority, routes(echo.clone(), options));
    let transport = running.transport(&authority);
    (running, transport)
}

type Answer = Result<Result<Bytes, ErrorReply>, TransportError>;

async fn send(transport: &HttpTransport, name: &'static str, body: impl Into<Bytes>) -> Answer {
    transport.send(&alpha(), outgoing(name, body, None)).await
}

fn outgoing(name: &'static str, body: impl Into<Bytes>, token: Option<Token>) -> Outgoing {
    let mut call = call(name, body);
    call.token = token;
    Outgoing { service: ServiceName::Ds, name, call, circuit: Circuit(1) }
}

fn call(name: &str, body: impl Into<Bytes>) -> Call {
    let endpoint = echo::TABLE.iter().find(|it| it.name == name).unwrap().id;
    Call { version: VERSION, endpoint, auth: None, token: None, body: Opaque::new(body).unwrap() }
}

fn token() -> Token {
    Token {
        nonce: [1; 32],
        challenge_digest: [2; 32],
        key_id: [3; 32],
        authenticator: Authenticator::Ristretto255([4; 64]),
    }
}

fn alpha() -> Fqdn {
    "alpha.test".parse().unwrap()
}
