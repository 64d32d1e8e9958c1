//! DPoP (05; RFC 9449): access tokens that a homeserver signs for its users, and that any federated homeserver can check
//! at an HTTP API of its embedder's, such as one for media.
//!
//! A token is bound to a key. Whoever uses it shows with each request, by a proof, that the key is theirs, so a token that
//! is stolen is worth nothing. [`verify_dpop`] does all that needs no waiting; what it gives is worth nothing either
//! until its proof was spent, once, in the store.
//!
//! It names the user, so it is never used towards a QS or a DS.

mod json;
mod jwks;
mod jws;
mod key;
mod nonce;
mod proof;
mod target;
#[cfg(test)]
mod tests;
mod token;

pub use jwks::{JwkSet, MAX_JWKS};
pub use key::{DpopKey, DpopPublicKey};
pub use nonce::DpopNonces;
pub use proof::{DpopProof, PROOF_WINDOW_S, ProofOf};
pub use target::{HttpOrigin, token_target};
pub use token::{DPOP_SCHEME, DpopGrant, TOKEN_S};

use std::fmt;

use crate::{Fingerprint, Fqdn, Timestamp, UserId, credential::AsKeys, crypto::sha256};
use token::AccessToken;

/// What a request brings.
#[derive(Clone, Copy, Debug)]
pub struct DpopRequest<'a> {
    /// Its method.
    pub method: &'a str,
    /// The path that it was sent to, as it stood in the request; a query is ignored.
    pub path: &'a str,
    /// The values of all its headers `Authorization`.
    pub authorization: &'a [&'a str],
    /// The values of all its headers `DPoP`.
    pub proofs: &'a [&'a str],
}

/// What a server demands.
pub struct DpopRules<'a> {
    /// How callers name the server, whatever stands between them and it.
    pub origin: &'a HttpOrigin,
    /// Who tokens must be for: the domain of the server's homeserver.
    pub audience: &'a Fqdn,
    /// Whose users may come, as far as their domain tells.
    pub allowed: &'a (dyn Fn(&Fqdn) -> bool + Sync),
    /// Where given, each proof must carry a nonce of these.
    pub nonces: Option<&'a DpopNonces>,
}

/// What a token's homeserver publishes.
#[derive(Clone, Copy, Debug)]
pub struct DpopKeys<'a> {
    /// The keys that sign its tokens, from `/.well-known/jwks.json`.
    pub tokens: &'a JwkSet,
    /// What it says of its clients, who was revoked above all.
    pub authority: &'a AsKeys,
}

/// Who makes a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DpopIdentity {
    /// The user.
    pub user: UserId,
    /// The credential of the client that got the token.
    pub client: Fingerprint,
    /// The thumbprint (RFC 7638) of the key that the token is bound to.
    pub key: [u8; 32],
    /// When the token ends.
    pub expires: Timestamp,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DpopError {
    /// It brings no token of this kind.
    #[error("a token of the scheme DPoP is wanted")]
    Missing,
    /// The token is not good: the claim or header that shows it.
    #[error("the token's {0} is not good")]
    Token(&'static str),
    /// The proof is not good: the claim or header that shows it.
    #[error("the proof's {0} is not good")]
    Proof(&'static str),
    /// The proof must carry a nonce of the server's.
    #[error("the proof must carry the nonce that this answer tells")]
    Nonce,
}

impl DpopError {
    /// The error's code in `WWW-Authenticate` (RFC 6750 §3.1; RFC 9449 §7.1, §9). None where no token came.
    #[must_use]
    pub const fn code(&self) -> Option<&'static str> {
        match self {
            Self::Missing => None,
            Self::Token(_) => Some("invalid_token"),
            Self::Proof(_) => Some("invalid_dpop_proof"),
            Self::Nonce => Some("use_dpop_nonce"),
        }
    }
}

/// Checks a request with the keys of its token's homeserver: all that needs no waiting. [`DpopClaim`] does the same in
/// two steps, for those who have yet to ask for the keys.
///
/// # Errors
/// [`DpopError`].
pub fn verify_dpop(
    request: &DpopRequest<'_>,
    keys: &DpopKeys<'_>,
    rules: &DpopRules<'_>,
    now: Timestamp,
) -> Result<UnspentProof, DpopError> {
    DpopClaim::read(request, rules, now)?.verify(keys, now)
}

/// A request in which all is right that can be told without the keys of its token's homeserver: so far, anybody may have
/// made up the token.
pub struct DpopClaim {
    token: AccessToken,
    proof: DpopProof,
}

impl DpopClaim {
    /// Reads a request.
    ///
    /// # Errors
    /// [`DpopError`].
    pub fn read(request: &DpopRequest<'_>, rules: &DpopRules<'_>, now: Timestamp) -> Result<Self, DpopError> {
        let text = match request.authorization {
            [] => return Err(DpopError::Missing),
            [one] => token::of_scheme(one).ok_or(DpopError::Missing)?,
            _ => return Err(DpopError::Token("number")),
        };
        let token = AccessToken::read(text).map_err(DpopError::Token)?;
        token.check(rules.audience, now).map_err(DpopError::Token)?;
        if !(rules.allowed)(token.issuer()) {
            return Err(DpopError::Token("iss"));
        }
        let [proof] = request.proofs else { return Err(DpopError::Proof("number")) };
        let target = rules.origin.target(request.path).ok_or(DpopError::Proof("htu"))?;
        let proof = DpopProof::verify(proof, request.method, &target, now)?;
        if rules.nonces.is_some_and(|nonces| !proof.nonce().is_some_and(|nonce| nonces.accept(nonce, now))) {
            return Err(DpopError::Nonce);
        }
        if proof.token() != Some(&sha256(text.as_bytes())) {
            return Err(DpopError::Proof("ath"));
        }
        if *proof.key().thumbprint() != token.bound_to {
            return Err(DpopError::Proof("jwk"));
        }
        Ok(Self { token, proof })
    }

    /// Whose keys are needed.
    #[must_use]
    pub const fn issuer(&self) -> &Fqdn {
        self.token.issuer()
    }

    /// The name of the key that must be among its JWKS.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.token.key_id
    }

    /// Checks the rest.
    ///
    /// # Errors
    /// [`DpopError::Token`].
    pub fn verify(self, keys: &DpopKeys<'_>, now: Timestamp) -> Result<UnspentProof, DpopError> {
        let Self { token, proof } = self;
        let authority = keys.authority;
        if authority.domain() != token.issuer() || authority.expires() <= now {
            return Err(DpopError::Token("iss"));
        }
        let key = keys.tokens.find(&token.key_id).ok_or(DpopError::Token("kid"))?;
        if !token.is_signed_by(key) {
            return Err(DpopError::Token("signature"));
        }
        if authority.is_revoked(&token.client, now) {
            return Err(DpopError::Token("client_id"));
        }
        let AccessToken { user, client, bound_to, expires, .. } = token;
        let expires = Timestamp::from_secs(expires);
        let identity = DpopIdentity { user, client, key: bound_to, expires };
        let once = sha256(&[&bound_to, proof.id().as_bytes()].concat());
        Ok(UnspentProof { identity, once })
    }
}

/// Who makes a request, if its proof was not used before. `Homeserver::visit` sees to that.
#[must_use = "the proof may have been used before"]
pub struct UnspentProof {
    identity: DpopIdentity,
    once: [u8; 32],
}

impl fmt::Debug for UnspentProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UnspentProof")
    }
}

impl UnspentProof {
    /// Gives who it is, and 32 bytes that name the proof (05: `jkt` and `jti`). Whoever calls this remembers these,
    /// durably, for twice [`PROOF_WINDOW_S`] and a second more, and takes the request only where they were not there.
    #[must_use]
    pub fn into_parts_to_remember(self) -> (DpopIdentity, [u8; 32]) {
        (self.identity, self.once)
    }
}
