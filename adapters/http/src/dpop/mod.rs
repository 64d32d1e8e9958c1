//! Users of any homeserver at an HTTP API of one's own (05, "DPoP"; RFC 9449).

mod keys;
mod refusal;

use std::{fmt, sync::Arc};

use axum::{
    extract::{FromRef, FromRequestParts, OriginalUri},
    http::request::Parts,
};
use http::{HeaderMap, HeaderName, header::AUTHORIZATION};
use phoenix_core::{
    Fqdn, Origin,
    dpop::{DpopClaim, DpopError, DpopKeys, DpopRequest, DpopRules, HttpOrigin, JwkSet},
    published::PublishedKeys,
};
use phoenix_homeserver::{Homeserver, Visit, VisitError};

use self::keys::TokenKeys;
pub use self::refusal::DpopRefusal;
use crate::{HttpTransport, router::origin};

/// Checks who makes requests to an API of an embedder's: users of this homeserver and of others, each by a token of their
/// own homeserver's that names this one, and a proof that is good once.
///
/// Put one into the state of the API's router, and ask for a [`DpopCaller`] in its handlers. Cheap to clone; all clones
/// share what they know of others' keys.
#[derive(Clone)]
pub struct Dpop(Arc<Inner>);

struct Inner {
    home: Homeserver,
    keys: TokenKeys,
    options: DpopOptions,
}

/// What an API demands of its callers.
#[derive(Clone)]
pub struct DpopOptions {
    /// How callers name the API's server, as in the URIs that they call.
    pub origin: HttpOrigin,
    /// Whether proofs must carry a nonce that an answer has told: then none can be made for a later time. By default
    /// they need not.
    pub demands_nonces: bool,
    /// Whose users may come; those of all homeservers by default.
    pub allowed: Arc<dyn Fn(&Fqdn) -> bool + Send + Sync>,
}

impl DpopOptions {
    /// The defaults.
    #[must_use]
    pub fn new(origin: HttpOrigin) -> Self {
        Self { origin, demands_nonces: false, allowed: Arc::new(|_| true) }
    }
}

impl fmt::Debug for DpopOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DpopOptions")
    }
}

impl Dpop {
    /// For an API beside this homeserver; `transport` asks others for their keys.
    #[must_use]
    pub fn new(home: Homeserver, transport: HttpTransport, options: DpopOptions) -> Self {
        Self(Arc::new(Inner { home, keys: TokenKeys::new(transport), options }))
    }

    /// Who makes a request. Once for each: the proof is spent.
    ///
    /// # Errors
    /// [`DpopRefusal`], which is the answer.
    pub async fn caller(&self, request: &Parts) -> Result<Visit, DpopRefusal> {
        let origin = origin(&request.extensions);
        self.0.home.admit_visitor(&origin)?;
        let claim = self.claim(request).map_err(|error| self.refused(error))?;
        let this = self.clone();
        // Else whoever hangs up while keys are asked for is free to have them asked for again.
        let admitted = tokio::spawn(async move { this.admitted(claim, &origin).await });
        admitted.await.unwrap_or(Err(DpopRefusal::BROKEN))
    }

    /// Whose claim it is, once its homeserver's keys are there.
    async fn admitted(&self, claim: DpopClaim, origin: &Origin) -> Result<Visit, DpopRefusal> {
        let Inner { home, keys, .. } = self.0.as_ref();
        // Whoever knows no homeserver cannot have it asked for keys at will: that is counted.
        let authority = home.authority_of(claim.issuer(), origin).await?;
        let PublishedKeys::As(authority, _) = authority.as_ref() else { return Err(DpopRefusal::BROKEN) };
        let tokens = if claim.issuer() == home.domain() {
            Arc::new(JwkSet::decode(&home.jwks()).map_err(|_| DpopRefusal::BROKEN)?)
        } else {
            keys.find(claim.issuer(), claim.key_id(), home.now()).await?
        };
        let keys = DpopKeys { tokens: &tokens, authority };
        let proof = claim.verify(&keys, home.now()).map_err(|error| self.refused(error))?;
        home.visit(proof).await.map_err(|error| match error {
            VisitError::Replayed => self.refused(DpopError::Proof("jti")),
            VisitError::Gone => self.refused(DpopError::Token("sub")),
            VisitError::Blocked => DpopRefusal::FORBIDDEN,
            VisitError::TooMany(seconds) => DpopRefusal::too_many(seconds),
            VisitError::Busy => DpopRefusal::BUSY,
            VisitError::Broken(fault) => {
                tracing::error!(%fault, "a visitor could not be taken in");
                DpopRefusal::BROKEN
            }
        })
    }

    /// What a request brings, as far as it can be checked without others.
    fn claim(&self, request: &Parts) -> Result<DpopClaim, DpopError> {
        let Inner { home, options, .. } = self.0.as_ref();
        let (authorization, proofs) =
            (texts(&request.headers, &AUTHORIZATION), texts(&request.headers, &PROOF));
        // Within a nested router the URI is that of the nest.
        let whole = request.extensions.get::<OriginalUri>();
        let uri = whole.map_or(&request.uri, |OriginalUri(uri)| uri);
        let request = DpopRequest {
            method: request.method.as_str(),
            path: uri.path(),
            authorization: &authorization,
            proofs: &proofs,
        };
        let rules = DpopRules {
            origin: &options.origin,
            audience: home.domain(),
            allowed: options.allowed.as_ref(),
            nonces: options.demands_nonces.then_some(home.dpop_nonces()),
        };
        DpopClaim::read(&request, &rules, home.now())
    }

    /// The answer to an error, with the nonce to come back with where nonces are demanded.
    fn refused(&self, error: DpopError) -> DpopRefusal {
        let Inner { home, options, .. } = self.0.as_ref();
        let nonce = options.demands_nonces.then(|| home.dpop_nonces().current(home.now()));
        DpopRefusal::unauthorized(error, nonce)
    }
}

impl fmt::Debug for Dpop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dpop")
    }
}

/// Who makes the request: an extractor for handlers of a router whose state has a [`Dpop`].
///
/// At most once in what handles a request, since the proof is good once.
#[derive(Clone, Debug)]
pub struct DpopCaller(pub Visit);

impl<S> FromRequestParts<S> for DpopCaller
where
    Dpop: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = DpopRefusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, DpopRefusal> {
        Dpop::from_ref(state).caller(parts).await.map(Self)
    }
}

/// All values of a header. One that is no text is good for nothing, but counts.
fn texts<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Vec<&'a str> {
    headers.get_all(name).iter().map(|value| value.to_str().unwrap_or_default()).collect()
}

const PROOF: HeaderName = HeaderName::from_static("dpop");
