//! The token keys of a homeserver, with their secret halves (05, "Redemption" and "Rotation").

use subtle::ConstantTimeEq;
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use super::{Class, KeyList, KeyListEntry, TOKEN_TYPE, Token, TokenSecretKey, challenge_digest};
use crate::{
    Fingerprint, Fqdn, Reject, Timestamp,
    crypto::{Chance, sha256},
    time::{DAY, HOUR},
    wire::{List, Opaque, Wire},
};

/// All token keys that a homeserver knows: those that issue, the next ones, and those that can still be spent.
///
/// A value that never changes: [`TokenKeys::rotated`] makes the next one. Its encoding holds the secret halves, and
/// is for sealed storage only.
#[derive(Clone, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct TokenKeys {
    domain: Fqdn,
    serial: u64,
    keys: List<TokenKey, MAX_TOKEN_KEYS>,
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

/// How token keys come and go, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// How long a key issues.
    pub period: u64,
    /// How long its tokens can be spent after that.
    pub grace: u64,
    /// How long before it issues a key is published.
    pub ahead: u64,
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
    /// The first keys of a homeserver: one of each class that issues now, and the next where its time has come.
    #[must_use]
    pub fn generate(domain: Fqdn, now: Timestamp, rotation: &Rotation, chance: &mut Chance) -> Self {
        let empty = Self { domain, serial: 0, keys: List::default() };
        empty.rotated(now, rotation, chance).unwrap_or(empty)
    }

    /// Keys made elsewhere.
    ///
    /// # Errors
    /// [`Reject::TooLarge`] for more than 64 keys.
    pub fn new(domain: Fqdn, serial: u64, keys: Vec<TokenKey>) -> Result<Self, Reject> {
        Ok(Self { domain, serial, keys: List::new(keys)? })
    }

    /// The keys as they should be now: ended ones gone, and for each class one that issues and one in time before
    /// it ends. `None` where these are so already.
    #[must_use]
    pub fn rotated(&self, now: Timestamp, rotation: &Rotation, chance: &mut Chance) -> Option<Self> {
        let now_s = now.as_secs();
        let mut keys: Vec<_> = self.keys.iter().filter(|key| key.redeem_until >= now_s).cloned().collect();
        let has_dropped = keys.len() < self.keys.len();
        let fresh: Vec<_> =
            Class::ALL.into_iter().filter_map(|class| rotation.next(class, &keys, now_s, chance)).collect();
        if fresh.is_empty() && !has_dropped {
            return None;
        }
        keys.extend(fresh);
        let keys = List::new(keys).ok()?;
        Some(Self { domain: self.domain.clone(), serial: self.serial.saturating_add(1), keys })
    }

    /// When [`TokenKeys::rotated`] will have something to do.
    #[must_use]
    pub fn rotates_at(&self, rotation: &Rotation) -> Timestamp {
        let of_class = |class| self.keys.iter().filter(move |key| key.class == class);
        let ends = Class::ALL.map(|class| of_class(class).map(|key| key.not_after).max().unwrap_or(0));
        let due = ends.into_iter().min().unwrap_or(0).saturating_sub(rotation.ahead);
        Timestamp::from_secs(due)
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
        let is_for_us = token.challenge_digest.ct_eq(&challenge_digest(&self.domain));
        let is_current = now.as_secs() <= key.redeem_until && token.token_type == TOKEN_TYPE;
        if !is_current || !bool::from(is_for_us) || !key.secret.verifies(token) {
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

    fn by_id(&self, key_id: &[u8; 32]) -> Option<&TokenKey> {
        self.keys.iter().find(|key| key.secret.key_id() == key_id)
    }
}

impl TokenKey {
    /// Whether it issues at a time.
    #[must_use]
    pub const fn issues_at(&self, time: Timestamp) -> bool {
        self.not_before <= time.as_secs() && time.as_secs() <= self.not_after
    }

    fn entry(&self) -> KeyListEntry {
        KeyListEntry {
            class: self.class,
            token_type: TOKEN_TYPE,
            public_key: Opaque::truncated(self.secret.public_key().to_vec().into()),
            not_before: self.not_before,
            not_after: self.not_after,
            redeem_until: self.redeem_until,
        }
    }
}

impl Rotation {
    /// The key that a class lacks, if it does: it begins where the last one ends, or now.
    fn next(&self, class: Class, keys: &[TokenKey], now: u64, chance: &mut Chance) -> Option<TokenKey> {
        let last = keys.iter().filter(|key| key.class == class).map(|key| key.not_after).max();
        let last = last.filter(|last| *last >= now);
        if last.is_some_and(|last| last > now.saturating_add(self.ahead)) {
            return None;
        }
        let not_before = last.map_or(now, |last| last.saturating_add(1));
        let not_after = not_before.saturating_add(self.period).saturating_sub(1);
        let redeem_until = not_after.saturating_add(self.grace);
        Some(TokenKey {
            class,
            secret: TokenSecretKey::generate(chance),
            not_before,
            not_after,
            redeem_until,
        })
    }
}

impl Default for Rotation {
    /// New keys every 7 d, spent for 2 d more, published 24 h ahead (05).
    fn default() -> Self {
        Self { period: 7 * DAY, grace: 2 * DAY, ahead: DAY }
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

/// Keys at once: of four classes, one that issues, one next, and a few that can still be spent.
const MAX_TOKEN_KEYS: usize = 64;
/// How far the clocks of replicas may differ before a nonce is forgotten too early.
const CLOCK_MARGIN: u64 = HOUR;
