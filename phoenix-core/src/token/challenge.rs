//! What tokens are bound to (RFC 9577 §2.1).

use bytes::Bytes;

use super::Token;
use crate::{Fqdn, crypto::sha256};

/// The TokenChallenge of a homeserver: its domain as the issuer's name, no origin and no redemption context, so that
/// a token is good at any of its services (05).
#[must_use]
pub fn challenge(domain: &Fqdn) -> Bytes {
    let name = domain.as_str().as_bytes();
    // A domain has at most 253 bytes (RFC 1035 §2.3.4).
    let length = u16::try_from(name.len()).unwrap_or(u16::MAX);
    let mut encoded = Vec::with_capacity(name.len().saturating_add(7));
    encoded.extend_from_slice(&TOKEN_TYPE.to_be_bytes());
    encoded.extend_from_slice(&length.to_be_bytes());
    encoded.extend_from_slice(name);
    encoded.push(0); // no redemption context
    encoded.extend_from_slice(&0_u16.to_be_bytes()); // no origin
    encoded.into()
}

/// SHA-256 of the challenge, as it stands in tokens.
#[must_use]
pub fn challenge_digest(domain: &Fqdn) -> [u8; 32] {
    sha256(&challenge(domain))
}

impl Token {
    /// What the authenticator is computed over (RFC 9578 §5.1: the token without its authenticator).
    #[must_use]
    pub fn input(&self) -> [u8; INPUT] {
        let Self { token_type, nonce, challenge_digest, key_id, authenticator: _ } = self;
        let parts = [&token_type.to_be_bytes()[..], nonce, challenge_digest, key_id];
        let mut input = [0; INPUT];
        input.iter_mut().zip(parts.into_iter().flatten()).for_each(|(to, from)| *to = *from);
        input
    }
}

/// Amortised VOPRF over ristretto255 with SHA-512 (draft-ietf-privacypass-batched-tokens).
pub(crate) const TOKEN_TYPE: u16 = 0x0005;
/// Bytes of type, nonce, challenge digest and key id.
const INPUT: usize = 2 + 32 + 32 + 32;
