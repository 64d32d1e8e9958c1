//! What services publish of themselves (08, "Published keys"): JSON, so that an operator can look at it with any HTTP
//! client.
//!
//! Times are seconds since the Unix epoch; keys, signatures and hashes are base64url without padding (RFC 4648 §5).
//! Decoding is strict and verifies: nobody holds [`PublishedKeys`] that were not checked against the domain that they
//! were asked of.

mod auth;
mod json;
mod latest;
mod services;

use bytes::Bytes;

pub use auth::AsDocument;
pub(crate) use latest::Latest;
pub use services::{DsDocument, QsDocument, longest_valid};

use crate::{
    Fqdn, KeyId, Reject, Timestamp,
    api::{ServiceName, delivery::DsPublicKeys, queue::QsPublicKeys},
    credential::{AsIntermediateCredential, AsKeys},
    crypto::VerifyingKey,
    token::SignedKeyList,
};

/// The checked keys of one service of a homeserver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublishedKeys {
    /// Of an AS: its credentials, and the list of its homeserver's token keys.
    As(Box<AsKeys>, Box<SignedKeyList>),
    /// Of a QS.
    Qs(Box<QsPublicKeys>),
    /// Of a DS.
    Ds(Box<DsPublicKeys>),
}

impl PublishedKeys {
    /// Reads a service's document, and checks it.
    ///
    /// # Errors
    /// [`Reject::TooLarge`] for a document over its bound; [`Reject::Malformed`] where it is not one, or of another
    /// domain; [`Reject::Unauthenticated`] where something in it does not verify.
    pub fn decode(
        service: ServiceName,
        document: &[u8],
        domain: &Fqdn,
        now: Timestamp,
    ) -> Result<Self, Reject> {
        match service {
            ServiceName::As => AsDocument::decode(document, domain, now)
                .map(|(keys, tokens)| Self::As(Box::new(keys), Box::new(tokens))),
            ServiceName::Qs => QsDocument::decode(document, domain).map(Box::new).map(Self::Qs),
            ServiceName::Ds => DsDocument::decode(document, domain).map(Box::new).map(Self::Ds),
        }
    }

    /// The document that says these keys, for the domain that they are of.
    ///
    /// # Errors
    /// [`Reject::TooLarge`] for a document over its bound, which nobody would read.
    pub fn encode(&self, domain: &Fqdn) -> Result<Bytes, Reject> {
        match self {
            Self::As(keys, tokens) => AsDocument::encode(keys.identity(), tokens),
            Self::Qs(keys) => QsDocument::encode(domain, keys),
            Self::Ds(keys) => DsDocument::encode(domain, keys),
        }
    }

    /// Whether `newer` may take these keys' place: of the same service, and no serial went back.
    #[must_use]
    pub fn accepts_successor(&self, newer: &Self) -> bool {
        match (self, newer) {
            (Self::As(keys, tokens), Self::As(newer_keys, newer_tokens)) => {
                keys.accepts_successor(newer_keys) && tokens.accepts_successor(newer_tokens)
            }
            (Self::Qs(_), Self::Qs(_)) | (Self::Ds(_), Self::Ds(_)) => true,
            (Self::As(..) | Self::Qs(_) | Self::Ds(_), _) => false,
        }
    }

    /// Whether a key of this name is among them, be it valid or not. An intermediate goes by its key's name and by
    /// its own.
    #[must_use]
    pub fn has(&self, id: &KeyId) -> bool {
        match self {
            Self::As(keys, _) => {
                let is_named =
                    |it: &AsIntermediateCredential| KeyId::of(&it.payload.key) == *id || KeyId::of(it) == *id;
                keys.identity().intermediates.iter().any(is_named)
            }
            Self::Qs(keys) => {
                let sealing = keys.queue_config.iter().chain(&keys.delivery);
                keys.verifying.iter().any(|key| key.id == *id) || sealing.into_iter().any(|key| key.id == *id)
            }
            Self::Ds(keys) => keys.verifying.iter().any(|key| key.id == *id),
        }
    }

    /// The key that verifies what the service signed under this name, if it is valid at the time.
    #[must_use]
    pub fn verifying_key(&self, id: &KeyId, at: Timestamp) -> Option<&VerifyingKey> {
        let keys = match self {
            Self::As(keys, _) => return keys.service_key(id, at),
            Self::Qs(keys) => &keys.verifying,
            Self::Ds(keys) => &keys.verifying,
        };
        keys.iter().find(|key| key.id == *id && key.is_valid_at(at)).map(|key| &key.key)
    }
}

/// Largest document of a service. An AS's names all its revoked clients, at most 16,384, with 90 bytes each.
#[must_use]
pub const fn max_document(service: ServiceName) -> usize {
    match service {
        ServiceName::As => 2 << 20,
        ServiceName::Qs | ServiceName::Ds => 256 << 10,
    }
}

#[cfg(test)]
mod tests;
