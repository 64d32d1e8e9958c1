//! What is remembered of push services: how many pushes are with each, what they said, and which subscriptions are gone.

use std::{
    collections::HashMap,
    num::NonZero,
    sync::{Mutex, MutexGuard, PoisonError},
};

use lru::LruCache;
use phoenix_core::Fqdn;
use sha2::{Digest, Sha256};
use tokio::time::{Duration, Instant};

/// The push services that clients have named.
pub(super) struct Services(Mutex<Known>);

struct Known {
    /// Pushes under way to each service; no others are listed.
    under_way: HashMap<Fqdn, usize>,
    /// Until when a service is left alone.
    pauses: LruCache<Fqdn, Instant>,
    /// Subscriptions that their service said are gone, by hash, and until when that is believed.
    gone: LruCache<[u8; 32], Instant>,
}

/// Leave to send one push, given back when dropped.
pub(super) struct Turn<'a> {
    services: &'a Services,
    host: Fqdn,
    subscription: [u8; 32],
}

impl Services {
    /// Leave to push to a subscription now; none where it is gone, where its service has enough, or too many are.
    pub(super) fn turn(&self, host: &Fqdn, subscription: &[u8], now: Instant) -> Option<Turn<'_>> {
        let subscription: [u8; 32] = Sha256::digest(subscription).into();
        let mut known = self.known();
        let is_over = |until: Option<&Instant>| until.is_none_or(|until| *until <= now);
        if !is_over(known.gone.get(&subscription)) || !is_over(known.pauses.get(host)) {
            return None;
        }
        let all: usize = known.under_way.values().sum();
        let here = known.under_way.get(host).copied().unwrap_or_default();
        if all >= MAX_UNDER_WAY || here >= MAX_FOR_ONE {
            return None;
        }
        known.under_way.insert(host.clone(), here.saturating_add(1));
        Some(Turn { services: self, host: host.clone(), subscription })
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Services {
    fn default() -> Self {
        let (pauses, gone) = (LruCache::new(MAX_PAUSES), LruCache::new(MAX_GONE));
        Self(Mutex::new(Known { under_way: HashMap::new(), pauses, gone }))
    }
}

impl Turn<'_> {
    /// The service is left alone for so many seconds, within reason.
    pub(super) fn pause(self, seconds: u64, now: Instant) {
        let until = now + Duration::from_secs(seconds.min(LONGEST_PAUSE_S));
        self.services.known().pauses.put(self.host.clone(), until);
    }

    /// The subscription is gone.
    pub(super) fn forget(self, now: Instant) {
        let until = now + Duration::from_secs(GONE_S);
        self.services.known().gone.put(self.subscription, until);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut known = self.services.known();
        let Some(here) = known.under_way.get_mut(&self.host) else { return };
        *here = here.saturating_sub(1);
        if *here == 0 {
            known.under_way.remove(&self.host);
        }
    }
}

/// Pushes under way at a time, in all,
const MAX_UNDER_WAY: usize = 64;
/// and to one service, so that one that does not answer leaves half of them to the others.
const MAX_FOR_ONE: usize = 32;
/// Services that are left alone: those that clients named last.
const MAX_PAUSES: NonZero<usize> = match NonZero::new(1_024) {
    Some(number) => number,
    None => NonZero::<usize>::MIN,
};
/// Subscriptions that are remembered to be gone, at 64 bytes each.
const MAX_GONE: NonZero<usize> = match NonZero::new(16_384) {
    Some(number) => number,
    None => NonZero::<usize>::MIN,
};
/// Longest pause that a service can ask for, in seconds: else a mistake of its own would last for days.
const LONGEST_PAUSE_S: u64 = 3_600;
/// For how long a subscription that is gone is not pushed to, in seconds: its client leaves another soon.
const GONE_S: u64 = 7 * 86_400;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use phoenix_core::Fqdn;
    use tokio::time::{Duration, Instant};

    use super::{GONE_S, LONGEST_PAUSE_S, MAX_FOR_ONE, MAX_UNDER_WAY, Services};

    #[test]
    fn a_service_that_wants_a_pause_has_it_and_others_have_not() {
        let (services, now) = (Services::default(), Instant::now());
        let turn = |name: &str, later| services.turn(&host(name), b"2", now + Duration::from_secs(later));
        services.turn(&host("a.test"), b"1", now).unwrap().pause(u64::MAX, now);

        assert!(turn("a.test", LONGEST_PAUSE_S - 1).is_none());
        assert!(turn("b.test", 0).is_some());
        assert!(turn("a.test", LONGEST_PAUSE_S).is_some());
    }

    #[test]
    fn a_subscription_that_is_gone_is_left_alone_and_others_are_not() {
        let (services, now) = (Services::default(), Instant::now());
        let turn = |to: &[u8], later| services.turn(&host("a.test"), to, now + Duration::from_secs(later));
        turn(b"1", 0).unwrap().forget(now);

        assert!(turn(b"1", GONE_S - 1).is_none());
        assert!(turn(b"2", 0).is_some());
        assert!(turn(b"1", GONE_S).is_some());
    }

    #[test]
    fn t20_one_service_leaves_turns_to_the_others_and_all_have_so_many() {
        let (services, now) = (Services::default(), Instant::now());
        let turns = |name: &str| -> Vec<_> {
            (0..100).map_while(|_| services.turn(&host(name), b"1", now)).collect()
        };

        let (first, second) = (turns("a.test"), turns("b.test"));
        assert_eq!((first.len(), second.len()), (MAX_FOR_ONE, MAX_UNDER_WAY - MAX_FOR_ONE));
        assert!(turns("c.test").is_empty());

        drop((first, second));
        assert!(!turns("c.test").is_empty());
        assert!(services.known().under_way.is_empty());
    }

    fn host(name: &str) -> Fqdn {
        name.parse().unwrap()
    }
}
