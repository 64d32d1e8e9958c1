//! The secret keys of the delivery service.

use phoenix_core::{
    Fault, Fqdn, GroupId, KeyId, Timestamp,
    api::{
        delivery::DsPublicKeys,
        queue::{MAX_KEYS, ServiceKey},
    },
    crypto::{AtRestKey, Chance, SigningKey, Suite, VerifyingKey},
    time::DAY,
    wire::{List, Secret, Wire},
};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};
use zeroize::Zeroizing;

use crate::sealed::{unversioned, versioned};

/// What the delivery service signs and vouches with: one signing key of each suite, since a group's external senders
/// (RFC 9420 §12.1.8.1) sign with the group's own, and a key for reservations of group ids.
#[derive(Clone)]
pub struct DeliveryKeys {
    record: Record,
    reservations: AtRestKey,
    public: DsPublicKeys,
}

#[derive(Clone, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
struct Record {
    signing: List<TimedKey, MAX_KEYS>,
    reservations: Secret<32>,
}

#[derive(Clone, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
struct TimedKey {
    key: SigningKey,
    not_before: u64,
    not_after: u64,
}

impl DeliveryKeys {
    /// Fresh keys, valid for a year from now. They are not bound to the domain.
    #[must_use]
    pub fn generate(_domain: &Fqdn, now: Timestamp, chance: &mut Chance) -> Self {
        let not_before = now.as_secs();
        let not_after = now.plus_secs(VALIDITY_S).as_secs();
        let timed = |suite| TimedKey { key: SigningKey::generate(suite, chance), not_before, not_after };
        let signing = [Suite::Ed25519, Suite::P256].map(timed).to_vec();
        let reservations = Secret::new(chance.bytes());
        Self::from(Record { signing: List::new(signing).unwrap_or_default(), reservations })
    }

    /// The keys, to be sealed.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        versioned(&self.record)
    }

    /// The keys that were sealed.
    ///
    /// # Errors
    /// [`Fault::Broken`] where the bytes are not what [`DeliveryKeys::encode`] made.
    pub fn decode(encoded: &[u8]) -> Result<Self, Fault> {
        unversioned::<Record>(encoded).map(Self::from)
    }

    /// What is published of them.
    #[must_use]
    pub const fn public(&self) -> &DsPublicKeys {
        &self.public
    }

    /// The key that groups of a suite must list as external sender now.
    pub(crate) fn current(&self, suite: Suite, now: Timestamp) -> Option<&VerifyingKey> {
        let now = now.as_secs();
        let mut keys = self.public.verifying.iter();
        keys.find(|it| it.key.suite == suite && it.not_before <= now && now <= it.not_after).map(|it| &it.key)
    }

    /// The code of a reservation: it shows that this DS made the id, and until when it holds.
    pub(crate) fn reservation_mac(&self, group: &GroupId, expires: u64) -> Secret<32> {
        Secret::new(self.reservations.prf("GroupReservation", &(group.clone(), expires).encode()))
    }
}

impl From<Record> for DeliveryKeys {
    fn from(record: Record) -> Self {
        let published = record.signing.iter().map(|it| {
            let key = it.key.verifying_key();
            ServiceKey { id: KeyId::of(&key), key, not_before: it.not_before, not_after: it.not_after }
        });
        let verifying = List::new(published.collect()).unwrap_or_default();
        let reservations = AtRestKey::new(record.reservations.clone());
        Self { public: DsPublicKeys { verifying }, reservations, record }
    }
}

/// For how long a key signs: groups must replace it before it ends.
const VALIDITY_S: u64 = 365 * DAY;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail")]

    use phoenix_core::{Timestamp, crypto::Chance, crypto::Suite};

    use super::DeliveryKeys;

    #[test]
    fn keys_come_back_from_their_encoding() {
        let now = Timestamp::from_secs(1_800_000_000);
        let keys =
            DeliveryKeys::generate(&"alpha.test".parse().unwrap(), now, &mut Chance::from_seed([1; 32]));

        let again = DeliveryKeys::decode(&keys.encode()).unwrap();

        assert_eq!(again.public(), keys.public());
        assert!(again.current(Suite::P256, now).is_some());
        assert!(again.current(Suite::Ed25519, now.plus_secs(400 * 86_400)).is_none());
        assert!(DeliveryKeys::decode(b"\x02").is_err());
    }
}
