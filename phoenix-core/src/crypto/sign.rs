//! Signatures with labels (03, "Labels").

use std::{fmt, io};

use ed25519_dalek::Signer as _;
use p256::{
    ecdsa::{self, signature::Verifier as _},
    elliptic_curve::Generate as _,
};
use tls_codec::{DeserializeBytes, Error, Serialize, Size};

use super::{Chance, Signature, Suite, VerifyingKey, hash::labelled};
use crate::{
    Reject,
    wire::{Opaque, Secret},
};

/// Signs with a key that may live elsewhere, such as in a secure enclave.
///
/// P-256 signatures must have `s` in the lower half of its range; [`Signature::from_p256_der`] brings what
/// hardware makes into that form.
pub trait Signer: Send + Sync {
    /// The key that verifies.
    fn verifying_key(&self) -> VerifyingKey;

    /// Signs `{ label, content }` as in 03, "Labels".
    ///
    /// # Errors
    /// [`SignerError`] when the key cannot be used now.
    fn sign(&self, label: &str, content: &[u8]) -> Result<Signature, SignerError>;
}

/// A key cannot be used now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signing key cannot be used")]
pub struct SignerError;

impl From<SignerError> for crate::Fault {
    fn from(_: SignerError) -> Self {
        Self::Broken("signer")
    }
}

/// A signing key in memory. Signing is deterministic (RFC 8032; RFC 6979), so it needs no randomness.
///
/// Its encoding, for sealed storage only, is the suite and 32 secret bytes.
#[derive(Clone)]
pub struct SigningKey(Inner);

#[derive(Clone)]
enum Inner {
    Ed25519(Box<ed25519_dalek::SigningKey>),
    P256(Box<ecdsa::SigningKey>),
}

impl SigningKey {
    /// A fresh key.
    #[must_use]
    pub fn generate(suite: Suite, chance: &mut Chance) -> Self {
        match suite {
            Suite::Ed25519 => Self(Inner::Ed25519(Box::new(ed25519_dalek::SigningKey::generate(chance)))),
            Suite::P256 => Self(Inner::P256(Box::new(ecdsa::SigningKey::generate_from_rng(chance)))),
        }
    }

    /// The key that was stored.
    ///
    /// # Errors
    /// [`Reject::Malformed`] where the bytes are no key of the suite.
    pub fn from_secret_bytes(suite: Suite, secret: &Secret<32>) -> Result<Self, Reject> {
        Ok(Self(match suite {
            Suite::Ed25519 => {
                Inner::Ed25519(Box::new(ed25519_dalek::SigningKey::from_bytes(secret.expose())))
            }
            Suite::P256 => {
                let key = ecdsa::SigningKey::from_slice(secret.expose());
                Inner::P256(Box::new(key.map_err(|_| Reject::Malformed("secret key"))?))
            }
        }))
    }

    /// The key's secret bytes, for sealed storage: an Ed25519 seed or a P-256 scalar.
    #[must_use]
    pub fn to_secret_bytes(&self) -> Secret<32> {
        match &self.0 {
            Inner::Ed25519(key) => Secret::new(key.to_bytes()),
            Inner::P256(key) => Secret::new(key.to_bytes().into()),
        }
    }

    /// Its algorithm.
    #[must_use]
    pub const fn suite(&self) -> Suite {
        match &self.0 {
            Inner::Ed25519(_) => Suite::Ed25519,
            Inner::P256(_) => Suite::P256,
        }
    }

    /// The key that verifies.
    #[must_use]
    pub fn verifying_key(&self) -> VerifyingKey {
        let key = match &self.0 {
            Inner::Ed25519(key) => key.verifying_key().to_bytes().to_vec(),
            Inner::P256(key) => key.verifying_key().to_sec1_point(false).as_bytes().to_vec(),
        };
        VerifyingKey { suite: self.suite(), key: Opaque::truncated(key.into()) }
    }

    /// Signs `{ label, content }` as in 03, "Labels".
    #[must_use]
    pub fn sign(&self, label: &str, content: &[u8]) -> Signature {
        // Encoding fails only for content over 1 GiB; an empty signature verifies nothing.
        labelled(label, content).map(|message| self.sign_raw(&message)).unwrap_or_default()
    }

    fn sign_raw(&self, message: &[u8]) -> Signature {
        let signature = match &self.0 {
            Inner::Ed25519(key) => key.sign(message).to_bytes().to_vec(),
            Inner::P256(key) => {
                let signature: ecdsa::Signature = key.sign(message);
                signature.normalize_s().to_der().as_bytes().to_vec()
            }
        };
        Signature(Opaque::truncated(signature.into()))
    }
}

impl VerifyingKey {
    /// Verifies a signature over `{ label, content }` (03, "Labels").
    ///
    /// Strict, so that nobody but the signer can make a second signature of the same content, and with it a second
    /// fingerprint of a credential: Ed25519 as in `verify_strict`, P-256 in DER with `s` in the lower half.
    ///
    /// # Errors
    /// [`Reject::Unauthenticated`] where the signature is not this key's over just that, or the key is none.
    pub fn verify(&self, label: &str, content: &[u8], signature: &Signature) -> Result<(), Reject> {
        tracing::trace!(target: "phoenix_core::work", kind = "signature");
        let message = labelled(label, content).map_err(|_| Reject::Unauthenticated)?;
        let verified = match self.suite {
            Suite::Ed25519 => self.verify_ed25519(&message, signature),
            Suite::P256 => self.verify_p256(&message, signature),
        };
        verified.ok_or(Reject::Unauthenticated)
    }

    /// Whether it is a key at all: to be asked of every key that is taken from a stranger and kept.
    ///
    /// # Errors
    /// [`Reject::Malformed`] where the key is not a point of its suite's curve, or of small order.
    pub fn check(&self) -> Result<(), Reject> {
        let is_key = match self.suite {
            Suite::Ed25519 => self.ed25519().is_some_and(|key| !key.is_weak()),
            Suite::P256 => self.p256().is_some(),
        };
        if is_key { Ok(()) } else { Err(Reject::Malformed("signature key")) }
    }

    fn verify_ed25519(&self, message: &[u8], signature: &Signature) -> Option<()> {
        let signature = ed25519_dalek::Signature::from_slice(&signature.0).ok()?;
        self.ed25519()?.verify_strict(message, &signature).ok()
    }

    fn verify_p256(&self, message: &[u8], signature: &Signature) -> Option<()> {
        let signature = ecdsa::Signature::from_der(&signature.0).ok()?;
        if signature.normalize_s() != signature {
            return None;
        }
        self.p256()?.verify(message, &signature).ok()
    }

    fn ed25519(&self) -> Option<ed25519_dalek::VerifyingKey> {
        ed25519_dalek::VerifyingKey::from_bytes(self.key.as_slice().try_into().ok()?).ok()
    }

    fn p256(&self) -> Option<ecdsa::VerifyingKey> {
        // The library also takes compressed points: one key must have one encoding.
        (self.key.len() == UNCOMPRESSED)
            .then(|| ecdsa::VerifyingKey::from_sec1_bytes(&self.key).ok())
            .flatten()
    }
}

impl Signature {
    /// A P-256 signature in DER as hardware makes it, brought into the one form that verifies here.
    ///
    /// # Errors
    /// [`Reject::Malformed`] where it is not DER.
    pub fn from_p256_der(der: &[u8]) -> Result<Self, Reject> {
        let signature = ecdsa::Signature::from_der(der).map_err(|_| Reject::Malformed("signature"))?;
        Ok(Self(Opaque::new(signature.normalize_s().to_der().as_bytes().to_vec())?))
    }
}

impl Signer for SigningKey {
    fn verifying_key(&self) -> VerifyingKey {
        self.verifying_key()
    }

    fn sign(&self, label: &str, content: &[u8]) -> Result<Signature, SignerError> {
        Ok(self.sign(label, content))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey")
    }
}

impl Size for SigningKey {
    fn tls_serialized_len(&self) -> usize {
        self.suite().tls_serialized_len().saturating_add(SECRET)
    }
}

impl Serialize for SigningKey {
    fn tls_serialize<W: io::Write>(&self, writer: &mut W) -> Result<usize, Error> {
        let suite = self.suite().tls_serialize(writer)?;
        Ok(self.to_secret_bytes().tls_serialize(writer)?.saturating_add(suite))
    }
}

impl DeserializeBytes for SigningKey {
    fn tls_deserialize_bytes(input: &[u8]) -> Result<(Self, &[u8]), Error> {
        let (suite, rest) = Suite::tls_deserialize_bytes(input)?;
        let (secret, rest) = Secret::tls_deserialize_bytes(rest)?;
        let key = Self::from_secret_bytes(suite, &secret).map_err(|_| Error::InvalidInput)?;
        Ok((key, rest))
    }
}

/// Bytes of an uncompressed P-256 point (SEC 1 §2.3.3).
const UNCOMPRESSED: usize = 65;
/// Bytes of a secret key.
const SECRET: usize = 32;

#[cfg(test)]
mod tests;
