//! The keys of other homeservers' tokens, asked for and kept.

use std::{
    num::NonZero,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use lru::LruCache;
use phoenix_core::{
    Fqdn, Timestamp,
    dpop::JwkSet,
    time::{DAY, HOUR, MINUTE},
};
use tokio::sync;

use super::DpopRefusal;
use crate::HttpTransport;

/// Keys by domain. A domain is asked by one at a time, and at most once a minute, whatever keys its users' tokens name.
pub(super) struct TokenKeys {
    transport: HttpTransport,
    known: Mutex<LruCache<Fqdn, Arc<Domain>>>,
}

#[derive(Default)]
struct Domain {
    asking: sync::Mutex<()>,
    state: Mutex<State>,
}

#[derive(Clone, Default)]
struct State {
    /// What it published, and when it was asked for that.
    keys: Option<(Arc<JwkSet>, Timestamp)>,
    /// When it was asked last, in vain perhaps.
    asked: Option<Timestamp>,
}

impl TokenKeys {
    pub(super) fn new(transport: HttpTransport) -> Self {
        Self { transport, known: Mutex::new(LruCache::new(MAX_DOMAINS)) }
    }

    /// The keys of a domain, the one that is named among them if the domain has it.
    pub(super) async fn find(
        &self,
        domain: &Fqdn,
        key_id: &str,
        now: Timestamp,
    ) -> Result<Arc<JwkSet>, DpopRefusal> {
        let slot = self.slot(domain);
        if let Some(keys) = slot.state().fresh(key_id, now) {
            return Ok(keys);
        }
        let _single = slot.asking.lock().await;
        let state = slot.state();
        if let Some(keys) = state.fresh(key_id, now) {
            return Ok(keys);
        }
        if state.may_ask(now) {
            let fetched = self.transport.jwks(domain).await.ok();
            slot.learn(fetched.and_then(|document| JwkSet::decode(&document).ok()), now);
        }
        slot.state().usable(now).ok_or(DpopRefusal::UNREACHABLE)
    }

    fn slot(&self, domain: &Fqdn) -> Arc<Domain> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.get_or_insert_ref(domain, Arc::default))
    }
}

impl Domain {
    fn state(&self) -> State {
        self.lock().clone()
    }

    fn learn(&self, keys: Option<JwkSet>, now: Timestamp) {
        let mut state = self.lock();
        state.asked = Some(now);
        if let Some(keys) = keys {
            state.keys = Some((Arc::new(keys), now));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Keys that need not be asked for.
    fn fresh(&self, key_id: &str, now: Timestamp) -> Option<Arc<JwkSet>> {
        let (keys, at) = self.keys.as_ref()?;
        (now < at.plus_secs(FRESH_S) && keys.find(key_id).is_some()).then(|| Arc::clone(keys))
    }

    /// The last keys, as long as they may be relied on though the domain does not answer (08).
    fn usable(&self, now: Timestamp) -> Option<Arc<JwkSet>> {
        let (keys, at) = self.keys.as_ref()?;
        (now < at.plus_secs(FRESH_S.saturating_add(GRACE_S))).then(|| Arc::clone(keys))
    }

    fn may_ask(&self, now: Timestamp) -> bool {
        self.asked.is_none_or(|asked| asked.plus_secs(REST_S) <= now)
    }
}

/// For how long keys are not asked for again, but for one that is not among them: it comes a day before it signs.
const FRESH_S: u64 = HOUR;
/// For how long they stay usable beyond that.
const GRACE_S: u64 = DAY;
/// How long a domain is left in peace.
const REST_S: u64 = MINUTE;
/// Domains that are remembered, with a few kilobytes each.
const MAX_DOMAINS: NonZero<usize> = match NonZero::new(1_024) {
    Some(number) => number,
    None => NonZero::<usize>::MIN,
};
