//! What failed rests before it is tried again, for longer each time.

use std::{collections::HashMap, hash::Hash};

use phoenix_core::Timestamp;

/// What rests, and until when.
#[derive(Debug)]
pub(crate) struct Rests<K> {
    resting: HashMap<K, Rest>,
    longest_ms: u64,
}

#[derive(Clone, Copy, Debug)]
struct Rest {
    until: Timestamp,
    next_ms: u64,
}

impl<K: Eq + Hash> Rests<K> {
    /// Nothing rests yet; nothing will for longer than so many milliseconds.
    pub(crate) fn new(longest_ms: u64) -> Self {
        Self { resting: HashMap::new(), longest_ms }
    }

    /// It failed: it rests, twice as long as the last time.
    pub(crate) fn failed(&mut self, key: K, now: Timestamp) {
        let length = self.resting.get(&key).map_or(FIRST_MS, |rest| rest.next_ms);
        let next_ms = length.saturating_mul(2).min(self.longest_ms);
        self.resting.insert(key, Rest { until: now.plus_millis(length), next_ms });
    }

    /// It succeeded: it was never better.
    pub(crate) fn succeeded(&mut self, key: &K) {
        self.resting.remove(key);
    }

    /// Whether it failed since it succeeded last.
    pub(crate) fn has_failed(&self, key: &K) -> bool {
        self.resting.contains_key(key)
    }

    /// Whether it is too early to try it again.
    pub(crate) fn is_resting(&self, key: &K, now: Timestamp) -> bool {
        self.resting.get(key).is_some_and(|rest| now < rest.until)
    }
}

/// The first rest, in milliseconds.
const FIRST_MS: u64 = 500;

#[cfg(test)]
mod tests {
    use phoenix_core::Timestamp;

    use super::Rests;

    #[test]
    fn what_fails_again_and_again_rests_longer_each_time_up_to_a_bound() {
        let (mut rests, mut now) = (Rests::new(2_000), Timestamp::from_secs(100));

        for length in [500, 1_000, 2_000, 2_000] {
            rests.failed("it", now);
            assert!(rests.is_resting(&"it", now.plus_millis(length - 1)));
            now = now.plus_millis(length);
            assert!(!rests.is_resting(&"it", now));
        }
        assert!(rests.has_failed(&"it"));
        rests.succeeded(&"it");
        assert!(!rests.has_failed(&"it"));
        rests.failed("it", now);
        assert!(!rests.is_resting(&"it", now.plus_millis(500)));
    }
}
