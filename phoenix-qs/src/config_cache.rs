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

/// Keeps opened configs in memory, by what they were sealed as, in two generations: when the younger is full, the older
/// goes. Of those that do not open it keeps that, since each is looked at twice.
#[derive(Default)]
pub(crate) struct ConfigCache(Mutex<Generations>);

#[derive(Default)]
struct Generations {
    younger: HashMap<Recipient, Found>,
    older: HashMap<Recipient, Found>,
}

/// A config, or none where it does not open.
type Found = Option<Arc<OpenedConfig>>;

impl ConfigCache {
    /// What came of this config, where that is known.
    pub(crate) fn find(&self, sealed: &Recipient) -> Option<Found> {
        let mut generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = generations.younger.get(sealed) {
            return Some(found.clone());
        }
        let (sealed, found) = generations.older.remove_entry(sealed)?;
        generations.insert(sealed, found.clone());
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
        let mut generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        generations.insert(sealed, found.clone());
        Ok(found)
    }
}

impl Generations {
    fn insert(&mut self, sealed: Recipient, found: Found) {
        if self.younger.len() >= GENERATION {
            self.older = std::mem::take(&mut self.younger);
        }
        self.younger.insert(sealed, found);
    }
}

/// Configs in one generation: more than the members of the groups that are talking at a time. A sealed config has 1 KiB
/// at most, so two generations have some 30 MB.
const GENERATION: usize = 8_192;

#[cfg(test)]
thread_local! {
    /// How many configs were opened on this thread, or tried.
    pub(crate) static OPENED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use phoenix_core::{
        KeyId,
        api::queue::{Recipient, SealedQueueConfig},
        crypto::HpkeCiphertext,
        wire::{Flag, Opaque},
    };

    use super::{ConfigCache, GENERATION};

    #[test]
    fn what_was_used_in_the_last_generation_stays_and_the_rest_goes() {
        // given a full generation and one more
        let cache = ConfigCache::default();
        for number in 0..=GENERATION {
            cache.keep(&recipient(number), None).unwrap();
        }
        // when one of the older is used, and another generation comes
        assert!(cache.find(&recipient(1)).is_some(), "the older generation is there still");
        for number in 0..GENERATION {
            cache.keep(&recipient(GENERATION + 1 + number), None).unwrap();
        }

        // then that one is there, and those that nobody used are not
        assert!(cache.find(&recipient(1)).is_some());
        assert!(cache.find(&recipient(2)).is_none());
        assert!(cache.find(&recipient(2 * GENERATION)).is_some());
    }

    fn recipient(number: usize) -> Recipient {
        let sealed = HpkeCiphertext {
            enc: Opaque::default(),
            ciphertext: Opaque::new(number.to_be_bytes().to_vec()).unwrap(),
        };
        Recipient { any: Flag::No, config: SealedQueueConfig { key: KeyId([0; 16]), sealed } }
    }
}
