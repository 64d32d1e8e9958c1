//! What a homeserver does for DPoP (05): it publishes the keys of its tokens, and knows who visits.

use std::sync::Arc;

use bytes::Bytes;
use phoenix_as::{Visit as VisitOperation, VisitRequest};
use phoenix_core::{
    ErrorReply, Failure, Fault, Fqdn, Origin, Refusal, Reject, Timestamp, UserId,
    api::{Endpoint, ServiceName, tokens},
    dpop::{DpopIdentity, DpopNonces, PROOF_WINDOW_S, UnspentProof},
    operation::{Fare, Need},
    port::before,
    published::PublishedKeys,
    wire::Flag,
};

use crate::Homeserver;

/// Someone who came with a DPoP token, and with a proof that nobody had used before: a *federated account*, with the
/// permissions that whoever asks gives it, and with none from home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visit {
    /// Who it is.
    pub identity: DpopIdentity,
    /// Whether the account is new: a first visit, or one after ninety days without any.
    pub is_first: bool,
}

/// Why a visit does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VisitError {
    /// The proof was used before.
    #[error("the proof was used before")]
    Replayed,
    /// The user's homeserver has said that there is no such user any more.
    #[error("the user was deleted")]
    Gone,
    /// The operator has blocked the user's homeserver.
    #[error("the user's homeserver is blocked")]
    Blocked,
    /// So many users of that homeserver, or of all new ones, came for the first time today that no further one has room; it
    /// may be tried again after so many seconds.
    #[error("too many of that homeserver came for the first time: come again in {0} s")]
    TooMany(u32),
    /// Too much is under way, or the user's homeserver is paused; it may be tried again.
    #[error("the homeserver is too busy")]
    Busy,
    /// Something broke; the proof may have been spent.
    #[error(transparent)]
    Broken(#[from] Fault),
}

impl From<Failure> for VisitError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(Refusal { reject, .. }) => match reject {
                Reject::Unauthenticated => Self::Replayed,
                Reject::NotFound => Self::Gone,
                Reject::Forbidden => Self::Blocked,
                Reject::RateLimited(seconds) => Self::TooMany(seconds),
                _ => Self::Busy,
            },
            Failure::Broken(fault) => Self::Broken(fault),
        }
    }
}

impl Homeserver {
    /// The time by the homeserver's clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.inner.shared.ports().clock.now()
    }

    /// The keys that sign the tokens of this homeserver's users, in JSON (RFC 7517), for `/.well-known/jwks.json`.
    #[must_use]
    pub fn jwks(&self) -> Bytes {
        self.inner.auth.ring().service.jwks()
    }

    /// The nonces that a server may demand in proofs: the same on all replicas.
    #[must_use]
    pub fn dpop_nonces(&self) -> &DpopNonces {
        &self.inner.dpop_nonces
    }

    /// Counts a request that brings a DPoP token for the network that it came from (05), as one to the endpoint that
    /// gives tokens is counted: checking one takes as long.
    ///
    /// # Errors
    /// `rate_limited` where that network has sent too many.
    pub fn admit_visitor(&self, origin: &Origin) -> Result<(), ErrorReply> {
        self.admit(&tokens::DpopToken::DESCRIPTION, origin)
    }

    /// The credentials of a homeserver's AS, always [`PublishedKeys::As`]: known already, or asked for. One network can
    /// have few strangers asked in a minute (08).
    ///
    /// # Errors
    /// `forbidden` where the operator has blocked it; `unavailable` where it is paused, or does not answer; `rate_limited`
    /// where that network has had too many asked.
    pub async fn authority_of(
        &self,
        domain: &Fqdn,
        origin: &Origin,
    ) -> Result<Arc<PublishedKeys>, ErrorReply> {
        let (need, shared) = (Need::keys(domain.clone(), ServiceName::As), &self.inner.shared);
        shared.federation().admit(domain).map_err(Refusal::from)?;
        let (clock, finding) =
            (&shared.ports().clock, shared.directory().find_for_stranger(&need, origin, 0));
        let found = before(clock.now().plus_secs(DEADLINE_S), clock.as_ref(), finding).await;
        let found = found.unwrap_or(Err(Reject::Unavailable(RETRY_S)));
        Ok(found.map_err(Refusal::from)?)
    }

    /// Takes a visitor in, once: spends the proof, in the store that all replicas share, and marks the month in the
    /// account.
    ///
    /// # Errors
    /// [`VisitError`].
    pub async fn visit(&self, proof: UnspentProof) -> Result<Visit, VisitError> {
        let (identity, once) = proof.into_parts_to_remember();
        // No frame's name begins so: that of its sender's kind is never 0.
        let name = [b"\0dpop".as_slice(), &once].concat();
        // The second that the window's end may lie in, too.
        let until = self.now().plus_secs(2 * PROOF_WINDOW_S + 1);
        let fare = Fare::Frame(name.into(), until);
        let request = VisitRequest { user: identity.user.clone(), comes: Flag::Yes };
        let was_there = self.inner.auth.internal::<VisitOperation>(request, fare).await?;
        Ok(Visit { identity, is_first: !was_there.is_set() })
    }

    /// Whether a user has a federated account here. Where not, what an embedder keeps of the user may go.
    ///
    /// # Errors
    /// [`VisitError`].
    pub async fn has_account(&self, user: &UserId) -> Result<bool, VisitError> {
        let request = VisitRequest { user: user.clone(), comes: Flag::No };
        Ok(self.inner.auth.internal::<VisitOperation>(request, Fare::Free).await?.is_set())
    }
}

/// How long a visitor's homeserver may take to tell its keys: as long as with a call.
const DEADLINE_S: u64 = 20;
/// When to come back then.
const RETRY_S: u32 = 5;
