//! What the router needs of a homeserver.

use async_trait::async_trait;
use bytes::Bytes;
use phoenix_core::{
    ErrorReply, Fqdn, Origin,
    api::{Description, ServiceName},
    token::Class,
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
    /// The published document of a service, in JSON (08).
    async fn document(&self, service: ServiceName) -> Result<Bytes, ErrorReply>;
    /// The challenge and the key for tokens of a class (05); none while there is no key.
    fn challenge(&self, class: Class) -> Option<Challenge>;
}

/// What a token must answer, and the key that issues it (RFC 9577 §2.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Challenge {
    /// The encoded TokenChallenge.
    pub(crate) challenge: Bytes,
    /// The public key of the class.
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

    async fn document(&self, service: ServiceName) -> Result<Bytes, ErrorReply> {
        self.document(service).await
    }

    fn challenge(&self, class: Class) -> Option<Challenge> {
        let (challenge, token_key) = self.challenge(class);
        if token_key.is_empty() { None } else { Some(Challenge { challenge, token_key }) }
    }
}
