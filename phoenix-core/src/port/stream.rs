//! The port to queue streams, for clients.

use async_trait::async_trait;
use bytes::Bytes;

use super::{Outgoing, TransportError};
use crate::Fqdn;

/// Opens queue streams at homeservers (06, "Wake-ups").
#[async_trait]
pub trait StreamTransport: Send + Sync + 'static {
    /// Connects to a service of a homeserver and sends the call that opens a stream. Whether the call was accepted, the
    /// first message tells. Each stream has a connection of its own, which no other circuit shares.
    ///
    /// # Errors
    /// [`TransportError`] where there is no connection.
    async fn open(&self, to: &Fqdn, outgoing: Outgoing) -> Result<Box<dyn Streaming>, TransportError>;
}

/// An open stream, until dropped.
#[async_trait]
pub trait Streaming: Send {
    /// Waits for the server's next message, an encoded [`StreamMessage`](crate::api::stream::StreamMessage); none where
    /// the stream has ended or was cut off. May be dropped and called again: nothing gets lost.
    async fn receive(&mut self) -> Option<Bytes>;
    /// Sends a message, an encoded [`StreamAck`](crate::api::stream::StreamAck).
    ///
    /// # Errors
    /// [`TransportError`] where the stream was cut off.
    async fn send(&mut self, message: Bytes) -> Result<(), TransportError>;
}

#[async_trait]
impl<T: StreamTransport + ?Sized> StreamTransport for std::sync::Arc<T> {
    async fn open(&self, to: &Fqdn, outgoing: Outgoing) -> Result<Box<dyn Streaming>, TransportError> {
        self.as_ref().open(to, outgoing).await
    }
}
