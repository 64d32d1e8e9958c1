//! Keys of P-256, as JSON Web Keys (RFC 7517; RFC 7518 §6.2).

use std::{fmt, io};

use p256::{
    ecdsa::{
        Signature, SigningKey, VerifyingKey,
        signature::{Signer as _, Verifier as _},
    },
    elliptic_curve::Generate as _,
};
use serde::Serialize;
use tls_codec::{DeserializeBytes, Error, Serialize as TlsSerialize, Size};

use super::{
    json::Members,
    jws::{array, encoded},
};
use crate::{
    crypto::{Chance, sha256},
    wire::Secret,
};

/// Signs tokens, or the proofs of one who has a token: ES256. Signing is deterministic (RFC 6979). It is wiped when it is
/// dropped.
///
/// A type of its own beside [`SigningKey`](crate::crypto::SigningKey), whose signatures are over a label, which JWS does
/// not have: so no key signs for both.
#[derive(Clone)]
pub struct DpopKey(SigningKey);

impl DpopKey {
    /// A fresh key.
    #[must_use]
    pub fn generate(chance: &mut Chance) -> Self {
        Self(SigningKey::generate_from_rng(chance))
    }

    /// The half that everyone may know.
    #[must_use]
    pub fn public(&self) -> DpopPublicKey {
        DpopPublicKey::of(*self.0.verifying_key())
    }

    /// Signs, without a label: both numbers, 32 bytes each.
    pub(super) fn sign(&self, message: &[u8]) -> [u8; 64] {
        let signature: Signature = self.0.sign(message);
        signature.to_bytes().into()
    }

    fn secret(&self) -> Secret<32> {
        Secret::new(self.0.to_bytes().into())
    }
}

impl fmt::Debug for DpopKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DpopKey")
    }
}

// For sealed storage.
impl Size for DpopKey {
    fn tls_serialized_len(&self) -> usize {
        SCALAR
    }
}

impl TlsSerialize for DpopKey {
    fn tls_serialize<W: io::Write>(&self, writer: &mut W) -> Result<usize, Error> {
        self.secret().tls_serialize(writer)
    }
}

impl DeserializeBytes for DpopKey {
    fn tls_deserialize_bytes(input: &[u8]) -> Result<(Self, &[u8]), Error> {
        let (secret, rest) = Secret::<SCALAR>::tls_deserialize_bytes(input)?;
        let key = SigningKey::from_slice(secret.expose()).map_err(|_| Error::InvalidInput)?;
        Ok((Self(key), rest))
    }
}

/// Verifies what a [`DpopKey`] signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DpopPublicKey {
    key: VerifyingKey,
    thumbprint: [u8; 32],
}

/// A public key as JSON. The members that a thumbprint covers, in its order, and nothing else (RFC 7638 §3.2).
#[derive(Clone, Debug, Serialize)]
pub(super) struct Jwk {
    crv: &'static str,
    kty: &'static str,
    x: String,
    y: String,
}

impl DpopPublicKey {
    /// Its thumbprint (RFC 7638), by which tokens name it.
    #[must_use]
    pub const fn thumbprint(&self) -> &[u8; 32] {
        &self.thumbprint
    }

    /// Reads a key. Members that say nothing of the key itself are left to the caller.
    ///
    /// None for a key of another kind, for what is no point of the curve, and for one that shows what its owner must
    /// keep secret.
    pub(super) fn read(jwk: &Members) -> Option<Self> {
        let is_private = PRIVATE.iter().any(|name| jwk.has(name));
        if is_private || jwk.text("kty") != Some(EC) || jwk.text("crv") != Some(P256) {
            return None;
        }
        let (x, y): ([u8; SCALAR], [u8; SCALAR]) = (array(jwk.text("x")?)?, array(jwk.text("y")?)?);
        let point = [[UNCOMPRESSED].as_slice(), &x, &y].concat();
        VerifyingKey::from_sec1_bytes(&point).ok().map(Self::of)
    }

    pub(super) fn jwk(&self) -> Jwk {
        Jwk::of(&self.key)
    }

    /// Whether the signature is this key's over the message. The second number may be of either half of its range:
    /// clients of any make sign proofs, and nothing here hangs on there being one signature alone.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        tracing::trace!(target: "phoenix_core::work", kind = "signature");
        Signature::from_slice(signature).is_ok_and(|signature| self.key.verify(message, &signature).is_ok())
    }

    fn of(key: VerifyingKey) -> Self {
        let canonical = serde_json::to_vec(&Jwk::of(&key)).unwrap_or_default();
        Self { key, thumbprint: sha256(&canonical) }
    }
}

impl Jwk {
    fn of(key: &VerifyingKey) -> Self {
        let point = key.to_sec1_point(false);
        let (x, y) =
            point.as_bytes().get(1..).unwrap_or_default().split_at_checked(SCALAR).unwrap_or_default();
        Self { crv: P256, kty: EC, x: encoded(x), y: encoded(y) }
    }
}

/// Members that only an owner's own copy of a key has (RFC 7518 §6.2.2, §6.3.2, §6.4).
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];
const EC: &str = "EC";
const P256: &str = "P-256";
/// Bytes of a coordinate, and of a secret key.
const SCALAR: usize = 32;
/// What an uncompressed point begins with (SEC 1 §2.3.3).
const UNCOMPRESSED: u8 = 4;
