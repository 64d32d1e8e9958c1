//! Homeservers of one process that reach each other without sockets.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use phoenix_core::{
    ErrorReply, Fqdn, Origin, Refusal,
    api::{ServiceName, stream::StreamMessage},
    engine::OpenStream,
    port::{Outgoing, StreamTransport, Streaming, Transport, TransportError},
    wire::Wire,
};
use phoenix_homeserver::Homeserver;

/// The homeservers that can be reached. Cheap to clone; all clones are one network.
///
/// It owns its homeservers, and their transports know it weakly: once the network is dropped, or a homeserver
/// has left it, the other side is unreachable.
#[derive(Clone, Default)]
pub struct Network {
    homes: Arc<Homes>,
}

impl Network {
    /// Makes a homeserver reachable under its domain, instead of one that was there before.
    pub fn join(&self, home: Homeserver) {
        self.homes.lock().insert(home.domain().clone(), home);
    }

    /// Makes a domain unreachable. What it was asked before is still answered.
    pub fn leave(&self, domain: &Fqdn) -> Option<Homeserver> {
        self.homes.lock().remove(domain)
    }

    /// The homeserver of a domain.
    #[must_use]
    pub fn home(&self, domain: &Fqdn) -> Option<Homeserver> {
        self.homes.lock().get(domain).cloned()
    }

    /// Where homeservers and clients find each other.
    #[must_use]
    pub fn transport(&self) -> NetworkTransport {
        NetworkTransport { homes: Arc::downgrade(&self.homes) }
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.homes.lock().keys()).finish()
    }
}

/// The way into a [`Network`]: a call runs inside the caller's own task.
#[derive(Clone)]
pub struct NetworkTransport {
    homes: Weak<Homes>,
}

impl NetworkTransport {
    fn home(&self, domain: &Fqdn) -> Result<Homeserver, TransportError> {
        let homes = self.homes.upgrade().ok_or(TransportError::Unreachable)?;
        let home = homes.lock().get(domain).cloned();
        home.ok_or(TransportError::Unreachable)
    }
}

#[async_trait]
impl Transport for NetworkTransport {
    async fn send(&self, to: &Fqdn, outgoing: Outgoing) -> Result<Result<Bytes, ErrorReply>, TransportError> {
        let Outgoing { service, name, call, circuit: _ } = outgoing;
        Ok(self.home(to)?.call(service, name, call, Origin::default()).await)
    }

    async fn fetch(&self, from: &Fqdn, service: ServiceName) -> Result<Bytes, TransportError> {
        self.home(from)?.document(service).await.map_err(|_| TransportError::Unreachable)
    }
}

#[async_trait]
impl StreamTransport for NetworkTransport {
    async fn open(&self, to: &Fqdn, outgoing: Outgoing) -> Result<Box<dyn Streaming>, TransportError> {
        let Outgoing { service, name, call, circuit: _ } = outgoing;
        let opened = self.home(to)?.open(service, name, call, Origin::default()).await;
        Ok(Box::new(match opened {
            Ok(open) => NetworkStream { open: Some(open), last: None },
            Err(error) => NetworkStream { open: None, last: Some(StreamMessage::Refused(error)) },
        }))
    }
}

/// A stream that goes on inside its reader's own task.
struct NetworkStream {
    open: Option<OpenStream>,
    /// What is said last, where the stream itself does not say it.
    last: Option<StreamMessage>,
}

#[async_trait]
impl Streaming for NetworkStream {
    async fn receive(&mut self) -> Option<Bytes> {
        let message = match &mut self.open {
            Some(open) => open.messages.next().await,
            None => self.last.take(),
        };
        // After its last word, the homeserver waits until the stream has been dropped.
        if matches!(message, Some(StreamMessage::Refused(_) | StreamMessage::Reconnect(_)) | None) {
            self.open = None;
        }
        message.map(|message| message.encode())
    }

    async fn send(&mut self, message: Bytes) -> Result<(), TransportError> {
        let open = self.open.as_ref().ok_or(TransportError::Unreachable)?;
        if let Err(reject) = open.intake.take(&message) {
            self.last = Some(StreamMessage::Refused(Refusal::from(reject).into()));
            self.open = None;
        }
        Ok(())
    }
}

impl fmt::Debug for NetworkTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NetworkTransport")
    }
}

#[derive(Default)]
struct Homes {
    by_domain: Mutex<BTreeMap<Fqdn, Homeserver>>,
}

impl Homes {
    /// No step leaves the map half changed, so a thread that panicked leaves it usable.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Fqdn, Homeserver>> {
        self.by_domain.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests may panic")]
mod tests {
    use futures::executor::block_on;
    use phoenix_core::{
        Fqdn,
        api::ServiceName,
        port::{Inline, Transport, TransportError},
        store::MemoryStore,
    };
    use phoenix_homeserver::Homeserver;

    use super::Network;

    #[test]
    fn a_homeserver_is_reached_until_it_leaves() {
        let network = Network::default();
        let domain = join(&network, "alpha.test");
        let transport = network.transport();

        let present = block_on(transport.fetch(&domain, ServiceName::Qs));
        network.leave(&domain);
        let absent = block_on(transport.fetch(&domain, ServiceName::Qs));

        assert!(present.is_ok());
        assert_eq!(absent, Err(TransportError::Unreachable));
    }

    #[test]
    fn nobody_is_reached_over_a_network_that_is_gone() {
        let network = Network::default();
        let domain = join(&network, "alpha.test");
        let transport = network.transport();

        drop(network);

        assert_eq!(block_on(transport.fetch(&domain, ServiceName::As)), Err(TransportError::Unreachable));
    }

    fn join(network: &Network, domain: &str) -> Fqdn {
        let domain: Fqdn = domain.parse().unwrap();
        let home = Homeserver::builder(domain.clone())
            .store(MemoryStore::new())
            .transport(network.transport())
            .compute(Inline);
        network.join(block_on(home.build()).unwrap());
        domain
    }
}
