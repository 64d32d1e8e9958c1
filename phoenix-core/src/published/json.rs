//! Pieces of the JSON documents.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned, de::Error};

use crate::{
    Reject,
    api::ServiceName,
    credential::ExpirationData,
    crypto::{HpkePublicKey, Signature, Suite, VerifyingKey},
    published::max_document,
    wire::Opaque,
};

/// Bytes in base64url.
pub(super) struct Base64(pub(super) Vec<u8>);

impl Base64 {
    pub(super) fn of(bytes: impl AsRef<[u8]>) -> Self {
        Self(bytes.as_ref().to_vec())
    }

    pub(super) fn array<const N: usize>(&self) -> Result<[u8; N], Reject> {
        self.0.as_slice().try_into().map_err(|_| MALFORMED)
    }

    pub(super) fn opaque<const MAX: usize>(self) -> Result<Opaque<MAX>, Reject> {
        Opaque::new(self.0).map_err(|_| MALFORMED)
    }

    pub(super) fn signature(self) -> Result<Signature, Reject> {
        self.opaque().map(Signature)
    }
}

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64_URL_SAFE_NO_PAD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        BASE64_URL_SAFE_NO_PAD.decode(text).map(Self).map_err(|_| D::Error::custom("not base64url"))
    }
}

/// A public key with its suite (03).
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Key {
    suite: u16,
    key: Base64,
}

impl Key {
    pub(super) fn verifying(self) -> Result<VerifyingKey, Reject> {
        Ok(VerifyingKey { suite: suite(self.suite)?, key: self.key.opaque()? })
    }

    pub(super) fn sealing(self) -> Result<HpkePublicKey, Reject> {
        Ok(HpkePublicKey { suite: suite(self.suite)?, key: self.key.opaque()? })
    }
}

impl From<&VerifyingKey> for Key {
    fn from(key: &VerifyingKey) -> Self {
        Self { suite: number(key.suite), key: Base64::of(&*key.key) }
    }
}

impl From<&HpkePublicKey> for Key {
    fn from(key: &HpkePublicKey) -> Self {
        Self { suite: number(key.suite), key: Base64::of(&*key.key) }
    }
}

/// From when until when, in seconds.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Validity {
    pub(super) not_before: u64,
    pub(super) not_after: u64,
}

impl From<ExpirationData> for Validity {
    fn from(ExpirationData { not_before, not_after }: ExpirationData) -> Self {
        Self { not_before, not_after }
    }
}

impl From<Validity> for ExpirationData {
    fn from(Validity { not_before, not_after }: Validity) -> Self {
        Self { not_before, not_after }
    }
}

/// Writes a document, for eyes as well.
pub(super) fn write(service: ServiceName, document: &impl Serialize) -> Result<Bytes, Reject> {
    let bytes = serde_json::to_vec(document).map_err(|_| Reject::Internal)?;
    if bytes.len() > max_document(service) { Err(Reject::TooLarge("document")) } else { Ok(bytes.into()) }
}

/// Reads a document; nothing in it is verified yet.
pub(super) fn read<T: DeserializeOwned>(service: ServiceName, bytes: &[u8]) -> Result<T, Reject> {
    if bytes.len() > max_document(service) {
        return Err(Reject::TooLarge("document"));
    }
    serde_json::from_slice(bytes).map_err(|_| MALFORMED)
}

const fn number(suite: Suite) -> u16 {
    match suite {
        Suite::Ed25519 => 1,
        Suite::P256 => 2,
    }
}

const fn suite(number: u16) -> Result<Suite, Reject> {
    match number {
        1 => Ok(Suite::Ed25519),
        2 => Ok(Suite::P256),
        _ => Err(MALFORMED),
    }
}

pub(super) const MALFORMED: Reject = Reject::Malformed("document");
