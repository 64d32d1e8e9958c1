//! The token keys of a homeserver, with their secret halves (05, "Redemption" and "Rotation").

use std::collections::BTreeSet;

use subtle::ConstantTimeEq;
use tls_codec::{DeserializeBytes, TlsDeserializeBytes, TlsSerialize, TlsSize};

use super::{Class, KeyList, KeyListEntry, Token, TokenSecretKey, TokenType};
use crate::{
    Fingerprint, Fqdn, Reject, Timestamp,
    crypto::sha256,
    time::HOUR,
    wire::{List, Opaque, Wire},
};

/// All token keys that a homeserver knows: those that issue, the next ones, and those that can still be spent.
///
/// A value that never changes: [`TokenKeys::rotated`] makes the next one. Its encoding holds the secret halves, and
/// is for sealed storage only.
#[derive(Clone, Debug, TlsSerialize, TlsSize)]
pub struct TokenKeys {
    pub(super) domain: Fqdn,
    pub(super) serial: u64,
    pub(super) keys: List<TokenKey, MAX_TOKEN_KEYS>,
}

/// A token key with its secret half.
#[derive(Clone, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct TokenKey {
    /// What it issues.
    pub class: Class,
    /// Issues and checks.
    pub secret: TokenSecretKey,
    /// First second in which it issues.
    pub not_before: u64,
    /// Last second in which it issues.
    pub not_after: u64,
    /// Last second in which its tokens can be spent.
    pub redeem_until: u64,
}

/// A token that checked: its nonce must be absent from the spent ones, and is inserted with the call's own writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpentNonce {
    /// SHA-256 of class and nonce.
    pub key: [u8; 32],
    /// When the nonce may be forgotten: an hour after its key ends, so that replicas' clocks may differ.
    pub expires: Timestamp,
}

impl TokenKeys {
    /// Keys made elsewhere.
    ///
    /// # Errors
    /// [`Reject::TooLarge`] for more than 64 keys; [`Reject::Malformed`] where two of type 0x0001 cannot be told apart
    /// by the last byte of their ids.
    pub fn new(domain: Fqdn, serial: u64, keys: Vec<TokenKey>) -> Result<Self, Reject> {
        let mut named = BTreeSet::new();
        if !keys.iter().filter_map(TokenKey::truncated).all(|name| named.insert(name)) {
            return Err(Reject::Malformed("token keys"));
        }
        Ok(Self { domain, serial, keys: List::new(keys)? })
    }

    /// Checks a token for a call that costs one of `class`.
    ///
    /// # Errors
    /// [`Reject::TokenRequired`] where the token is of another class; [`Reject::TokenInvalid`] where no key here made
    /// it for this homeserver, or its key has ended.
    pub fn verify(&self, token: &Token, class: Class, now: Timestamp) -> Result<SpentNonce, Reject> {
        let key = self.by_id(&token.key_id).ok_or(Reject::TokenInvalid)?;
        if key.class != class {
            return Err(Reject::TokenRequired);
        }
        let is_for_us = token.challenge_digest.ct_eq(&token.token_type().challenge_digest(&self.domain));
        if !key.redeems_at(now) || !bool::from(is_for_us) || !key.secret.verifies(token) {
            return Err(Reject::TokenInvalid);
        }
        Ok(SpentNonce::new(class, &token.nonce, key.redeem_until))
    }

    /// The key that a request for tokens names, if it issues this class now.
    ///
    /// # Errors
    /// [`Reject::TokenInvalid`] where it does not: the client is to fetch the key list again.
    pub fn issuing(&self, class: Class, key_id: &[u8; 32], now: Timestamp) -> Result<&TokenKey, Reject> {
        let key = self.by_id(key_id).filter(|key| key.class == class && key.issues_at(now));
        key.ok_or(Reject::TokenInvalid)
    }

    /// The key of type 0x0001 whose id ends with a byte (RFC 9578 §5.1); there is at most one.
    #[must_use]
    pub fn truncated(&self, key_id: u8) -> Option<&TokenKey> {
        self.keys.iter().find(|key| key.truncated() == Some(key_id))
    }

    /// The key with an id.
    #[must_use]
    pub fn by_id(&self, key_id: &[u8; 32]) -> Option<&TokenKey> {
        self.keys.iter().find(|key| key.secret.key_id() == key_id)
    }

    /// What is published of the keys, to be signed by the intermediate `signer`.
    ///
    /// # Errors
    /// None in practice: both lists have the same bound.
    pub fn list(&self, signer: Fingerprint) -> Result<KeyList, Reject> {
        let keys = self.keys.iter().map(TokenKey::entry).collect();
        Ok(KeyList { domain: self.domain.clone(), serial: self.serial, keys: List::new(keys)?, signer })
    }

    /// Whose keys.
    #[must_use]
    pub const fn domain(&self) -> &Fqdn {
        &self.domain
    }

    /// All keys: those that issue, the next ones, and those that can still be spent.
    #[must_use]
    pub fn keys(&self) -> &[TokenKey] {
        &self.keys
    }

    /// Grows with each rotation.
    #[must_use]
    pub const fn serial(&self) -> u64 {
        self.serial
    }
}

impl DeserializeBytes for TokenKeys {
    fn tls_deserialize_bytes(bytes: &[u8]) -> Result<(Self, &[u8]), tls_codec::Error> {
        type Fields = (Fqdn, u64, List<TokenKey, MAX_TOKEN_KEYS>);
        let ((domain, serial, keys), rest) = Fields::tls_deserialize_bytes(bytes)?;
        let keys = Self::new(domain, serial, keys.into_vec());
        Ok((keys.map_err(|_| tls_codec::Error::DecodingError("token keys".into()))?, rest))
    }
}

impl TokenKey {
    /// Whether it issues at a time.
    #[must_use]
    pub const fn issues_at(&self, time: Timestamp) -> bool {
        self.not_before <= time.as_secs() && time.as_secs() <= self.not_after
    }

    /// Whether its tokens can be spent at a time.
    #[must_use]
    pub const fn redeems_at(&self, time: Timestamp) -> bool {
        time.as_secs() <= self.redeem_until
    }

    /// The last byte of its id, for keys of type 0x0001: all that a request names of them.
    pub(super) const fn truncated(&self) -> Option<u8> {
        let [.., last] = *self.secret.key_id();
        match self.secret.token_type() {
            TokenType::P384 => Some(last),
            TokenType::Ristretto255 => None,
        }
    }

    fn entry(&self) -> KeyListEntry {
        KeyListEntry {
            class: self.class,
            token_type: self.secret.token_type().number(),
            public_key: Opaque::truncated(self.secret.public_key().to_vec().into()),
            not_before: self.not_before,
            not_after: self.not_after,
            redeem_until: self.redeem_until,
        }
    }
}

impl SpentNonce {
    fn new(class: Class, nonce: &[u8; 32], redeem_until: u64) -> Self {
        let mut hashed = Vec::with_capacity(nonce.len().saturating_add(1));
        // The class as on the wire.
        hashed.extend_from_slice(&class.encode());
        hashed.extend_from_slice(nonce);
        let expires = Timestamp::from_secs(redeem_until).plus_secs(CLOCK_MARGIN);
        Self { key: sha256(&hashed), expires }
    }
}

/// Keys at once: of four classes and two types, one that issues, one next, and a few that can still be spent.
pub(super) const MAX_TOKEN_KEYS: usize = 64;
/// How far the clocks of replicas may differ before a nonce is forgotten too early.
const CLOCK_MARGIN: u64 = HOUR;
