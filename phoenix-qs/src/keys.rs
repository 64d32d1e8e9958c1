//! The secret keys of the QS.

use std::{
    fmt::Debug,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use phoenix_core::{
    Fault, Fqdn, KeyId, Reject, Timestamp,
    api::queue::{MAX_KEYS, QsPublicKeys, QueueConfig, Recipient, SealingKey, ServiceKey},
    crypto::{AtRestKey, Chance, HpkeSecretKey, SigningKey, Suite},
    time::{DAY, HOUR, MINUTE},
    wire::{List, Wire},
};
use tls_codec::{DeserializeBytes, Serialize, Size, TlsDeserializeBytes, TlsSerialize, TlsSize};
use zeroize::Zeroizing;

use crate::config_cache::{ConfigCache, OpenedConfig};

/// The keys of the QS: they sign, open queue configs, and open deliveries of other homeservers.
pub struct QueueKeys {
    stored: StoredKeys,
    opened: ConfigCache,
    /// When they were last seen to be those of the store, in milliseconds.
    seen_at: AtomicU64,
}

#[derive(Clone, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
struct StoredKeys {
    signing: List<Timed<SigningKey>, MAX_KEYS>,
    queue_config: List<Timed<HpkeSecretKey>, MAX_KEYS>,
    delivery: List<Timed<HpkeSecretKey>, MAX_KEYS>,
}

/// A key and its first and last second.
#[derive(Clone, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
struct Timed<K: Size + Serialize + DeserializeBytes> {
    id: KeyId,
    key: K,
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
    /// Fresh keys, one of each kind.
    #[must_use]
    pub fn generate(_domain: &Fqdn, now: Timestamp, chance: &mut Chance) -> Self {
        let (signing, queue_config, delivery) = (List::default(), List::default(), List::default());
        let none = Self::of(StoredKeys { signing, queue_config, delivery });
        none.rotated(now, chance).unwrap_or(none)
    }

    /// The keys as they should be now, or none where they are so already: for each kind a new one a month before
    /// the last ends, and those gone whose time is over: of the signing keys at their end, of the others when
    /// nothing that was sealed to them need be opened any more (06, 08).
    #[must_use]
    pub fn rotated(&self, now: Timestamp, chance: &mut Chance) -> Option<Self> {
        let StoredKeys { signing, queue_config, delivery } = &self.stored;
        let signer = |chance: &mut Chance| SigningKey::generate(Suite::Ed25519, chance);
        let opener = |chance: &mut Chance| HpkeSecretKey::generate(Suite::Ed25519, chance);
        let signing = rotated(signing, now, 0, || signer(chance));
        let queue_config = rotated(queue_config, now, CONFIG_KEY_KEPT_DAYS, || opener(chance));
        let delivery = rotated(delivery, now, DELIVERY_KEY_KEPT_DAYS, || opener(chance));
        if signing.is_none() && queue_config.is_none() && delivery.is_none() {
            return None;
        }
        Some(Self::of(StoredKeys {
            signing: signing.unwrap_or_else(|| self.stored.signing.clone()),
            queue_config: queue_config.unwrap_or_else(|| self.stored.queue_config.clone()),
            delivery: delivery.unwrap_or_else(|| self.stored.delivery.clone()),
        }))
    }

    /// The keys with a further one of each kind, made now beside those that there are, which stay as long as they would
    /// have (08); none where a kind has no room for it and for the next that comes by itself.
    #[must_use]
    pub fn renewed(&self, now: Timestamp, chance: &mut Chance) -> Option<Self> {
        let StoredKeys { signing, queue_config, delivery } = &self.stored;
        Some(Self::of(StoredKeys {
            signing: with_further(signing, now, SigningKey::generate(Suite::Ed25519, chance))?,
            queue_config: with_further(queue_config, now, HpkeSecretKey::generate(Suite::Ed25519, chance))?,
            delivery: with_further(delivery, now, HpkeSecretKey::generate(Suite::Ed25519, chance))?,
        }))
    }

    /// The keys' encoding, for sealed storage only.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        self.stored.encode_secret()
    }

    /// Keys that were stored.
    ///
    /// # Errors
    /// [`Fault::Broken`] where they are not what was encoded.
    pub fn decode(encoded: &[u8]) -> Result<Self, Fault> {
        StoredKeys::decode(encoded)
            .map(Self::of)
            .map_err(|_| Fault::Broken("the keys of the queuing service"))
    }

    /// Notes that the store held these keys at a time, and no others.
    pub fn seen(&self, at: Timestamp) {
        self.seen_at.fetch_max(at.0, Ordering::Relaxed);
    }

    /// Whether a key that is not among these is nobody's: they were read not long ago, and what anybody seals to was
    /// in the store for longer.
    pub(crate) fn are_complete(&self, now: Timestamp) -> bool {
        now <= Timestamp(self.seen_at.load(Ordering::Relaxed)).plus_secs(COMPLETE_S)
    }

    /// What is published of them: all that verify and have not ended, so that others know them in time; of those that
    /// something is sealed to, the ones that every replica can open.
    #[must_use]
    pub fn public(&self, now: Timestamp) -> QsPublicKeys {
        let now = now.as_secs();
        let verifying = self.stored.signing.iter().filter(|it| now <= it.not_after).map(ServiceKey::from);
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
        let valid = spread(&self.stored.signing, now).filter(|it| it.not_before <= now);
        let signer = valid.max_by_key(|it| it.not_after).ok_or(Fault::Broken("no signing key is valid"))?;
        Ok((signer.id, &signer.key))
    }

    /// Opens a queue config, for a service that seals with this key.
    ///
    /// # Errors
    /// [`Closed`] where it does not open.
    pub(crate) fn open_config(
        &self,
        recipient: &Recipient,
        at_rest: &AtRestKey,
    ) -> Result<Arc<OpenedConfig>, Closed> {
        let found = match self.opened.find(recipient) {
            Some(found) => found,
            None => {
                let key = find(&self.stored.queue_config, &recipient.config.key).ok_or(Closed::UnknownKey)?;
                #[cfg(test)]
                crate::config_cache::OPENED.set(crate::config_cache::OPENED.get().saturating_add(1));
                let config: Result<QueueConfig, _> = recipient.config.open(recipient.any, key);
                let opened = config.ok().map(|config| OpenedConfig::new(config, at_rest));
                self.opened.keep(recipient, opened).map_err(|_| Closed::Bad)?
            }
        };
        found.ok_or(Closed::Bad)
    }

    /// The key that opens deliveries sealed to a delivery key.
    ///
    /// # Errors
    /// [`Reject::NotFound`] where it is not known here.
    pub(crate) fn delivery_key(&self, id: &KeyId) -> Result<&HpkeSecretKey, Reject> {
        find(&self.stored.delivery, id).ok_or(Reject::NotFound)
    }

    fn of(stored: StoredKeys) -> Self {
        Self { stored, opened: ConfigCache::default(), seen_at: AtomicU64::default() }
    }
}

impl From<&Timed<SigningKey>> for ServiceKey {
    fn from(Timed { id, key, not_before, not_after }: &Timed<SigningKey>) -> Self {
        Self { id: *id, key: key.verifying_key(), not_before: *not_before, not_after: *not_after }
    }
}

impl From<&Timed<HpkeSecretKey>> for SealingKey {
    fn from(Timed { id, key, not_before, not_after }: &Timed<HpkeSecretKey>) -> Self {
        Self { id: *id, key: key.public_key().clone(), not_before: *not_before, not_after: *not_after }
    }
}

impl<K: Secret> Timed<K> {
    /// A key that was made now.
    fn made(key: K, now: Timestamp) -> Self {
        let not_before = now.as_secs().saturating_sub(EARLY_S);
        Self { id: key.id(), key, not_before, not_after: now.plus_secs(VALID_DAYS * DAY).as_secs() }
    }
}

/// A secret key, as far as naming it goes.
trait Secret: Size + Serialize + DeserializeBytes + Clone + Debug {
    fn id(&self) -> KeyId;
}

impl Secret for SigningKey {
    fn id(&self) -> KeyId {
        KeyId::of(&self.verifying_key())
    }
}

impl Secret for HpkeSecretKey {
    fn id(&self) -> KeyId {
        KeyId::of(self.public_key())
    }
}

/// The keys of one kind as they should be now, or none where they are so already.
fn rotated<K: Secret>(
    keys: &[Timed<K>],
    now: Timestamp,
    kept_days: u64,
    fresh: impl FnOnce() -> K,
) -> Option<List<Timed<K>, MAX_KEYS>> {
    let is_kept =
        |key: &&Timed<K>| now <= Timestamp::from_secs(key.not_after).plus_secs(kept_days.saturating_mul(DAY));
    let mut rotated: Vec<Timed<K>> = keys.iter().filter(is_kept).cloned().collect();
    let last = rotated.iter().map(|key| key.not_after).max().unwrap_or_default();
    let is_due = last < now.plus_secs(AHEAD_DAYS * DAY).as_secs();
    if !is_due && rotated.len() == keys.len() {
        return None;
    }
    if is_due {
        rotated.push(Timed::made(fresh(), now));
    }
    List::new(rotated).ok()
}

/// The keys of one kind with a further one, where there is room left behind it.
fn with_further<K: Secret>(
    keys: &[Timed<K>],
    now: Timestamp,
    further: K,
) -> Option<List<Timed<K>, MAX_KEYS>> {
    if keys.len().saturating_add(2) > MAX_KEYS {
        return None;
    }
    let mut keys = keys.to_vec();
    keys.push(Timed::made(further, now));
    List::new(keys).ok()
}

fn published(keys: &[Timed<HpkeSecretKey>], now: u64) -> List<SealingKey, MAX_KEYS> {
    List::new(spread(keys, now).map(SealingKey::from).collect()).unwrap_or_default()
}

/// The keys that have not ended and that every replica has read by now; where there are none, as in a homeserver's
/// first minutes, all that have not ended.
fn spread<K: Secret>(keys: &[Timed<K>], now: u64) -> impl Iterator<Item = &Timed<K>> {
    let lasting = keys.iter().filter(move |it| now <= it.not_after);
    let has_spread = move |it: &Timed<K>| it.not_before.saturating_add(EARLY_S + SPREAD_S) <= now;
    let is_any = lasting.clone().any(has_spread);
    lasting.filter(move |it| !is_any || has_spread(it))
}

fn find<'a>(keys: &'a [Timed<HpkeSecretKey>], id: &KeyId) -> Option<&'a HpkeSecretKey> {
    keys.iter().find(|it| it.id == *id).map(|it| &it.key)
}

/// Seconds by which a key is valid before it was made, for those whose clocks are behind.
const EARLY_S: u64 = HOUR;
/// Seconds after which every replica has read a key that one of them made: each reads the keys every minute.
const SPREAD_S: u64 = 2 * MINUTE;
/// Seconds for which keys that were read are taken for complete: well below the time in which they spread, so that
/// replicas' clocks may differ.
const COMPLETE_S: u64 = MINUTE / 2;
/// Days for which a key is valid.
const VALID_DAYS: u64 = 365;
/// Days before its end at which the next key comes.
const AHEAD_DAYS: u64 = 30;
/// Days for which queue configs can be opened after their key's end (06).
const CONFIG_KEY_KEPT_DAYS: u64 = 120;
/// Days for which deliveries can be opened after their key's end (08).
const DELIVERY_KEY_KEPT_DAYS: u64 = 10;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use phoenix_core::{Timestamp, crypto::Chance, published::longest_valid};

    use super::QueueKeys;

    #[test]
    fn a_next_key_comes_before_the_last_ends_and_old_ones_stay_as_long_as_they_may_be_needed() {
        let now = Timestamp(1_700_000_000_000);
        let domain = "alpha.test".parse().unwrap();
        let mut chance = Chance::from_seed([1; 32]);
        let keys = QueueKeys::generate(&domain, now, &mut chance);
        let days = |days: u64| now.plus_secs(days * 86_400);

        assert!(keys.rotated(days(300), &mut chance).is_none());
        let two = keys.rotated(days(340), &mut chance).unwrap();
        let ended = two.rotated(days(366), &mut chance).unwrap();
        let later = ended.rotated(days(380), &mut chance).unwrap();
        let last = later.rotated(days(490), &mut chance).unwrap();

        let counts = [&two, &ended, &later, &last].map(|it| {
            let stored = &it.stored;
            (stored.signing.len(), stored.queue_config.len(), stored.delivery.len())
        });
        assert_eq!(counts, [(2, 2, 2), (1, 2, 2), (1, 2, 1), (1, 1, 1)]);
        assert_eq!(two.public(days(340)).verifying.len(), 2);
        assert_eq!(ended.public(days(366)).queue_config.len(), 1);
    }

    #[test]
    fn a_further_key_is_used_when_every_replica_has_read_it_and_a_first_one_at_once() {
        let now = Timestamp(1_700_000_000_000);
        let domain = "alpha.test".parse().unwrap();
        let mut chance = Chance::from_seed([1; 32]);
        let keys = QueueKeys::generate(&domain, now, &mut chance);
        let made_at = now.plus_secs(340 * 86_400);
        let two = keys.rotated(made_at, &mut chance).unwrap();
        let used = |keys: &QueueKeys, at| {
            let public = keys.public(at);
            let sealing =
                [&public.queue_config, &public.delivery].map(|it| longest_valid(it, at).unwrap().id);
            (keys.signer(at).unwrap().0, sealing)
        };

        let (soon, later) = (made_at.plus_secs(119), made_at.plus_secs(120));

        assert_eq!(used(&two, soon), used(&keys, now));
        let counts = |at| {
            let public = two.public(at);
            (public.verifying.len(), public.queue_config.len(), public.delivery.len())
        };
        assert_eq!([counts(soon), counts(later)], [(2, 1, 1), (2, 2, 2)]);
        let (signer, [config, delivery]) = used(&two, later);
        let (old_signer, [old_config, old_delivery]) = used(&two, soon);
        assert!(signer != old_signer && config != old_config && delivery != old_delivery);
    }

    #[test]
    fn an_operator_has_further_keys_made_beside_those_that_stay_while_there_is_room() {
        let now = Timestamp(1_700_000_000_000);
        let mut chance = Chance::from_seed([1; 32]);
        let first = QueueKeys::generate(&"alpha.test".parse().unwrap(), now, &mut chance);
        let at = now.plus_secs(86_400);

        let two = first.renewed(at, &mut chance).unwrap();

        // the new ones are used when they have spread, and the old ones are published and open what comes
        let later = at.plus_secs(120);
        assert_eq!(two.signer(at).unwrap().0, first.signer(now).unwrap().0);
        assert_ne!(two.signer(later).unwrap().0, first.signer(now).unwrap().0);
        let (before, after) = (first.public(later), two.public(later));
        assert!(before.verifying.iter().all(|key| after.verifying.contains(key)));
        let [old, new] = [&before, &after].map(|keys| longest_valid(&keys.delivery, later).unwrap().id);
        assert!(old != new && two.delivery_key(&old).is_ok() && two.delivery_key(&new).is_ok());

        // and there is always room for the next that comes by itself
        let mut full = two;
        while let Some(more) = full.renewed(at, &mut chance) {
            full = more;
        }
        assert_eq!(full.stored.signing.len(), 15);
        assert!(full.rotated(at.plus_secs(340 * 86_400), &mut chance).is_some());
    }

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
