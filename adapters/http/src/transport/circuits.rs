//! Connections that are kept apart (02, "HTTP binding").

use std::{
    num::NonZero,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use lru::LruCache;
use phoenix_core::port::{Circuit, TransportError};
use reqwest::{Client, dns::Resolve, redirect::Policy};
use rustls::ClientConfig;

use super::resolver::Resolver;
use crate::tls::with_own_sessions;

/// A client, with connections and TLS sessions of its own, for each circuit.
pub(super) struct Circuits {
    tls: ClientConfig,
    resolver: Arc<Resolver>,
    call_time: Duration,
    clients: Mutex<LruCache<Circuit, Client>>,
}

impl Circuits {
    /// None is open yet.
    pub(super) fn new(tls: ClientConfig, resolver: Arc<Resolver>, call_time: Duration) -> Self {
        Self { tls, resolver, call_time, clients: Mutex::new(LruCache::new(MAX_CIRCUITS)) }
    }

    /// What all trust.
    pub(super) const fn tls(&self) -> &ClientConfig {
        &self.tls
    }

    /// The client of a circuit. The one that was used longest ago gives way where there are too many.
    pub(super) fn of(&self, circuit: Circuit) -> Result<Client, TransportError> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        clients.try_get_or_insert(circuit, || self.client(self.call_time)).cloned()
    }

    /// A client that shares nothing with any other.
    pub(super) fn client(&self, time: Duration) -> Result<Client, TransportError> {
        self.client_by(Arc::clone(&self.resolver), CONNECT_TIME, time)
    }

    /// The same, with names as another resolver has them, whose connections may take so long.
    pub(super) fn client_by<R: Resolve + 'static>(
        &self,
        resolver: Arc<R>,
        connect_time: Duration,
        time: Duration,
    ) -> Result<Client, TransportError> {
        let client = Client::builder()
            .tls_backend_preconfigured(with_own_sessions(&self.tls))
            .dns_resolver(resolver)
            .https_only(true)
            .no_proxy()
            .redirect(Policy::none())
            .referer(false)
            .connect_timeout(connect_time)
            .timeout(time)
            .pool_idle_timeout(IDLE_TIME)
            .pool_max_idle_per_host(MAX_IDLE)
            .http1_max_headers(MAX_HEADERS)
            .http2_max_header_list_size(MAX_HEADER_BYTES)
            .http2_keep_alive_interval(PING_EVERY)
            .http2_keep_alive_timeout(CONNECT_TIME);
        client.build().map_err(|error| {
            tracing::error!(%error, "no HTTP client could be made");
            TransportError::Unreachable
        })
    }
}

/// Circuits that are open at once: what a client with a few hundred groups uses within minutes.
const MAX_CIRCUITS: NonZero<usize> = match NonZero::new(256) {
    Some(number) => number,
    None => NonZero::<usize>::MIN,
};
/// How long a connection, and an answer to a ping, may take.
pub(super) const CONNECT_TIME: Duration = Duration::from_secs(5);
/// How long an unused connection is kept: less than servers keep it, so that none is used as it is closed.
const IDLE_TIME: Duration = Duration::from_secs(50);
/// Unused connections to one host: HTTP/2 needs one.
const MAX_IDLE: usize = 4;
/// Header fields of an answer.
const MAX_HEADERS: usize = 64;
/// Bytes of the headers of an answer.
const MAX_HEADER_BYTES: u32 = 16 << 10;
/// How often a peer that owes an answer is asked whether it is there.
const PING_EVERY: Duration = Duration::from_secs(10);
