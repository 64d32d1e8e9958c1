//! Finds a domain's services and remembers them (08, "Discovery"; 10, T6).

use std::{
    num::NonZero,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::StatusCode;
use lru::LruCache;
use phoenix_core::{Fqdn, port::TransportError};
use reqwest::Client;
use tokio::{sync::Semaphore, time::Instant};

use super::{
    exchange::{exchange, verdict},
    resolver::Resolver,
};
use crate::well_known::{HTTPS, Host, Hosts};

/// What is known of domains.
pub(super) struct Discovery {
    client: Client,
    resolver: Arc<Resolver>,
    slots: Mutex<LruCache<Fqdn, Arc<Slot>>>,
    at_once: Semaphore,
}

/// One domain. Whoever holds the lock looks it up, and the others wait for what it finds.
type Slot = tokio::sync::Mutex<Knowledge>;

/// What is known of one domain.
#[derive(Default)]
struct Knowledge {
    found: Option<Found>,
    failed: Option<Failed>,
}

/// Where its services were when it was looked up last.
struct Found {
    hosts: Hosts,
    at: Instant,
    fresh_until: Instant,
    usable_until: Instant,
}

/// That it could not be found the last time.
struct Failed {
    error: TransportError,
    until: Instant,
    pause: Duration,
}

impl Discovery {
    /// Nothing is known yet.
    pub(super) fn new(client: Client, resolver: Arc<Resolver>) -> Self {
        let slots = Mutex::new(LruCache::new(MAX_DOMAINS));
        Self { client, resolver, slots, at_once: Semaphore::new(LOOK_UPS_AT_ONCE) }
    }

    /// The client for what everyone may read.
    pub(super) const fn client(&self) -> &Client {
        &self.client
    }

    /// Where the domain's services are.
    ///
    /// # Errors
    /// Why it cannot be told; the same for a while without asking again (60 s, doubling to 1 h). Where the domain
    /// was found before, that stays usable for a day while it cannot be asked.
    pub(super) async fn hosts(&self, domain: &Fqdn) -> Result<Hosts, TransportError> {
        let slot = self.slot(domain);
        let mut known = slot.lock().await;
        let now = Instant::now();
        if let Some(found) = known.found.as_ref().filter(|found| now < found.fresh_until) {
            return Ok(found.hosts.clone());
        }
        if known.failed.as_ref().is_none_or(|failed| failed.until <= now) {
            let outcome = self.look_up(domain).await;
            known.learn(outcome, Instant::now());
        }
        known.answer(Instant::now())
    }

    /// The domain's services do not answer: perhaps they have moved, so what is known is not fresh any more.
    pub(super) fn doubt(&self, domain: &Fqdn) {
        let slot = self.slot(domain);
        // Whoever holds it looks the domain up already.
        let Ok(mut known) = slot.try_lock() else { return };
        if let Some(found) = known.found.as_mut() {
            // Not earlier: a server that is merely down must not be asked with every call.
            found.fresh_until = found.fresh_until.min(found.at + FIRST_PAUSE);
        }
    }

    fn slot(&self, domain: &Fqdn) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.get_or_insert_ref(domain, Arc::default))
    }

    async fn look_up(&self, domain: &Fqdn) -> Result<(Hosts, Duration), TransportError> {
        let _permit = self.at_once.acquire().await.map_err(|_| TransportError::Unreachable)?;
        let authority = self.resolver.authority(&Host { name: domain.clone(), port: HTTPS });
        let request = self.client.get(format!("https://{authority}/.well-known/phoenix"));
        let answer = exchange(request, MAX_DOCUMENT).await?;
        let found = match answer.status {
            StatusCode::OK => Hosts::read(&answer.body, domain),
            StatusCode::NOT_FOUND => Hosts::fallback(domain).map(|hosts| (hosts, FALLBACK_AGE)),
            status => return Err(verdict(status)),
        };
        found.map_err(|_| TransportError::Refused)
    }
}

impl Knowledge {
    fn learn(&mut self, outcome: Result<(Hosts, Duration), TransportError>, now: Instant) {
        match outcome {
            Ok((hosts, age)) => {
                let fresh_until = now + age;
                self.found =
                    Some(Found { hosts, at: now, fresh_until, usable_until: fresh_until + STALE_TIME });
                self.failed = None;
            }
            Err(error) => {
                let doubled = |failed: &Failed| failed.pause.saturating_mul(2).min(LONGEST_PAUSE);
                let pause = self.failed.as_ref().map_or(FIRST_PAUSE, doubled);
                self.failed = Some(Failed { error, until: now + pause, pause });
            }
        }
    }

    fn answer(&self, now: Instant) -> Result<Hosts, TransportError> {
        if let Some(found) = self.found.as_ref().filter(|found| now < found.usable_until) {
            return Ok(found.hosts.clone());
        }
        Err(self.failed.as_ref().map_or(TransportError::Unreachable, |failed| failed.error))
    }
}

/// Domains that are remembered; those asked for longest ago give way.
const MAX_DOMAINS: NonZero<usize> = match NonZero::new(16_384) {
    Some(number) => number,
    None => NonZero::<usize>::MIN,
};
/// Domains that are looked up at the same time: strangers can name as many as they like.
const LOOK_UPS_AT_ONCE: usize = 32;
/// Longest well-known document that is read.
const MAX_DOCUMENT: usize = 256 << 10;
/// How long the fallback is kept (08 leaves it open).
const FALLBACK_AGE: Duration = Duration::from_secs(3_600);
/// How long hosts stay usable that cannot be asked for again, as long as peers' keys do (08).
const STALE_TIME: Duration = Duration::from_secs(24 * 3_600);
/// How long a failure is remembered at first,
const FIRST_PAUSE: Duration = Duration::from_secs(60);
/// and at most (08).
const LONGEST_PAUSE: Duration = Duration::from_secs(3_600);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::time::Duration;

    use phoenix_core::port::TransportError;
    use tokio::time::Instant;

    use super::{Hosts, Knowledge, STALE_TIME};

    #[test]
    fn failures_are_kept_for_a_minute_doubling_to_an_hour() {
        let (mut known, now) = (Knowledge::default(), Instant::now());

        let pauses: Vec<_> = (0..8)
            .map(|_| {
                known.learn(Err(TransportError::Refused), now);
                known.failed.as_ref().unwrap().pause.as_secs()
            })
            .collect();

        assert_eq!(pauses, [60, 120, 240, 480, 960, 1_920, 3_600, 3_600]);
        assert_eq!(known.answer(now), Err(TransportError::Refused));
    }

    #[test]
    fn a_domain_that_was_found_stays_usable_while_it_cannot_be_asked() {
        let (mut known, now) = (Knowledge::default(), Instant::now());
        let hosts = Hosts::fallback(&"alpha.test".parse().unwrap()).unwrap();

        known.learn(Ok((hosts.clone(), Duration::from_secs(60))), now);
        known.learn(Err(TransportError::Unreachable), now + Duration::from_secs(61));

        assert_eq!(known.answer(now + Duration::from_secs(62)), Ok(hosts));
        assert_eq!(
            known.answer(now + STALE_TIME + Duration::from_secs(61)),
            Err(TransportError::Unreachable)
        );
    }
}
