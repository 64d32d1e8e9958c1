//! What the router needs of a homeserver.

use async_trait::async_trait;
use bytes::Bytes;
use phoenix_core::{
    ErrorReply, Fqdn, Origin,
    api::{Description, ServiceName},
    engine::OpenStream,
    token::{Class, KeyListEntry},
    wire::Call,
};
use phoenix_homeserver::Homeserver;

/// A homeserver as the router sees it: small enough for a test to write one.
#[async_trait]
pub(crate) trait Home: Send + Sync + 'static {
    /// Its domain.
    fn domain(&self) -> &Fqdn;
    /// Its endpoints.
    fn descriptions(&self) -> Vec<Description>;
    /// Carries out a call.
    async fn call(&self, endpoint: &Description, call: Call, origin: Origin) -> Result<Bytes, ErrorReply>;
    /// Opens a stream.
    async fn open(
        &self,
        endpoint: &Description,
        call: Call,
        origin: Origin,
    ) -> Result<OpenStream, ErrorReply>;
    /// Counts a request that is none to an endpoint, but for what an endpoint gives, for the network that it came from
    /// (05).
    fn admit(&self, endpoint: &Description, origin: &Origin) -> Result<(), ErrorReply>;
    /// The published document of a service, in JSON (08).
    async fn document(&self, service: ServiceName) -> Result<Bytes, ErrorReply>;
    /// The keys that sign its users' DPoP tokens, in JSON (05).
    fn jwks(&self) -> Bytes;
    /// The challenges for tokens of a class, one of each type (05).
    fn challenges(&self, class: Class) -> Vec<Challenge>;
    /// The token keys that issue now, and those that will next.
    fn issuing_keys(&self) -> Vec<KeyListEntry>;
}

/// What a token must answer, and the key that issues it (RFC 9577 §2.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Challenge {
    /// The encoded TokenChallenge.
    pub(crate) challenge: Bytes,
    /// The public key that issues such tokens.
    pub(crate) token_key: Bytes,
}

#[async_trait]
impl Home for Homeserver {
    fn domain(&self) -> &Fqdn {
        self.domain()
    }

    fn descriptions(&self) -> Vec<Description> {
        self.descriptions()
    }

    async fn call(&self, endpoint: &Description, call: Call, origin: Origin) -> Result<Bytes, ErrorReply> {
        self.call(endpoint.service, endpoint.name, call, origin).await
    }

    async fn open(
        &self,
        endpoint: &Description,
        call: Call,
        origin: Origin,
    ) -> Result<OpenStream, ErrorReply> {
        self.open(endpoint.service, endpoint.name, call, origin).await
    }

    fn admit(&self, endpoint: &Description, origin: &Origin) -> Result<(), ErrorReply> {
        self.admit(endpoint, origin)
    }

    async fn document(&self, service: ServiceName) -> Result<Bytes, ErrorReply> {
        self.document(service).await
    }

    fn jwks(&self) -> Bytes {
        self.jwks()
    }

    fn challenges(&self, class: Class) -> Vec<Challenge> {
        let challenge = |(challenge, token_key)| Challenge { challenge, token_key };
        self.challenges(class).into_iter().map(challenge).collect()
    }

    fn issuing_keys(&self) -> Vec<KeyListEntry> {
        self.issuing_keys()
    }
}
