//! What waits for other homeservers, for the operator: domains and counts, and nothing of groups, users or queues.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::{Mutex, PoisonError},
};

use phoenix_core::{
    Breaker, Fault, Fqdn, Timestamp,
    api::ServiceName,
    operation::{Fare, Need},
    port::{Place, Space, Wanted},
    time::HOUR,
};
use phoenix_qs::op::survey::{Survey, SurveyReply};

use crate::{AdminError, GreetError, homeserver::Inner};

/// What waits for a homeserver, and how sending it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerSurvey {
    /// The homeserver.
    pub domain: Fqdn,
    /// Messages that were not sent yet, or that it put off.
    pub waiting: u32,
    /// Messages that it refused as bad in the last seven days: they were set aside, and go nowhere.
    pub set_aside: u32,
    /// Messages that this process gave up since it began, since nobody took them for seven days.
    pub given_up: u32,
    /// Whether there are more that wait, or were set aside: no more than some thousand are counted.
    pub more: bool,
    /// When the oldest of those that wait was accepted.
    pub waits_since: Option<Timestamp>,
    /// Attempts in a row that failed, from one mailbox.
    pub attempts: u32,
    /// When the first of these failed.
    pub failing_since: Option<Timestamp>,
    /// Why the last one failed that this process made.
    pub failure: Option<GreetError>,
    /// When it is asked again, where it failed so often that this process leaves it alone.
    pub left_alone_until: Option<Timestamp>,
    /// Whether the federation policy holds what waits.
    pub is_held: bool,
}

/// What this process saw of other homeservers that is not in the store.
#[derive(Default)]
pub(crate) struct Seen {
    failures: Mutex<BTreeMap<Fqdn, GreetError>>,
    /// Those for which something was set aside.
    set_aside: Mutex<BTreeSet<Fqdn>>,
    /// How many messages were given up.
    given_up: Mutex<BTreeMap<Fqdn, u32>>,
}

impl Seen {
    /// Notes what came of a transaction. Where there are too many, some are forgotten until they fail again.
    pub(crate) fn note(&self, domain: &Fqdn, outcome: Result<(), GreetError>) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(()) => drop(failures.remove(domain)),
            Err(failure) => {
                failures.insert(domain.clone(), failure);
                if failures.len() > MAX_SEEN {
                    failures.pop_first();
                }
            }
        }
    }

    /// Notes that something was set aside.
    pub(crate) fn note_set_aside(&self, domain: &Fqdn) {
        let mut set_aside = self.set_aside.lock().unwrap_or_else(PoisonError::into_inner);
        set_aside.insert(domain.clone());
        if set_aside.len() > MAX_SEEN {
            set_aside.pop_first();
        }
    }

    /// Notes that so many messages were given up.
    pub(crate) fn note_given_up(&self, domain: &Fqdn, messages: u16) {
        let mut given_up = self.given_up.lock().unwrap_or_else(PoisonError::into_inner);
        if given_up.len() < MAX_SEEN || given_up.contains_key(domain) {
            let count = given_up.entry(domain.clone()).or_default();
            *count = count.saturating_add(u32::from(messages));
        }
    }

    /// Those for which something was set aside or given up.
    fn without_delivery(&self) -> BTreeSet<Fqdn> {
        let mut domains = self.set_aside.lock().unwrap_or_else(PoisonError::into_inner).clone();
        domains.extend(self.given_up.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned());
        domains
    }

    fn given_up(&self, domain: &Fqdn) -> u32 {
        let given_up = self.given_up.lock().unwrap_or_else(PoisonError::into_inner);
        given_up.get(domain).copied().unwrap_or_default()
    }

    fn failure(&self, domain: &Fqdn) -> Option<GreetError> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).get(domain).copied()
    }
}

/// What there is to say of those homeservers behind `after` for which something waits, or for which this process set
/// something aside or gave it up, in order; at most [`PAGE`].
pub(crate) async fn page(inner: &Inner, after: Option<&Fqdn>) -> Result<Vec<PeerSurvey>, AdminError> {
    let mut domains = destinations(inner).await?;
    domains.extend(inner.seen.without_delivery());
    let behind = (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
    let mut found = Vec::new();
    for domain in domains.range::<Fqdn, _>(behind) {
        let survey = of(inner, domain).await?;
        // Something may have been sent meanwhile.
        if survey.waiting > 0 || survey.set_aside > 0 || survey.given_up > 0 {
            found.push(survey);
        }
        if found.len() == PAGE {
            break;
        }
    }
    Ok(found)
}

/// What there is to say of one homeserver.
pub(crate) async fn of(inner: &Inner, domain: &Fqdn) -> Result<PeerSurvey, AdminError> {
    let reply = inner.queue.internal::<Survey>(domain.clone(), Fare::Free).await?;
    let SurveyReply { waiting, waits_since, failing_since, attempts, set_aside, more } = reply;
    let now = inner.shared.ports().clock.now();
    let left_alone_until = match inner.shared.delays().breaker(domain, now) {
        Breaker::Open(until) => Some(until),
        Breaker::Closed | Breaker::HalfOpen => None,
    };
    let keys = Need::keys(domain.clone(), ServiceName::Qs);
    let failure = match inner.seen.failure(domain) {
        // Without them nothing is sent that could fail.
        None if attempts > 0 && inner.shared.directory().known(&keys).is_none() => {
            Some(GreetError::KeysUnknown)
        }
        seen => seen,
    };
    Ok(PeerSurvey {
        domain: domain.clone(),
        waiting,
        set_aside,
        given_up: inner.seen.given_up(domain),
        more: more.is_set(),
        waits_since: waits_since.map(Timestamp::from_secs),
        attempts,
        failing_since: failing_since.map(Timestamp),
        failure,
        left_alone_until,
        is_held: inner.shared.federation().outbox(domain).is_some(),
    })
}

/// The homeservers for which something waits: each mailbox has an alarm, and names its destination.
pub(crate) async fn destinations(inner: &Inner) -> Result<BTreeSet<Fqdn>, Fault> {
    let ports = inner.shared.ports();
    let soon = ports.clock.now().plus_secs(LONGEST_PAUSE_S);
    let due = ports.store.due(Space::Qs, soon, MAX_ALARMS).await?;
    let waits = due
        .into_iter()
        .filter(|it| matches!(it.key().first(), Some(&(phoenix_qs::MAILBOX | phoenix_qs::LATER))));
    let wanted = Wanted::Keys(vec![phoenix_qs::DESTINATION]);
    let places: Vec<_> = waits.map(|partition| Place { partition, wanted: wanted.clone() }).collect();
    let mut domains = BTreeSet::new();
    for some in places.chunks(READ_AT_ONCE) {
        for (_, row) in ports.store.read(some).await?.iter().flat_map(|found| &found.rows) {
            domains.insert(phoenix_qs::destination(row)?);
        }
    }
    Ok(domains)
}

/// Homeservers that are told of at a time: of each some megabytes may be read.
pub(crate) const PAGE: usize = 64;
/// Homeservers of which is remembered how they failed, or that something was set aside or given up.
const MAX_SEEN: usize = 1_024;
/// How long a mailbox rests at most, with the longest that a limit may hold it back.
const LONGEST_PAUSE_S: u64 = 2 * HOUR;
/// Alarms that are looked through for those of mailboxes, which ring sooner than most others.
const MAX_ALARMS: usize = 65_536;
/// Mailboxes that are asked at a time for whom they are.
const READ_AT_ONCE: usize = 256;
