//! Queue configs that were opened lately: opening one and checking its signature costs 90 µs, and each message to a
//! group names the same ones.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use phoenix_core::{
    Reject,
    api::queue::{QueueConfig, QueueConfigTbs, Recipient},
    crypto::{AtRestKey, VerifyingKey},
    port::Topic,
    wire::Wire as _,
};

use crate::kinds::topic;

/// An opened queue config. Whether it is genuine, only the record of the client that it names can tell.
pub(crate) struct OpenedConfig {
    config: QueueConfig,
    verified_by: OnceLock<VerifyingKey>,
    topic: OnceLock<Topic>,
}

impl OpenedConfig {
    pub(crate) const fn new(config: QueueConfig) -> Self {
        Self { config, verified_by: OnceLock::new(), topic: OnceLock::new() }
    }

    /// What it claims.
    pub(crate) const fn payload(&self) -> &QueueConfigTbs {
        &self.config.payload
    }

    /// What wakes those who wait at its queue.
    pub(crate) fn topic(&self, key: &AtRestKey) -> &Topic {
        self.topic.get_or_init(|| topic(key, &self.payload().client))
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
    genuine: Generations<Arc<OpenedConfig>>,
    fresh: Generations<Found>,
}

/// Two generations: when the younger is full, the older goes.
struct Generations<T> {
    size: usize,
    younger: HashMap<Recipient, T>,
    older: HashMap<Recipient, T>,
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

impl<T: Clone> Generations<T> {
    fn new(size: usize) -> Self {
        Self { size, younger: HashMap::new(), older: HashMap::new() }
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
        crypto::{Chance, HpkeCiphertext, SigningKey, Suite},
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
        let [genuine, made_up] = [0, 1].map(|number| (recipient(number), config(&key)));
        for (recipient, config) in [&genuine, &made_up] {
            let found = cache.keep(recipient, Some(OpenedConfig::new(config.clone()))).unwrap();
            if recipient == &genuine.0 {
                found.unwrap().verify(&key.verifying_key()).unwrap();
            }
            assert!(cache.find(recipient).is_some());
        }

        // when more are made up than there is room for
        for number in 2..3 * FRESH {
            cache.keep(&recipient(number), Some(OpenedConfig::new(config(&key)))).unwrap();
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
