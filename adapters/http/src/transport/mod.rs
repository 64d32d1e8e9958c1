//! Reaches homeservers over HTTPS (02, "HTTP binding"; 08, "Discovery").

mod check;
mod circuits;
mod discovery;
pub(crate) mod exchange;
mod names;
pub(crate) mod networks;
mod own;
mod resolver;
mod stream;
pub(crate) mod turns;

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{
    HeaderValue, StatusCode,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE},
};
use phoenix_core::{
    ErrorReply, Fqdn, Refusal, Reject,
    api::ServiceName,
    dpop::MAX_JWKS,
    port::{Outgoing, Transport, TransportError},
    published::max_document,
    wire::Wire,
};

#[cfg(test)]
pub(crate) use self::names::Everywhere;
pub use self::{
    check::{CheckOutcome, CheckReport, CheckStep, FederationCheck, StepName},
    names::{NameService, SystemNames},
};
use self::{
    circuits::Circuits,
    discovery::{Discovery, FailureMemory},
    exchange::Answer,
    networks::Networks,
    own::Own,
    resolver::Resolver,
};
use crate::{
    MEDIA_TYPE, PROBLEM_TYPE,
    error::reply_in,
    tls::{self, TlsError},
    token,
};

/// The transport over HTTPS: finds a domain's services, checks where it connects to, and keeps circuits apart.
///
/// It takes nothing from its surroundings: no proxy, no process-wide TLS provider.
#[derive(Clone)]
pub struct HttpTransport(Arc<Parts>);

struct Parts {
    discovery: Discovery,
    circuits: Circuits,
    resolver: Arc<Resolver>,
    /// Where push services are that the operator has addresses for.
    push_services: HashMap<Fqdn, Vec<SocketAddr>>,
}

/// What an operator may say about the transport.
#[derive(Clone, Default)]
pub struct HttpTransportBuilder {
    authorities: Option<Vec<u8>>,
    overrides: HashMap<Fqdn, Vec<SocketAddr>>,
    push_services: HashMap<Fqdn, Vec<SocketAddr>>,
    own_addresses: Vec<IpAddr>,
    own_hosts: Vec<Fqdn>,
    names: Option<Arc<dyn NameService>>,
    call_time: Option<Duration>,
    memory: FailureMemory,
}

impl HttpTransport {
    /// For the internet: the web's roots, the system's resolver.
    ///
    /// # Errors
    /// [`TlsError`] when TLS cannot be set up.
    pub fn new() -> Result<Self, TlsError> {
        Self::builder().build()
    }

    /// With what an operator wants otherwise.
    #[must_use]
    pub fn builder() -> HttpTransportBuilder {
        HttpTransportBuilder::default()
    }

    /// Ways to push services: with the transport's authorities and own addresses, and overrides for push services alone.
    /// Each exchange may take so long.
    pub(crate) fn push_services(&self, time: Duration) -> Networks {
        let resolver = self.0.resolver.overriding(self.0.push_services.clone());
        Networks::new(Arc::clone(&self.0), resolver, time)
    }

    /// Where the domain's services are was found so long ago.
    #[cfg(test)]
    pub(crate) fn age(&self, domain: &Fqdn, by: Duration) {
        self.0.discovery.age(domain, by);
    }

    /// The keys of a domain's DPoP tokens, as its AS publishes them (05): in JSON, of which nothing was read.
    pub(crate) async fn jwks(&self, from: &Fqdn) -> Result<Bytes, TransportError> {
        self.document(from, ServiceName::As, JWKS, MAX_JWKS).await
    }

    /// A document of a service that everyone may read.
    async fn document(
        &self,
        from: &Fqdn,
        service: ServiceName,
        path: &str,
        limit: usize,
    ) -> Result<Bytes, TransportError> {
        let url = self.0.url(from, service, path).await?;
        let request = self.0.discovery.client().get(url);
        match exchange::exchange(request, limit).await {
            Ok(answer) if answer.status == StatusCode::OK => Ok(answer.body),
            Ok(answer) => Err(exchange::verdict(answer.status)),
            Err(error) => {
                self.0.discovery.doubt(from);
                Err(error.into())
            }
        }
    }
}

impl HttpTransportBuilder {
    /// Trusts these authorities (certificates in PEM) in place of the web's roots.
    #[must_use]
    pub fn authorities(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.authorities = Some(pem.into());
        self
    }

    /// Reaches a host, and the hosts below it, at this address and port, which may then be a private one (08); where it is
    /// told several times of one host, at the first of them that takes connections. Pushes do not: where these go, anybody
    /// may say.
    #[must_use]
    pub fn resolve(mut self, host: Fqdn, to: SocketAddr) -> Self {
        self.overrides.entry(host).or_default().push(to);
        self
    }

    /// Pushes to a push service, and those below it, at this address and port, which may then be a private one: every
    /// client can have whatever it likes posted there.
    #[must_use]
    pub fn push_service(mut self, host: Fqdn, to: SocketAddr) -> Self {
        self.push_services.entry(host).or_default().push(to);
        self
    }

    /// Never connects to this address because a name resolves to it: it is this server's own (08). Those of the
    /// machine's interfaces are known already.
    #[must_use]
    pub fn own_address(mut self, address: IpAddr) -> Self {
        self.own_addresses.push(address.to_canonical());
        self
    }

    /// Never connects to this host, nor to where it leads: it is this server itself (08). The domain, and the host that
    /// others find it at. What [`resolve`](Self::resolve) names is reached all the same.
    #[must_use]
    pub fn own_host(mut self, host: Fqdn) -> Self {
        self.own_hosts.push(host);
        self
    }

    /// Who tells the addresses of names; the system's resolver by default.
    #[must_use]
    pub fn names(mut self, names: impl NameService) -> Self {
        self.names = Some(Arc::new(names));
        self
    }

    /// How long a call may take in all. By default 45 s, since long polls take up to 35 s.
    #[must_use]
    pub fn call_time(mut self, time: Duration) -> Self {
        self.call_time = Some(time);
        self
    }

    /// For a client: a domain that could not be found is looked for again after a second, doubling to 30 s, in place of
    /// a minute, doubling to an hour. Homeservers wait as long as that since strangers name domains to them (08); a
    /// client's user chooses whom it looks for, and what fails is mostly its own network.
    #[must_use]
    pub const fn of_client(mut self) -> Self {
        self.memory = FailureMemory::CLIENT;
        self
    }

    /// The transport.
    ///
    /// # Errors
    /// [`TlsError`] when the authorities cannot be read.
    pub fn build(self) -> Result<HttpTransport, TlsError> {
        let Self {
            authorities,
            overrides,
            push_services,
            own_addresses,
            own_hosts,
            names,
            call_time,
            memory,
        } = self;
        let roots = match authorities {
            Some(pem) => tls::own_roots(&pem)?,
            None => tls::web_roots(),
        };
        let own = Arc::new(Own::new(own_addresses, own_hosts));
        let names = names.unwrap_or_else(|| Arc::new(SystemNames));
        let resolver = Arc::new(Resolver::new(overrides, own, names));
        let time = call_time.unwrap_or(CALL_TIME);
        let circuits = Circuits::new(tls::client(roots)?, Arc::clone(&resolver), time);
        let anonymous = circuits.client(LOOK_UP_TIME).map_err(|_| TlsError::Unusable("configuration"))?;
        let discovery = Discovery::new(anonymous, Arc::clone(&resolver), memory);
        Ok(HttpTransport(Arc::new(Parts { discovery, circuits, resolver, push_services })))
    }
}

impl Parts {
    async fn url(&self, domain: &Fqdn, service: ServiceName, path: &str) -> Result<String, TransportError> {
        let hosts = self.discovery.hosts(domain).await?;
        Ok(format!("https://{}{path}", self.resolver.authority(hosts.host(service))))
    }
}

#[async_trait]
impl Transport for HttpTransport {
    async fn send(&self, to: &Fqdn, outgoing: Outgoing) -> Result<Result<Bytes, ErrorReply>, TransportError> {
        let limit = outgoing.longest_answer();
        let Outgoing { service, name, mut call, circuit } = outgoing;
        let client = self.0.circuits.of(circuit)?;
        let url = self.0.url(to, service, &service.path(name)).await?;
        let token = call.token.take();
        let mut request = client
            .post(url)
            .header(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE))
            .header(ACCEPT, HeaderValue::from_static(MEDIA_TYPE))
            .body(call.encode());
        if let Some(value) = token.as_ref().and_then(token::authorization) {
            request = request.header(AUTHORIZATION, value);
        }
        match exchange::exchange(request, limit).await {
            Ok(answer) => read(answer),
            Err(error) => {
                self.0.discovery.doubt(to);
                Err(error.into())
            }
        }
    }

    async fn fetch(&self, from: &Fqdn, service: ServiceName) -> Result<Bytes, TransportError> {
        self.document(from, service, &service.keys_path(), max_document(service)).await
    }
}

/// What an answer to a call says.
fn read(answer: Answer) -> Result<Result<Bytes, ErrorReply>, TransportError> {
    let Answer { status, media_type, body, retry_after_s: _, date: _ } = answer;
    if status == StatusCode::OK {
        return if media_type == MEDIA_TYPE { Ok(Ok(body)) } else { Err(TransportError::Refused) };
    }
    let error = if media_type == PROBLEM_TYPE { reply_in(&body) } else { None };
    // What stands before a homeserver says this of the body alone.
    let too_large = || Refusal::from(Reject::TooLarge("body")).into();
    let error = error.or_else(|| (status == StatusCode::PAYLOAD_TOO_LARGE).then(too_large));
    error.map(Err).ok_or(exchange::verdict(status))
}

/// Where an AS publishes the keys of DPoP tokens (05).
pub(crate) const JWKS: &str = "/.well-known/jwks.json";
/// How long a call may take in all.
const CALL_TIME: Duration = Duration::from_secs(45);
/// How long a published document may take.
const LOOK_UP_TIME: Duration = Duration::from_secs(10);
