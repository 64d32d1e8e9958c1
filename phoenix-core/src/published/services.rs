//! The documents of QS and DS.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::json::{Base64, Key, MALFORMED, Validity, read, write};
use crate::{
    Fqdn, KeyId, Reject, Timestamp,
    api::{
        ServiceName,
        delivery::DsPublicKeys,
        queue::{MAX_KEYS, QsPublicKeys, SealingKey, ServiceKey},
    },
    crypto::{HpkePublicKey, VerifyingKey},
    wire::List,
};

/// The document of a QS, at `/.well-known/phoenix/qs-keys`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QsDocument {
    domain: String,
    verifying: Vec<Published>,
    queue_config: Vec<Published>,
    delivery: Vec<Published>,
}

/// The document of a DS, at `/.well-known/phoenix/ds-keys`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DsDocument {
    domain: String,
    verifying: Vec<Published>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Published {
    id: Base64,
    key: Key,
    validity: Validity,
}

impl QsDocument {
    /// Writes the document.
    ///
    /// # Errors
    /// None in practice: the lists are bounded far below the document.
    pub fn encode(domain: &Fqdn, keys: &QsPublicKeys) -> Result<Bytes, Reject> {
        let document = Self {
            domain: domain.to_string(),
            verifying: keys.verifying.iter().map(Published::from).collect(),
            queue_config: keys.queue_config.iter().map(Published::from).collect(),
            delivery: keys.delivery.iter().map(Published::from).collect(),
        };
        write(ServiceName::Qs, &document)
    }

    /// Reads the document, and checks that each key is one, of this name.
    ///
    /// # Errors
    /// [`Reject::Malformed`] where it is not the document of this domain; [`Reject::TooLarge`] over its bound.
    pub fn decode(bytes: &[u8], domain: &Fqdn) -> Result<QsPublicKeys, Reject> {
        let document: Self = read(ServiceName::Qs, bytes)?;
        if document.domain != domain.as_str() {
            return Err(MALFORMED);
        }
        Ok(QsPublicKeys {
            verifying: verifying(document.verifying)?,
            queue_config: sealing(document.queue_config)?,
            delivery: sealing(document.delivery)?,
        })
    }
}

impl DsDocument {
    /// Writes the document.
    ///
    /// # Errors
    /// None in practice: the list is bounded far below the document.
    pub fn encode(domain: &Fqdn, keys: &DsPublicKeys) -> Result<Bytes, Reject> {
        let verifying = keys.verifying.iter().map(Published::from).collect();
        write(ServiceName::Ds, &Self { domain: domain.to_string(), verifying })
    }

    /// Reads the document, and checks that each key is one, of this name.
    ///
    /// # Errors
    /// [`Reject::Malformed`] where it is not the document of this domain; [`Reject::TooLarge`] over its bound.
    pub fn decode(bytes: &[u8], domain: &Fqdn) -> Result<DsPublicKeys, Reject> {
        let document: Self = read(ServiceName::Ds, bytes)?;
        if document.domain != domain.as_str() {
            return Err(MALFORMED);
        }
        Ok(DsPublicKeys { verifying: verifying(document.verifying)? })
    }
}

impl ServiceKey {
    /// A verifying key under the name that follows from it, valid from second to second.
    #[must_use]
    pub fn new(key: VerifyingKey, not_before: u64, not_after: u64) -> Self {
        Self { id: KeyId::of(&key), key, not_before, not_after }
    }

    /// Whether it is valid at a time.
    #[must_use]
    pub const fn is_valid_at(&self, time: Timestamp) -> bool {
        self.not_before <= time.as_secs() && time.as_secs() <= self.not_after
    }
}

impl SealingKey {
    /// A key to seal to under the name that follows from it, valid from second to second.
    #[must_use]
    pub fn new(key: HpkePublicKey, not_before: u64, not_after: u64) -> Self {
        Self { id: KeyId::of(&key), key, not_before, not_after }
    }

    /// Whether it is valid at a time.
    #[must_use]
    pub const fn is_valid_at(&self, time: Timestamp) -> bool {
        self.not_before <= time.as_secs() && time.as_secs() <= self.not_after
    }
}

/// The key to seal to: of those valid now, the one that is so longest.
#[must_use]
pub fn longest_valid(keys: &[SealingKey], now: Timestamp) -> Option<&SealingKey> {
    keys.iter().filter(|key| key.is_valid_at(now)).max_by_key(|key| key.not_after)
}

impl From<&ServiceKey> for Published {
    fn from(ServiceKey { id, key, not_before, not_after }: &ServiceKey) -> Self {
        let validity = Validity { not_before: *not_before, not_after: *not_after };
        Self { id: Base64::of(id.as_bytes()), key: key.into(), validity }
    }
}

impl From<&SealingKey> for Published {
    fn from(SealingKey { id, key, not_before, not_after }: &SealingKey) -> Self {
        let validity = Validity { not_before: *not_before, not_after: *not_after };
        Self { id: Base64::of(id.as_bytes()), key: key.into(), validity }
    }
}

fn verifying(published: Vec<Published>) -> Result<List<ServiceKey, MAX_KEYS>, Reject> {
    let key = |Published { id, key, validity }| {
        let key = key.verifying()?;
        key.check()?;
        let key = ServiceKey::new(key, validity.not_before, validity.not_after);
        if id.array()? == key.id.0 { Ok(key) } else { Err(MALFORMED) }
    };
    bounded(published.into_iter().map(key))
}

fn sealing(published: Vec<Published>) -> Result<List<SealingKey, MAX_KEYS>, Reject> {
    let key = |Published { id, key, validity }| {
        let key = key.sealing()?;
        key.check()?;
        let key = SealingKey::new(key, validity.not_before, validity.not_after);
        if id.array()? == key.id.0 { Ok(key) } else { Err(MALFORMED) }
    };
    bounded(published.into_iter().map(key))
}

fn bounded<T>(keys: impl ExactSizeIterator<Item = Result<T, Reject>>) -> Result<List<T, MAX_KEYS>, Reject> {
    // Before any key is looked at: each costs a multiplication on its curve.
    if keys.len() > MAX_KEYS {
        return Err(MALFORMED);
    }
    let keys = keys.collect::<Result<Vec<_>, _>>()?;
    Ok(List::new(keys)?)
}
