//! Queue configs that were opened lately: opening one and checking its signature costs 90 µs, and each message to a
//! group names the same ones.

use std::{
    collections::{HashMap, hash_map},
    hash::BuildHasher,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use bytes::Bytes;
use phoenix_core::{
    Reject,
    api::queue::{QueueConfig, QueueConfigTbs, Recipient},
    crypto::{AtRestKey, VerifyingKey},
    operation::Local,
    port::{RowKey, Topic},
    wire::Wire as _,
};

use crate::kinds::{client, rule, topic};

/// An opened queue config. Whether it is genuine, only the record of the client that it names can tell.
pub(crate) struct OpenedConfig {
    config: QueueConfig,
    at: Local,
    rule: RowKey,
    topic: Topic,
    verified_by: OnceLock<VerifyingKey>,
}

impl OpenedConfig {
    pub(crate) fn new(config: QueueConfig, key: &AtRestKey) -> Self {
        let QueueConfigTbs { client: id, config: name, .. } = &config.payload;
        let (at, rule, Topic(topic)) = (client(id), rule(name), topic(key, id));
        // All in one piece of memory, as they are used together.
        let mut names = Bytes::from([at.name().as_ref(), &rule, &topic].concat());
        let at = Local::named(names.split_to(at.name().len()));
        let rule = names.split_to(rule.len());
        Self { config, at, rule, topic: Topic(names), verified_by: OnceLock::new() }
    }

    /// Where its queue is.
    pub(crate) const fn at(&self) -> &Local {
        &self.at
    }

    /// The row there of what becomes of messages through it.
    pub(crate) const fn rule(&self) -> &RowKey {
        &self.rule
    }

    /// What it claims.
    pub(crate) const fn payload(&self) -> &QueueConfigTbs {
        &self.config.payload
    }

    /// What wakes those who wait at its queue.
    pub(crate) const fn topic(&self) -> &Topic {
        &self.topic
    }

    /// Whether it was found before that the client with this auth key made it.
    pub(crate) fn is_verified_by(&self, auth_key: &VerifyingKey) -> bool {
        self.verified_by.get() == Some(auth_key)
    }

    /// Whether it was found before that some client made it.
    fn is_genuine(&self) -> bool {
        self.verified_by.get().is_some()
    }

    /// Checks that the client with this auth key made it.
    ///
    /// # Errors
    /// [`Reject::Unauthenticated`] where it did not.
    pub(crate) fn verify(&self, auth_key: &VerifyingKey) -> Result<(), Reject> {
        self.config.verify(auth_key)?;
        // Only one key verifies a signature; whoever set it first set the same.
        let _ = self.verified_by.set(auth_key.clone());
        Ok(())
    }
}

/// Keeps opened configs in memory, by what they were sealed as, also those that do not open, since each is looked at
/// twice. Anybody can make up configs, so what a client is known to have made is kept apart from what came lately.
pub(crate) struct ConfigCache(Mutex<Configs>);

struct Configs {
    /// Searched for each recipient of each message, so by a hash that takes a fifth of the standard one's time.
    genuine: Generations<Arc<OpenedConfig>, foldhash::fast::RandomState>,
    /// What strangers choose, by a hash that withstands them.
    fresh: Generations<Found, hash_map::RandomState>,
}

/// Two generations: when the younger is full, the older goes.
struct Generations<T, S> {
    size: usize,
    younger: HashMap<Recipient, T, S>,
    older: HashMap<Recipient, T, S>,
}

/// A config, or none where it does not open.
type Found = Option<Arc<OpenedConfig>>;

impl Default for ConfigCache {
    fn default() -> Self {
        Self(Mutex::new(Configs { genuine: Generations::new(GENERATION), fresh: Generations::new(FRESH) }))
    }
}

impl ConfigCache {
    /// What came of this config, where that is known.
    pub(crate) fn find(&self, sealed: &Recipient) -> Option<Found> {
        let mut configs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Configs { genuine, fresh } = &mut *configs;
        if let Some(found) = genuine.find(sealed) {
            return Some(Some(found));
        }
        let found = fresh.find(sealed)?;
        if let Some(config) = found.as_ref().filter(|config| config.is_genuine())
            && let Some((sealed, _)) = fresh.remove(sealed)
        {
            genuine.insert(sealed, config.clone());
        }
        Some(found)
    }

    /// Keeps what came of a config.
    ///
    /// # Errors
    /// None in practice: what was decoded before can be encoded and decoded again.
    pub(crate) fn keep(&self, sealed: &Recipient, found: Option<OpenedConfig>) -> Result<Found, Reject> {
        // A copy: it came in a message, and would keep all of that.
        let sealed = Recipient::decode(&sealed.encode())?;
        let found = found.map(Arc::new);
        let mut configs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        configs.fresh.insert(sealed, found.clone());
        Ok(found)
    }
}

impl<T: Clone, S: BuildHasher + Default> Generations<T, S> {
    fn new(size: usize) -> Self {
        Self { size, younger: HashMap::default(), older: HashMap::default() }
    }

    fn find(&mut self, sealed: &Recipient) -> Option<T> {
        if let Some(found) = self.younger.get(sealed) {
            return Some(found.clone());
        }
        let (sealed, found) = self.older.remove_entry(sealed)?;
        self.insert(sealed, found.clone());
        Some(found)
    }

    fn remove(&mut self, sealed: &Recipient) -> Option<(Recipient, T)> {
        self.younger.remove_entry(sealed)
    }

    fn insert(&mut self, sealed: Recipient, found: T) {
        if self.younger.len() >= self.size {
            self.older = std::mem::take(&mut self.younger);
        }
        self.younger.insert(sealed, found);
    }
}

/// Genuine configs in one generation: more than the members of the groups that are talking at a time. A sealed config has
/// 1 KiB at most, so two generations have some 30 MB.
const GENERATION: usize = 8_192;
/// The same of those that came lately: more than the members of some large groups.
const FRESH: usize = 4_096;

#[cfg(test)]
thread_local! {
    /// How many configs were opened on this thread, or tried.
    pub(crate) static OPENED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use phoenix_core::{
        ConfigId, KeyId, QsClientId,
        api::queue::{QueueConfig, QueueConfigTbs, Recipient, SealedQueueConfig},
        crypto::{AtRestKey, Chance, HpkeCiphertext, SigningKey, Suite},
        time::Month,
        wire::{Flag, Opaque, Wire},
    };

    use super::{ConfigCache, FRESH, OpenedConfig};

    #[test]
    fn what_was_used_in_the_last_generation_stays_and_the_rest_goes() {
        // given a full generation and one more
        let cache = ConfigCache::default();
        for number in 0..=FRESH {
            cache.keep(&recipient(number), None).unwrap();
        }
        // when one of the older is used, and another generation comes
        assert!(cache.find(&recipient(1)).is_some(), "the older generation is there still");
        for number in 0..FRESH {
            cache.keep(&recipient(FRESH + 1 + number), None).unwrap();
        }

        // then that one is there, and those that nobody used are not
        assert!(cache.find(&recipient(1)).is_some());
        assert!(cache.find(&recipient(2)).is_none());
        assert!(cache.find(&recipient(2 * FRESH)).is_some());
    }

    #[test]
    fn t20_configs_that_somebody_made_up_take_no_place_of_genuine_ones() {
        // given a config that was found to be a client's, and one that was not
        let (cache, key) = (ConfigCache::default(), SigningKey::generate(Suite::Ed25519, &mut chance()));
        let sealing = AtRestKey::generate(&mut chance());
        let [genuine, made_up] = [0, 1].map(|number| (recipient(number), config(&key)));
        for (recipient, config) in [&genuine, &made_up] {
            let found = cache.keep(recipient, Some(OpenedConfig::new(config.clone(), &sealing))).unwrap();
            if recipient == &genuine.0 {
                found.unwrap().verify(&key.verifying_key()).unwrap();
            }
            assert!(cache.find(recipient).is_some());
        }

        // when more are made up than there is room for
        for number in 2..3 * FRESH {
            cache.keep(&recipient(number), Some(OpenedConfig::new(config(&key), &sealing))).unwrap();
        }

        // then the client's is still there
        assert!(cache.find(&genuine.0).unwrap().unwrap().is_verified_by(&key.verifying_key()));
        assert!(cache.find(&made_up.0).is_none());
    }

    fn config(key: &SigningKey) -> QueueConfig {
        let payload = QueueConfigTbs {
            client: QsClientId([1; 16]),
            config: ConfigId([2; 16]),
            audience: None,
            expires: Month(0),
            generation: 0,
            push_key: None,
        };
        let signature = key.sign("QueueConfig", &payload.encode());
        QueueConfig { payload, signature }
    }

    fn chance() -> Chance {
        Chance::from_seed([1; 32])
    }

    fn recipient(number: usize) -> Recipient {
        let sealed = HpkeCiphertext {
            enc: Opaque::default(),
            ciphertext: Opaque::new(number.to_be_bytes().to_vec()).unwrap(),
        };
        Recipient { any: Flag::No, config: SealedQueueConfig { key: KeyId([0; 16]), sealed } }
    }
}
