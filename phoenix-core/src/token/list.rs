//! The list of token keys that everyone sees (05, "Rotation").

use super::{Class, KeyList, KeyListEntry, SignedKeyList, TokenType};
use crate::{
    Reject, Timestamp,
    credential::AsKeys,
    crypto::{Signer, SignerError, sha256},
    wire::Wire,
};

impl KeyListEntry {
    /// How tokens name the key: SHA-256 of the public key (RFC 9577 §2.2).
    #[must_use]
    pub fn key_id(&self) -> [u8; 32] {
        sha256(&self.public_key)
    }

    /// Whether it issues at a time.
    #[must_use]
    pub const fn issues_at(&self, time: Timestamp) -> bool {
        self.not_before <= time.as_secs() && time.as_secs() <= self.not_after
    }
}

impl KeyList {
    /// Signs the list with the intermediate's key.
    ///
    /// # Errors
    /// [`SignerError`] when the key cannot be used.
    pub fn sign(self, key: &dyn Signer) -> Result<SignedKeyList, SignerError> {
        let signature = key.sign(LABEL, &self.encode())?;
        Ok(SignedKeyList { list: self, signature })
    }

    /// The key to ask for a batch of tokens of a class: as [`KeyList::issuing_type`], of type 0x0005.
    #[must_use]
    pub fn issuing(&self, class: Class, now: Timestamp) -> Option<&KeyListEntry> {
        self.issuing_type(class, TokenType::Ristretto255, now)
    }

    /// The key to ask for tokens of a class and a type: of those that issue now, the one that does so longest.
    #[must_use]
    pub fn issuing_type(&self, class: Class, token_type: TokenType, now: Timestamp) -> Option<&KeyListEntry> {
        let is_wanted = |key: &&KeyListEntry| {
            key.class == class && key.token_type == token_type.number() && key.issues_at(now)
        };
        self.keys.iter().filter(is_wanted).max_by_key(|key| key.not_after)
    }
}

impl SignedKeyList {
    /// The list, if an intermediate of the domain that is valid now signed it.
    ///
    /// # Errors
    /// [`Reject::Unauthenticated`] where domain or signature is wrong; [`Reject::Malformed`] where a key could be
    /// issued with longer than spent.
    pub fn verify(&self, keys: &AsKeys, now: Timestamp) -> Result<&KeyList, Reject> {
        let Self { list, signature } = self;
        if list.domain != *keys.domain() {
            return Err(Reject::Unauthenticated);
        }
        keys.verify_signed(&list.signer, (LABEL, &list.encode()), signature, now)?;
        let is_ordered =
            |key: &KeyListEntry| key.not_before <= key.not_after && key.not_after <= key.redeem_until;
        if list.keys.iter().all(is_ordered) { Ok(list) } else { Err(Reject::Malformed("token key")) }
    }

    /// Whether `newer` may take this list's place: same domain, and the serial did not go back; with the same
    /// serial, the same keys.
    #[must_use]
    pub fn accepts_successor(&self, newer: &Self) -> bool {
        let (ours, theirs) = (&self.list, &newer.list);
        let is_newer =
            theirs.serial > ours.serial || theirs.serial == ours.serial && theirs.keys == ours.keys;
        ours.domain == theirs.domain && is_newer
    }
}

/// The struct's name (03, "Labels").
const LABEL: &str = "KeyList";
