//! Access tokens (05; RFC 9068): who a user is, told by its homeserver to those whom the user names.

use serde::Serialize;
use serde_json::Value;

use super::{
    DpopKey, DpopPublicKey,
    jwks::key_id,
    jws::{self, ES256, Jws, encoded},
    proof::PROOF_WINDOW_S,
};
use crate::{
    Fingerprint, Fqdn, Timestamp, UserId,
    api::tokens::{MAX_AUDIENCES, MAX_DPOP_TOKEN},
    time::MINUTE,
};

/// What a token is to say.
#[derive(Clone, Debug)]
pub struct DpopGrant<'a> {
    /// Of whom. Its domain is the issuer.
    pub user: &'a UserId,
    /// The credential of the client that asks, so that the token dies with it.
    pub client: Fingerprint,
    /// For whom: the domains of homeservers, at most [`MAX_AUDIENCES`].
    pub audiences: &'a [Fqdn],
    /// The key that it is bound to.
    pub key: &'a DpopPublicKey,
    /// From when.
    pub issued: Timestamp,
    /// Until when, its first second after; at most [`TOKEN_S`] later.
    pub expires: Timestamp,
    /// Unlike that of any other token of this homeserver.
    pub id: [u8; 16],
}

#[derive(Serialize)]
struct Header {
    typ: &'static str,
    alg: &'static str,
    kid: String,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: String,
    aud: Vec<&'a str>,
    client_id: String,
    iat: u64,
    exp: u64,
    jti: String,
    cnf: Confirmation,
}

#[derive(Serialize)]
struct Confirmation {
    jkt: String,
}

impl DpopGrant<'_> {
    /// The token, signed with a key of the AS.
    #[must_use]
    pub fn sign(&self, key: &DpopKey) -> String {
        let header = Header { typ: TOKEN_TYPE, alg: ES256, kid: key_id(&key.public()) };
        let claims = Claims {
            iss: self.user.domain.as_str(),
            sub: self.user.to_string(),
            aud: self.audiences.iter().map(Fqdn::as_str).collect(),
            client_id: encoded(self.client.as_bytes()),
            iat: self.issued.as_secs(),
            exp: self.expires.as_secs(),
            jti: encoded(&self.id),
            cnf: Confirmation { jkt: encoded(self.key.thumbprint()) },
        };
        jws::sign(&header, &claims, key)
    }
}

/// A token that was read; nothing is verified before [`AccessToken::is_signed_by`].
pub(super) struct AccessToken {
    jws: Jws,
    /// The name of the key that signed it.
    pub(super) key_id: String,
    pub(super) user: UserId,
    pub(super) client: Fingerprint,
    /// The thumbprint of the key that it is bound to.
    pub(super) bound_to: [u8; 32],
    issued: u64,
    /// The first second after it, since the Unix epoch.
    pub(super) expires: u64,
}

impl AccessToken {
    /// Reads a token.
    ///
    /// # Errors
    /// The claim that is wrong.
    pub(super) fn read(text: &str) -> Result<Self, &'static str> {
        let jws = Jws::read(text, TOKEN_TYPE, MAX_DPOP_TOKEN)?;
        let claims = &jws.claims;
        let user: UserId = claims.text("sub").and_then(|user| user.parse().ok()).ok_or("sub")?;
        if claims.text("iss") != Some(user.domain.as_str()) {
            return Err("iss");
        }
        let hash = |text: Option<&str>| text.and_then(jws::array);
        let client = hash(claims.text("client_id")).map(Fingerprint).ok_or("client_id")?;
        let confirmation = claims.object("cnf").ok_or("cnf")?;
        let bound_to = hash(confirmation.text("jkt")).ok_or("cnf")?;
        let (issued, expires) = (claims.number("iat").ok_or("iat")?, claims.number("exp").ok_or("exp")?);
        let key_id = jws.header.text("kid").ok_or("kid")?.to_owned();
        Ok(Self { jws, key_id, user, client, bound_to, issued, expires })
    }

    /// Whose token it claims to be: the domain of its user.
    pub(super) const fn issuer(&self) -> &Fqdn {
        &self.user.domain
    }

    /// Whether it is for this audience, now. A token that lasts longer than the protocol lets it is none.
    ///
    /// # Errors
    /// The claim that is wrong.
    pub(super) fn check(&self, audience: &Fqdn, now: Timestamp) -> Result<(), &'static str> {
        let now = now.as_secs();
        if self.issued > now.saturating_add(PROOF_WINDOW_S) {
            return Err("iat");
        }
        if self.expires <= now || self.expires > self.issued.saturating_add(TOKEN_S) {
            return Err("exp");
        }
        let claims = &self.jws.claims;
        let is_listed = match claims.array("aud") {
            Some(list) => list.len() <= MAX_AUDIENCES && list.iter().any(|it| names(it, audience)),
            None => claims.text("aud") == Some(audience.as_str()),
        };
        if is_listed { Ok(()) } else { Err("aud") }
    }

    /// Whether it was signed with this key.
    pub(super) fn is_signed_by(&self, key: &DpopPublicKey) -> bool {
        self.jws.is_signed_by(key)
    }
}

/// The token in a header `Authorization` of this scheme, whose name has letters of any size (RFC 9110 §11.1).
pub(super) fn of_scheme(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    let token = token.trim_matches(' ');
    (scheme.eq_ignore_ascii_case(DPOP_SCHEME) && !token.is_empty()).then_some(token)
}

fn names(listed: &Value, audience: &Fqdn) -> bool {
    listed.as_str() == Some(audience.as_str())
}

/// The scheme of the header `Authorization`, and the type that an AS says its tokens are of.
pub const DPOP_SCHEME: &str = "DPoP";
/// How long a token is good, in seconds (05).
pub const TOKEN_S: u64 = 10 * MINUTE;
const TOKEN_TYPE: &str = "at+jwt";
