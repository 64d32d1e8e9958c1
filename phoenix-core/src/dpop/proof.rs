//! Proofs: whoever makes a request holds a key (RFC 9449 §4).

use serde::Serialize;

use super::{
    DpopError, DpopKey, DpopPublicKey,
    jws::{self, ES256, Jws, encoded},
    key::Jwk,
    target::normal,
};
use crate::{
    Timestamp,
    api::tokens::MAX_DPOP_PROOF,
    crypto::{Chance, sha256},
    time::MINUTE,
};

/// A proof that verified: whoever sent it holds its key, and means this request.
#[derive(Clone, Debug)]
pub struct DpopProof {
    key: DpopPublicKey,
    id: String,
    token: Option<[u8; 32]>,
    nonce: Option<String>,
}

/// What a proof is to be for.
#[derive(Clone, Copy, Debug)]
pub struct ProofOf<'a> {
    /// The request's method.
    pub method: &'a str,
    /// Its URI; query and fragment are left out.
    pub uri: &'a str,
    /// The token that goes with it.
    pub token: Option<&'a str>,
    /// The nonce that the server demands.
    pub nonce: Option<&'a str>,
}

#[derive(Serialize)]
struct Header {
    typ: &'static str,
    alg: &'static str,
    jwk: Jwk,
}

#[derive(Serialize)]
struct Claims<'a> {
    jti: String,
    htm: &'a str,
    htu: &'a str,
    iat: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ath: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<&'a str>,
}

impl DpopProof {
    /// Checks a proof (RFC 9449 §4.3) for a request to this URI, which is in the form that [`HttpOrigin::target`] gives.
    /// Left to whoever asks are the nonce, the token, and whether it was used before.
    ///
    /// [`HttpOrigin::target`]: super::HttpOrigin::target
    ///
    /// # Errors
    /// [`DpopError::Proof`].
    pub fn verify(text: &str, method: &str, target: &str, now: Timestamp) -> Result<Self, DpopError> {
        Self::verified(text, method, target, now).map_err(DpopError::Proof)
    }

    fn verified(text: &str, method: &str, target: &str, now: Timestamp) -> Result<Self, &'static str> {
        let jws = Jws::read(text, PROOF_TYPE, MAX_DPOP_PROOF)?;
        let claims = &jws.claims;
        if claims.text("htm") != Some(method) {
            return Err("htm");
        }
        if claims.text("htu").and_then(normal).as_deref() != Some(target) {
            return Err("htu");
        }
        let issued = claims.number("iat").ok_or("iat")?;
        if issued.abs_diff(now.as_secs()) > PROOF_WINDOW_S {
            return Err("iat");
        }
        let id = claims.text("jti").filter(|id| (1..=MAX_ID).contains(&id.len())).ok_or("jti")?;
        let token = claims.text("ath").map(|hash| jws::array(hash).ok_or("ath")).transpose()?;
        let jwk = jws.header.object("jwk").ok_or("jwk")?;
        let key = DpopPublicKey::read(&jwk).ok_or("jwk")?;
        if !jws.is_signed_by(&key) {
            return Err("signature");
        }
        Ok(Self { id: id.to_owned(), token, nonce: claims.text("nonce").map(str::to_owned), key })
    }

    /// The key.
    #[must_use]
    pub const fn key(&self) -> &DpopPublicKey {
        &self.key
    }

    /// The name that its maker gave it.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// SHA-256 of the token that it goes with.
    pub(super) const fn token(&self) -> Option<&[u8; 32]> {
        self.token.as_ref()
    }

    /// The nonce that it carries.
    pub(super) fn nonce(&self) -> Option<&str> {
        self.nonce.as_deref()
    }
}

impl DpopKey {
    /// Makes a proof for one request.
    #[must_use]
    pub fn prove(&self, request: &ProofOf<'_>, now: Timestamp, chance: &mut Chance) -> String {
        let ProofOf { method, uri, token, nonce } = *request;
        let header = Header { typ: PROOF_TYPE, alg: ES256, jwk: self.public().jwk() };
        let claims = Claims {
            jti: encoded(&chance.bytes::<16>()),
            htm: method,
            htu: uri.split(['?', '#']).next().unwrap_or_default(),
            iat: now.as_secs(),
            ath: token.map(|token| encoded(&sha256(token.as_bytes()))),
            nonce,
        };
        jws::sign(&header, &claims, self)
    }
}

/// How far a proof's time may be from the server's, in seconds (05).
pub const PROOF_WINDOW_S: u64 = MINUTE;
const PROOF_TYPE: &str = "dpop+jwt";
/// Longest name of a proof, in bytes; a UUID takes 36.
const MAX_ID: usize = 256;
