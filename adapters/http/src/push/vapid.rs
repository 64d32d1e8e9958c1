//! Whom push services may complain to (RFC 8292).

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use p256::{
    ecdsa::{Signature, SigningKey, signature::Signer},
    elliptic_curve::Generate,
};
use phoenix_core::{port::Clock, wire::Secret};
use phoenix_homeserver::SystemClock;

/// The key that a homeserver vouches for its pushes with (RFC 8292). Clients subscribe with its public half, so it stays
/// the same for as long as their subscriptions last.
pub struct VapidKey(SigningKey);

/// Why pushes cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VapidError {
    /// The bytes are no key of P-256.
    #[error("this is no key of P-256")]
    Key,
    /// Push services want a URI that they can complain to.
    #[error("the contact for push services must be a mailto: or https: URI")]
    Contact,
}

impl VapidKey {
    /// A fresh key.
    ///
    /// # Errors
    /// [`VapidError::Key`] where the system has no randomness.
    pub fn generate() -> Result<Self, VapidError> {
        SigningKey::try_generate().map(Self).map_err(|_| VapidError::Key)
    }

    /// The key that was kept: the big-endian scalar.
    ///
    /// # Errors
    /// [`VapidError::Key`] where it is none.
    pub fn from_secret_bytes(secret: &Secret<32>) -> Result<Self, VapidError> {
        SigningKey::from_slice(secret.expose()).map(Self).map_err(|_| VapidError::Key)
    }

    /// The secret bytes, to be kept.
    #[must_use]
    pub fn to_secret_bytes(&self) -> Secret<32> {
        Secret::new(self.0.to_bytes().into())
    }

    /// The public half as clients subscribe with it (`applicationServerKey`): the uncompressed point, in base64url.
    #[must_use]
    pub fn public_key(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0.verifying_key().to_sec1_point(false).as_bytes())
    }

    /// The value of `Authorization` for a push service (RFC 8292 §3).
    pub(super) fn authorization(&self, origin: &str, contact: &str) -> String {
        let expires = SystemClock.now().as_secs().saturating_add(VALID_S);
        let claims = serde_json::json!({ "aud": origin, "exp": expires, "sub": contact });
        let encode = |json: &[u8]| URL_SAFE_NO_PAD.encode(json);
        let signed = format!("{}.{}", encode(HEADER), encode(claims.to_string().as_bytes()));
        let signature: Signature = self.0.sign(signed.as_bytes());
        let token = format!("{signed}.{}", encode(&signature.to_bytes()));
        format!("vapid t={token}, k={}", self.public_key())
    }
}

impl fmt::Debug for VapidKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VapidKey(…)")
    }
}

/// RFC 7515, and the algorithm of RFC 8292 §2.
const HEADER: &[u8] = br#"{"typ":"JWT","alg":"ES256"}"#;
/// How long a voucher is good for, in seconds: half of what RFC 8292 allows, since clocks differ.
const VALID_S: u64 = 12 * 3_600;
