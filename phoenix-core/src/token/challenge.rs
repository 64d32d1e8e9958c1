//! What tokens are bound to (RFC 9577 §2.1).

use bytes::Bytes;

use super::TokenType;
use crate::{Fqdn, crypto::sha256};

impl TokenType {
    /// The TokenChallenge of a homeserver: its domain as the issuer's name, no origin and no redemption context, so
    /// that a token is good at any of its services (05).
    #[must_use]
    pub fn challenge(self, domain: &Fqdn) -> Bytes {
        let name = domain.as_str().as_bytes();
        // A domain has at most 253 bytes (RFC 1035 §2.3.4).
        let length = u16::try_from(name.len()).unwrap_or(u16::MAX);
        let mut encoded = Vec::with_capacity(name.len().saturating_add(7));
        encoded.extend_from_slice(&self.number().to_be_bytes());
        encoded.extend_from_slice(&length.to_be_bytes());
        encoded.extend_from_slice(name);
        encoded.push(0); // no redemption context
        encoded.extend_from_slice(&0_u16.to_be_bytes()); // no origin
        encoded.into()
    }

    /// SHA-256 of the challenge, as it stands in tokens.
    #[must_use]
    pub fn challenge_digest(self, domain: &Fqdn) -> [u8; 32] {
        sha256(&self.challenge(domain))
    }
}

/// The digest of the challenge that batches of tokens answer: those of type 0x0005.
#[must_use]
pub fn challenge_digest(domain: &Fqdn) -> [u8; 32] {
    TokenType::Ristretto255.challenge_digest(domain)
}
