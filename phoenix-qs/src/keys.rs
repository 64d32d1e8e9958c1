//! The secret keys of the QS.

use phoenix_core::{
    Fault, Fqdn, KeyId, Reject, Timestamp,
    api::queue::{MAX_KEYS, QsPublicKeys, QueueConfig, Recipient, SealingKey, ServiceKey},
    crypto::{Chance, HpkeSecretKey, SigningKey, Suite},
    time::DAY,
    wire::{List, Wire},
};
use std::sync::Arc;
use tls_codec::{Serialize, TlsDeserializeBytes, TlsSerialize, TlsSize};
use zeroize::Zeroizing;

use crate::config_cache::{ConfigCache, OpenedConfig};

/// The keys of the QS: they sign, open queue configs, and open deliveries of other homeservers.
pub struct QueueKeys {
    stored: StoredKeys,
    opened: ConfigCache,
}

#[derive(Clone, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
struct StoredKeys {
    signing: List<SignerKey, MAX_KEYS>,
    queue_config: List<OpenerKey, MAX_KEYS>,
    delivery: List<OpenerKey, MAX_KEYS>,
}

#[derive(Clone, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
struct SignerKey {
    id: KeyId,
    key: SigningKey,
    not_before: u64,
    not_after: u64,
}

#[derive(Clone, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
struct OpenerKey {
    id: KeyId,
    key: HpkeSecretKey,
    not_before: u64,
    not_after: u64,
}

/// Why a queue config could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    /// The key that it names is not known here.
    UnknownKey,
    /// It does not open.
    Bad,
}

impl QueueKeys {
    /// Fresh keys, one of each kind, valid for a year.
    #[must_use]
    pub fn generate(_domain: &Fqdn, now: Timestamp, chance: &mut Chance) -> Self {
        // An hour early, for clients and servers whose clocks are behind.
        let (not_before, not_after) = (now.as_secs().saturating_sub(3_600), now.plus_secs(VALID_DAYS * DAY).as_secs());
        let key = SigningKey::generate(Suite::Ed25519, chance);
        let signer = SignerKey { id: KeyId::of(&key.verifying_key()), key, not_before, not_after };
        let mut opener = || {
            let key = HpkeSecretKey::generate(Suite::Ed25519, chance);
            OpenerKey { id: KeyId::of(key.public_key()), key, not_before, not_after }
        };
        let (queue_config, delivery) = (one(opener()), one(opener()));
        Self::of(StoredKeys { signing: one(signer), queue_config, delivery })
    }

    /// The keys' encoding, for sealed storage only.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        // Encoding into memory fails only for vectors over 2^30 bytes.
        Zeroizing::new(self.stored.tls_serialize_detached().unwrap_or_default())
    }

    /// Keys that were stored.
    ///
    /// # Errors
    /// [`Fault::Broken`] where they are not what was encoded.
    pub fn decode(encoded: &[u8]) -> Result<Self, Fault> {
        StoredKeys::decode(encoded).map(Self::of).map_err(|_| Fault::Broken("the keys of the queuing service"))
    }

    /// What is published of them: all that have not ended.
    #[must_use]
    pub fn public(&self, now: Timestamp) -> QsPublicKeys {
        let now = now.as_secs();
        let verifying = self.stored.signing.iter().filter(|it| now <= it.not_after).map(SignerKey::public);
        // Lists that became no longer.
        QsPublicKeys {
            verifying: List::new(verifying.collect()).unwrap_or_default(),
            queue_config: published(&self.stored.queue_config, now),
            delivery: published(&self.stored.delivery, now),
        }
    }

    /// The key that signs now, and its id.
    ///
    /// # Errors
    /// [`Fault::Broken`] where all have ended.
    pub(crate) fn signer(&self, now: Timestamp) -> Result<(KeyId, &SigningKey), Fault> {
        let now = now.as_secs();
        let valid = self.stored.signing.iter().filter(|it| (it.not_before..=it.not_after).contains(&now));
        let signer = valid.max_by_key(|it| it.not_after).ok_or(Fault::Broken("no signing key is valid"))?;
        Ok((signer.id, &signer.key))
    }

    /// Opens a queue config.
    ///
    /// # Errors
    /// [`Closed`] where it does not open.
    pub(crate) fn open_config(&self, recipient: &Recipient) -> Result<Arc<OpenedConfig>, Closed> {
        let digest = recipient.config.digest();
        if let Some(found) = self.opened.find(&digest, recipient.any) {
            return Ok(found);
        }
        let key = find(&self.stored.queue_config, &recipient.config.key).ok_or(Closed::UnknownKey)?;
        let config: QueueConfig = recipient.config.open(recipient.any, key).map_err(|_| Closed::Bad)?;
        Ok(self.opened.keep(digest, OpenedConfig::new(config)))
    }

    /// The key that opens deliveries sealed to a delivery key.
    ///
    /// # Errors
    /// [`Reject::NotFound`] where it is not known here.
    pub(crate) fn delivery_key(&self, id: &KeyId) -> Result<&HpkeSecretKey, Reject> {
        find(&self.stored.delivery, id).ok_or(Reject::NotFound)
    }

    fn of(stored: StoredKeys) -> Self {
        Self { stored, opened: ConfigCache::default() }
    }
}

impl SignerKey {
    fn public(&self) -> ServiceKey {
        let Self { id, key, not_before, not_after } = self;
        ServiceKey { id: *id, key: key.verifying_key(), not_before: *not_before, not_after: *not_after }
    }
}

impl OpenerKey {
    fn public(&self) -> SealingKey {
        let Self { id, key, not_before, not_after } = self;
        SealingKey { id: *id, key: key.public_key().clone(), not_before: *not_before, not_after: *not_after }
    }
}

fn one<T>(key: T) -> List<T, MAX_KEYS> {
    // One is not too many.
    List::new(vec![key]).unwrap_or_default()
}

fn published(keys: &[OpenerKey], now: u64) -> List<SealingKey, MAX_KEYS> {
    let valid = keys.iter().filter(|it| now <= it.not_after).map(OpenerKey::public);
    List::new(valid.collect()).unwrap_or_default()
}

fn find<'a>(keys: &'a [OpenerKey], id: &KeyId) -> Option<&'a HpkeSecretKey> {
    keys.iter().find(|it| it.id == *id).map(|it| &it.key)
}

/// Days for which a key is valid.
const VALID_DAYS: u64 = 365;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use phoenix_core::{Timestamp, crypto::Chance};

    use super::QueueKeys;

    #[test]
    fn stored_keys_come_back_and_are_published_until_they_end() {
        let now = Timestamp(1_700_000_000_000);
        let domain = "alpha.test".parse().unwrap();
        let keys = QueueKeys::generate(&domain, now, &mut Chance::from_seed([1; 32]));

        let restored = QueueKeys::decode(&keys.encode()).unwrap();

        assert_eq!(restored.public(now), keys.public(now));
        assert_eq!(keys.public(now).delivery.len(), 1);
        assert!(keys.public(now.plus_secs(400 * 86_400)).verifying.is_empty());
        assert!(restored.signer(now).is_ok() && restored.signer(now.plus_secs(400 * 86_400)).is_err());
        assert!(QueueKeys::decode(b"\x01nothing").is_err());
    }
}
