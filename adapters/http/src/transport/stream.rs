//! Queue streams over WebSockets, from the client's side (06, "Wake-ups").

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use http::Uri;
use phoenix_core::{
    Fqdn,
    port::{Outgoing, StreamTransport, Streaming, TransportError},
    wire::Wire,
};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    net::TcpStream,
    time::{Instant, timeout, timeout_at},
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{self, Message, client::ClientRequestBuilder, protocol::WebSocketConfig},
};

use super::{
    HttpTransport, Parts,
    exchange::{reason, verdict},
};
use crate::{tls::for_web_sockets, well_known::Host};

#[async_trait]
impl StreamTransport for HttpTransport {
    async fn open(&self, to: &Fqdn, outgoing: Outgoing) -> Result<Box<dyn Streaming>, TransportError> {
        let Outgoing { service, name, call, circuit: _ } = outgoing;
        let hosts = self.0.discovery.hosts(to).await?;
        let host = hosts.host(service);
        let opened = timeout(OPEN_TIME, self.0.open(host, &service.path(name))).await;
        let socket = opened.unwrap_or(Err(TransportError::Unreachable));
        if socket.is_err() {
            self.0.discovery.doubt(to);
        }
        let mut stream = Stream { socket: socket?, heard_at: Instant::now() };
        stream.send(call.encode()).await?;
        Ok(Box::new(stream))
    }
}

impl Parts {
    /// A WebSocket to a host, on a connection and a TLS session of its own. Redirects are not followed, and no proxy is
    /// asked.
    async fn open(&self, host: &Host, path: &str) -> Result<Socket, TransportError> {
        let stream = self.connect(host).await?;
        let uri: Uri =
            format!("wss://{}{path}", self.resolver.authority(host)).parse().map_err(|_| REFUSED)?;
        let request = ClientRequestBuilder::new(uri);
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0)
            .max_frame_size(Some(MAX_MESSAGE))
            .max_message_size(Some(MAX_MESSAGE));
        match client_async_with_config(request, stream, Some(config)).await {
            Ok((socket, _)) => Ok(socket),
            Err(tungstenite::Error::Http(response)) => Err(verdict(response.status())),
            Err(tungstenite::Error::Io(_)) => Err(TransportError::Unreachable),
            Err(_) => Err(REFUSED),
        }
    }

    /// Connects to the first of the host's addresses that answers, of those that may be connected to.
    async fn connect(&self, host: &Host) -> Result<TlsStream<TcpStream>, TransportError> {
        let name = ServerName::try_from(host.name.to_string()).map_err(|_| REFUSED)?;
        let connector = TlsConnector::from(Arc::new(self.tls_of_its_own()));
        let mut outcome = Err(TransportError::Unreachable);
        for address in self.resolver.connectable(host).await? {
            let connected = timeout(CONNECT_TIME, TcpStream::connect(address)).await;
            let Ok(Ok(stream)) = connected else { continue };
            let _ = stream.set_nodelay(true);
            match connector.connect(name.clone(), stream).await {
                Ok(stream) => return Ok(stream),
                Err(error) if reason(&error) == REFUSED => outcome = Err(REFUSED),
                Err(_) => {}
            }
        }
        outcome
    }

    fn tls_of_its_own(&self) -> ClientConfig {
        for_web_sockets(self.circuits.tls())
    }
}

type Socket = WebSocketStream<TlsStream<TcpStream>>;

/// An open stream.
struct Stream {
    socket: Socket,
    /// When the server said something last, be it a ping.
    heard_at: Instant,
}

#[async_trait]
impl Streaming for Stream {
    async fn receive(&mut self) -> Option<Bytes> {
        loop {
            // Pings of the server are answered below; where none comes, there is nobody.
            let heard = timeout_at(self.heard_at + SILENCE, self.socket.next()).await;
            self.heard_at = Instant::now();
            match heard {
                Ok(Some(Ok(Message::Binary(bytes)))) => return Some(bytes),
                Ok(Some(Ok(Message::Ping(_) | Message::Pong(_)))) => {}
                Ok(Some(Ok(Message::Text(_) | Message::Close(_) | Message::Frame(_)) | Err(_)) | None)
                | Err(_) => return None,
            }
        }
    }

    async fn send(&mut self, message: Bytes) -> Result<(), TransportError> {
        match timeout(SEND_TIME, self.socket.send(Message::Binary(message))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(TransportError::Unreachable),
        }
    }
}

const REFUSED: TransportError = TransportError::Refused;
/// Longest message that is read: the largest entry, with what is around it.
const MAX_MESSAGE: usize = (2 << 20) + (64 << 10);
/// Bytes that are read at once.
const READ_BUFFER: usize = 16 << 10;
/// How long it may take until a stream is open, at all addresses together.
const OPEN_TIME: Duration = Duration::from_secs(15);
/// How long a connection to one address may take.
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// How long a message may take to be sent: they are small.
const SEND_TIME: Duration = Duration::from_secs(10);
/// How long a stream may be silent: the server pings every 30 s (06).
const SILENCE: Duration = Duration::from_secs(75);
