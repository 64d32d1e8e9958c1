//! The secret keys of the delivery service.

use phoenix_core::{
    Fault, Fqdn, GroupId, Timestamp,
    api::{
        delivery::DsPublicKeys,
        queue::{MAX_KEYS, ServiceKey},
    },
    crypto::{AtRestKey, Chance, SigningKey, Suite, VerifyingKey},
    time::{DAY, HOUR},
    wire::{List, Secret, Wire},
};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};
use zeroize::Zeroizing;

use crate::{
    mls::context::SenderKey,
    sealed::{unversioned, versioned},
};

/// What the delivery service signs and vouches with: one signing key of each suite, since a group's external senders
/// (RFC 9420 §12.1.8.1) sign with the group's own, and a key for reservations of group ids.
#[derive(Clone)]
pub struct DeliveryKeys {
    record: Record,
    reservations: AtRestKey,
    known: Vec<ServiceKey>,
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
        let reservations = Secret::new(chance.bytes());
        let none = Self::from(Record { signing: List::default(), reservations });
        none.rotated(now, chance).unwrap_or(none)
    }

    /// The keys as they should be now, or none where they are so already: of each suite a next one, published a month
    /// before the last ends and valid from then on; and those gone that ended 120 days ago, by when no group lists
    /// them any more (07, "DS-induced removals").
    #[must_use]
    pub fn rotated(&self, now: Timestamp, chance: &mut Chance) -> Option<Self> {
        let Record { signing, reservations } = &self.record;
        let is_kept = |it: &&TimedKey| now <= Timestamp::from_secs(it.not_after).plus_secs(KEPT_S);
        let mut rotated: Vec<_> = signing.iter().filter(is_kept).cloned().collect();
        let mut changed = rotated.len() != signing.len();
        for suite in SUITES {
            let of_suite = rotated.iter().filter(|it| it.key.suite() == suite);
            let last = of_suite.map(|it| it.not_after).max().unwrap_or_default();
            if last < now.plus_secs(AHEAD_S).as_secs() {
                // The first is valid an hour early, for those whose clocks are behind.
                let not_before = last.max(now.as_secs().saturating_sub(HOUR));
                let not_after = not_before.saturating_add(VALIDITY_S);
                rotated.push(TimedKey { key: SigningKey::generate(suite, chance), not_before, not_after });
                changed = true;
            }
        }
        let signing = List::new(rotated).ok().filter(|_| changed)?;
        Some(Self::from(Record { signing, reservations: reservations.clone() }))
    }

    /// The keys with a further one of each suite beside those that there are, which stay as long as they would have
    /// (08). It is published at once, and what groups must list in two hours, when everybody has seen it; none where
    /// there is no room for it and for the next that comes by itself.
    #[must_use]
    pub fn renewed(&self, now: Timestamp, chance: &mut Chance) -> Option<Self> {
        let Record { signing, reservations } = &self.record;
        if signing.len().saturating_add(SUITES.len().saturating_mul(2)) > MAX_KEYS {
            return None;
        }
        let not_before = now.plus_secs(SEEN_S).as_secs();
        let further = |suite| TimedKey {
            key: SigningKey::generate(suite, chance),
            not_before,
            not_after: not_before.saturating_add(VALIDITY_S),
        };
        let signing = List::new(signing.iter().cloned().chain(SUITES.map(further)).collect()).ok()?;
        Some(Self::from(Record { signing, reservations: reservations.clone() }))
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

    /// What is published of them: the current keys, and those that come next.
    #[must_use]
    pub fn public(&self, now: Timestamp) -> DsPublicKeys {
        let keys = self.known.iter().filter(|it| now.as_secs() <= it.not_after).cloned().collect();
        // As many as the record holds at most.
        DsPublicKeys { verifying: List::new(keys).unwrap_or_default() }
    }

    /// All keys, also those that have ended and may stand in groups still.
    pub(crate) fn known(&self) -> &[ServiceKey] {
        &self.known
    }

    /// The key that groups of a suite must list as external sender now: of those that are valid, the one that became so
    /// last.
    pub(crate) fn current(&self, suite: Suite, now: Timestamp) -> Option<&VerifyingKey> {
        let valid = self.known.iter().filter(|it| it.key.suite == suite && it.is_valid_at(now));
        valid.max_by_key(|it| it.not_before).map(|it| &it.key)
    }

    /// The key that signs for a group that lists these external senders, and its place in the list: the current one,
    /// else one that has ended or is still to come, since the group knows no other.
    pub(crate) fn signer(
        &self,
        listed: &[SenderKey],
        suite: Suite,
        now: Timestamp,
    ) -> Option<(u32, &SigningKey)> {
        let of_suite = self.record.signing.iter().filter(|it| it.key.suite() == suite);
        let place = |it: &TimedKey| listed.iter().position(|key| *key == it.key.verifying_key().key);
        let found = of_suite.filter_map(|it| Some((it, u32::try_from(place(it)?).ok()?)));
        let is_current = |it: &TimedKey| (it.not_before..=it.not_after).contains(&now.as_secs());
        let best = found.max_by_key(|(it, _)| (is_current(it), it.not_after));
        best.map(|(it, place)| (place, &it.key))
    }

    /// The code of a reservation: it shows that this DS made the id, and until when it holds.
    pub(crate) fn reservation_mac(&self, group: &GroupId, expires: u64) -> Secret<32> {
        Secret::new(self.reservations.prf("GroupReservation", &(group.clone(), expires).encode()))
    }
}

impl From<Record> for DeliveryKeys {
    fn from(record: Record) -> Self {
        let key = |it: &TimedKey| ServiceKey::new(it.key.verifying_key(), it.not_before, it.not_after);
        let known = record.signing.iter().map(key).collect();
        Self { known, reservations: AtRestKey::new(record.reservations.clone()), record }
    }
}

/// Groups are of either.
const SUITES: [Suite; 2] = [Suite::Ed25519, Suite::P256];
/// How long after it was made a further key becomes current: others keep what was published for an hour.
const SEEN_S: u64 = 2 * HOUR;
/// For how long a key signs: groups must replace it before it ends.
const VALIDITY_S: u64 = 365 * DAY;
/// How long before a key's end the next one is published.
const AHEAD_S: u64 = 30 * DAY;
/// For how long a key is kept after its end: groups that list it still learn of removals by it (07).
const KEPT_S: u64 = 120 * DAY;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

    use phoenix_core::{
        Timestamp,
        crypto::{Chance, Suite},
        time::DAY,
    };

    use super::DeliveryKeys;

    fn day(day: u64) -> Timestamp {
        Timestamp::from_secs(1_800_000_000 + day * DAY)
    }

    fn keys() -> DeliveryKeys {
        DeliveryKeys::generate(&"alpha.test".parse().unwrap(), day(0), &mut Chance::from_seed([1; 32]))
    }

    #[test]
    fn keys_come_back_from_their_encoding() {
        let keys = keys();

        let again = DeliveryKeys::decode(&keys.encode()).unwrap();

        assert_eq!(again.public(day(0)), keys.public(day(0)));
        assert!(again.current(Suite::P256, day(0)).is_some());
        assert!(again.current(Suite::Ed25519, day(400)).is_none());
        assert!(DeliveryKeys::decode(b"\x02").is_err());
    }

    #[test]
    fn a_next_key_is_published_a_month_ahead_and_signs_when_the_last_ends() {
        let (keys, mut chance) = (keys(), Chance::from_seed([2; 32]));

        assert!(keys.rotated(day(334), &mut chance).is_none());
        let rotated = keys.rotated(day(336), &mut chance).unwrap();

        assert!(rotated.rotated(day(336), &mut chance).is_none());
        for suite in [Suite::Ed25519, Suite::P256] {
            let old = keys.current(suite, day(0));
            assert_eq!(rotated.current(suite, day(336)), old);
            assert!((336..730).all(|it| rotated.current(suite, day(it)).is_some()));
            assert_ne!(rotated.current(suite, day(366)), old);
        }
        let counts = [336, 366].map(|it| rotated.public(day(it)).verifying.len());
        assert_eq!(counts, [4, 2]);
    }

    #[test]
    fn an_operator_has_further_keys_made_that_are_current_when_everybody_has_seen_them() {
        let (keys, mut chance) = (keys(), Chance::from_seed([2; 32]));

        let renewed = keys.renewed(day(10), &mut chance).unwrap();

        assert_eq!(renewed.public(day(10)).verifying.len(), 4);
        for suite in [Suite::Ed25519, Suite::P256] {
            let old = keys.current(suite, day(0));
            assert_eq!(renewed.current(suite, day(10)), old);
            assert_ne!(renewed.current(suite, day(11)), old);
            assert!((11..375).all(|it| renewed.current(suite, day(it)).is_some()));
            assert!(renewed.public(day(364)).verifying.iter().any(|it| Some(&it.key) == old));
        }
        let mut full = renewed;
        while let Some(more) = full.renewed(day(10), &mut chance) {
            full = more;
        }
        assert_eq!(full.known().len(), 14);
        assert!(full.rotated(day(346), &mut chance).is_some());
    }

    #[test]
    fn a_retired_key_is_kept_for_120_days_and_the_code_of_reservations_stays() {
        let (keys, mut chance) = (keys(), Chance::from_seed([2; 32]));
        let rotated = keys.rotated(day(336), &mut chance).unwrap();

        assert!(rotated.rotated(day(484), &mut chance).is_none());
        let later = rotated.rotated(day(486), &mut chance).unwrap();

        assert_eq!([rotated.known().len(), later.known().len()], [4, 2]);
        let group = phoenix_core::GroupId {
            uuid: phoenix_core::Uuid([1; 16]),
            domain: "alpha.test".parse().unwrap(),
        };
        assert_eq!(later.reservation_mac(&group, 7), keys.reservation_mac(&group, 7));
    }

    #[test]
    fn a_homeserver_that_was_away_for_long_has_valid_keys_again() {
        let away = keys().rotated(day(1_000), &mut Chance::from_seed([2; 32])).unwrap();

        assert_eq!(away.known().len(), 2);
        assert!(away.current(Suite::Ed25519, day(1_000)).is_some());
    }
}
