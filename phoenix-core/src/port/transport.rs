//! The port to homeservers.

use async_trait::async_trait;
use bytes::Bytes;

use crate::{
    ErrorReply, Fqdn,
    api::{
        Endpoint, ServiceName,
        auth::{GetConnectionPackage, GetProfile, UserNotice},
        federation::FederatedEnqueue,
    },
    wire::Call,
};

/// Carries calls to homeservers, for clients and for other homeservers alike.
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// Sends a call to a service of a homeserver. The outer result says whether an answer came back; the inner
    /// one is the answer: the reply's bytes, or the protocol's error.
    ///
    /// # Errors
    /// [`TransportError`] when no answer came; whether the call was carried out is unknown then.
    async fn send(&self, to: &Fqdn, outgoing: Outgoing) -> Result<Result<Bytes, ErrorReply>, TransportError>;

    /// Fetches the published document (keys, in JSON) of a homeserver's service (08).
    ///
    /// # Errors
    /// [`TransportError`] when it could not be had.
    async fn fetch(&self, from: &Fqdn, service: ServiceName) -> Result<Bytes, TransportError>;
}

#[async_trait]
impl<T: Transport + ?Sized> Transport for std::sync::Arc<T> {
    async fn send(&self, to: &Fqdn, outgoing: Outgoing) -> Result<Result<Bytes, ErrorReply>, TransportError> {
        self.as_ref().send(to, outgoing).await
    }

    async fn fetch(&self, from: &Fqdn, service: ServiceName) -> Result<Bytes, TransportError> {
        self.as_ref().fetch(from, service).await
    }
}

/// A call on its way out.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// The service that it is for.
    pub service: ServiceName,
    /// The endpoint's name: the last part of its path.
    pub name: &'static str,
    /// The call.
    pub call: Call,
    /// Calls of different circuits never share a connection.
    pub circuit: Circuit,
}

impl Outgoing {
    /// Most bytes that an honest answer has: no transport need read more. What homeservers tell each other is answered in
    /// a few bytes for each part of it, and many may hang on answers at a time; a page of a queue or the tree of a large
    /// group has some megabytes.
    #[must_use]
    pub fn longest_answer(&self) -> usize {
        let told = [FederatedEnqueue::DESCRIPTION.id, UserNotice::DESCRIPTION.id];
        let looked_up = [GetConnectionPackage::DESCRIPTION.id, GetProfile::DESCRIPTION.id];
        if told.contains(&self.call.endpoint) {
            self.call.body.len().saturating_add(LONGEST_WORD)
        } else if looked_up.contains(&self.call.endpoint) {
            LONGEST_FOUND
        } else {
            LONGEST_ANSWER
        }
    }
}

/// Longest answer of all.
const LONGEST_ANSWER: usize = 8 << 20;
/// Longest answer about a user: a profile, or a package of each of ten clients.
const LONGEST_FOUND: usize = 1 << 20;
/// What an answer to a homeserver has beside what it says of each part: limits, or an error.
const LONGEST_WORD: usize = 16 << 10;

/// Keeps apart on the network what the protocol keeps apart: a client uses one circuit for its AS identity,
/// one for each QS identity, and one for each group (02).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Circuit(pub u64);

/// Why no answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// The other side does not answer, for now.
    #[error("the homeserver does not answer")]
    Unreachable,
    /// What answers is not a homeserver of that domain, or must not be talked to.
    #[error("there is no homeserver to be reached under this name")]
    Refused,
    /// It was not asked, since this side has too much under way: that says nothing of it.
    #[error("too many homeservers are being looked up")]
    Busy,
}
