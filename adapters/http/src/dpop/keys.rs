//! The keys of other homeservers' tokens, asked for and kept.

use std::{
    num::NonZero,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use lru::LruCache;
use phoenix_core::{
    Fqdn, Timestamp,
    dpop::{JwkSet, TOKEN_S},
    port::TransportError,
    time::{HOUR, MINUTE},
};
use tokio::sync;

use super::DpopRefusal;
use crate::{
    HttpTransport,
    transport::turns::{Quota, Turns},
};

/// Keys by domain. A domain is asked by one at a time, and at most once a minute, whatever keys its users' tokens name.
pub(super) struct TokenKeys {
    transport: HttpTransport,
    /// Requests that may wait for keys.
    waiting: Turns,
    known: Mutex<LruCache<Fqdn, Arc<Domain>>>,
}

#[derive(Default)]
struct Domain {
    /// Until when it is left in peace. Locked while it is asked.
    rests_until: sync::Mutex<Timestamp>,
    /// What it published, and when it was asked for that.
    keys: Mutex<Option<(Arc<JwkSet>, Timestamp)>>,
}

impl TokenKeys {
    pub(super) fn new(transport: HttpTransport) -> Self {
        Self { transport, waiting: Turns::new(WAITING), known: Mutex::new(LruCache::new(MAX_DOMAINS)) }
    }

    /// The keys of a domain, the one that is named among them if the domain has it.
    pub(super) async fn find(
        &self,
        domain: &Fqdn,
        key_id: &str,
        now: Timestamp,
    ) -> Result<Arc<JwkSet>, DpopRefusal> {
        let slot = self.slot(domain);
        if let Some(keys) = slot.fresh(key_id, now) {
            return Ok(keys);
        }
        // Whoever does not answer must not have requests pile up here, each with its token and proof.
        let Some(_turn) = self.waiting.take(domain) else {
            let last = slot.last(now)?;
            // A key that is not there may be new.
            return last.find(key_id).is_some().then_some(last).ok_or(DpopRefusal::UNREACHABLE);
        };
        let mut rests_until = slot.rests_until.lock().await;
        if let Some(keys) = slot.fresh(key_id, now) {
            return Ok(keys);
        }
        if *rests_until <= now {
            let fetched = self.transport.jwks(domain).await;
            let rest = if fetched == Err(TransportError::Busy) { BUSY_REST_S } else { REST_S };
            *rests_until = now.plus_secs(rest);
            if let Some(keys) = fetched.ok().and_then(|document| JwkSet::decode(&document).ok()) {
                *slot.keys() = Some((Arc::new(keys), now));
            }
        }
        slot.last(now)
    }

    fn slot(&self, domain: &Fqdn) -> Arc<Domain> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.get_or_insert_ref(domain, Arc::default))
    }
}

impl Domain {
    /// Keys that need not be asked for.
    fn fresh(&self, key_id: &str, now: Timestamp) -> Option<Arc<JwkSet>> {
        self.younger_than(FRESH_S, now).filter(|keys| keys.find(key_id).is_some())
    }

    /// The last keys, which may be relied on for a while though the domain does not answer (08).
    fn last(&self, now: Timestamp) -> Result<Arc<JwkSet>, DpopRefusal> {
        self.younger_than(FRESH_S.saturating_add(GRACE_S), now).ok_or(DpopRefusal::UNREACHABLE)
    }

    /// The last keys, where they were asked for less than so many seconds ago.
    fn younger_than(&self, seconds: u64, now: Timestamp) -> Option<Arc<JwkSet>> {
        let known = self.keys();
        let (keys, at) = known.as_ref()?;
        (now < at.plus_secs(seconds)).then(|| Arc::clone(keys))
    }

    fn keys(&self) -> MutexGuard<'_, Option<(Arc<JwkSet>, Timestamp)>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For how long keys are not asked for again, but for one that is not among them: it comes a day before it signs.
const FRESH_S: u64 = HOUR;
/// For how long they stay usable beyond that, while the domain does not answer: as long as the last token that it gave
/// out. A day, as for what signs messages, would serve whoever has a leaked key and keeps the domain from answering.
const GRACE_S: u64 = TOKEN_S;
/// How long a domain is left in peace.
const REST_S: u64 = MINUTE;
/// The same where it was not asked, since too much else was under way: those behind need not wait for a turn as well.
const BUSY_REST_S: u64 = 1;
/// Requests that wait for keys, with some kilobytes each. Users of a domain whose keys are not known come again in a moment.
const WAITING: Quota = Quota { all: 1_024, of_zone: 128, of_name: 64 };
/// Domains that are remembered, with a few kilobytes each.
const MAX_DOMAINS: NonZero<usize> = match NonZero::new(1_024) {
    Some(number) => number,
    None => NonZero::<usize>::MIN,
};
