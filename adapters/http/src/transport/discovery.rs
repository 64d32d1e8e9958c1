//! Finds a domain's services and remembers them (08, "Discovery"; 10, T6).

use std::{
    num::NonZero,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use http::StatusCode;
use lru::LruCache;
use phoenix_core::{Fqdn, Reject, port::TransportError};
use reqwest::Client;
use tokio::time::Instant;

use super::{
    exchange::{Answer, Unanswered, exchange, verdict},
    resolver::Resolver,
    turns::{Quota, Turns},
};
use crate::well_known::{HTTPS, Host, Hosts};

/// What is known of domains.
pub(super) struct Discovery {
    scout: Arc<Scout>,
    slots: Mutex<LruCache<Fqdn, Arc<Slot>>>,
}

/// Who looks domains up.
struct Scout {
    client: Client,
    resolver: Arc<Resolver>,
    turns: Turns,
    /// Those of domains that are known, which can wait.
    refreshing: Turns,
    turn_time: Duration,
    memory: FailureMemory,
}

/// For how long a failure is remembered: at first, and at most, as it is doubled each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FailureMemory {
    first: Duration,
    longest: Duration,
}

impl FailureMemory {
    /// Of a homeserver: strangers may name domains to it, and no one can make it knock on their doors (08).
    pub(super) const SERVER: Self =
        Self { first: Duration::from_secs(60), longest: Duration::from_secs(3_600) };
    /// Of a client: whom it looks for, its user says, and mostly it is its own network that fails.
    pub(super) const CLIENT: Self = Self { first: Duration::from_secs(1), longest: Duration::from_secs(30) };
}

impl Default for FailureMemory {
    fn default() -> Self {
        Self::SERVER
    }
}

/// One domain.
type Slot = Mutex<Knowledge>;

/// What is known of one domain.
#[derive(Default)]
struct Knowledge {
    found: Option<Found>,
    failed: Option<Failed>,
    looking: Option<Looking>,
}

/// A look-up that runs by itself; whoever needs it waits for what it finds.
type Looking = Shared<BoxFuture<'static, Result<Hosts, TransportError>>>;

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

/// Why an answer says nothing of where services are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// It is no document, nor says that there is none.
    Status(StatusCode),
    /// The document breaks a rule.
    Document(Reject),
}

impl Discovery {
    /// Nothing is known yet.
    pub(super) fn new(client: Client, resolver: Arc<Resolver>, memory: FailureMemory) -> Self {
        let (turns, refreshing) = (Turns::new(LOOK_UPS), Turns::new(REFRESHES));
        Self::with(Scout { client, resolver, turns, refreshing, turn_time: TURN_TIME, memory })
    }

    fn with(scout: Scout) -> Self {
        Self { scout: Arc::new(scout), slots: Mutex::new(LruCache::new(MAX_DOMAINS)) }
    }

    /// The client for what everyone may read.
    pub(super) fn client(&self) -> &Client {
        &self.scout.client
    }

    /// Where the domain's services are.
    ///
    /// # Errors
    /// Why it cannot be told; the same for a while without asking again ([`FailureMemory`]). [`TransportError::Busy`]
    /// where too many others are being looked up. Where the domain was found before, that stays usable for a day: it is told at
    /// once, and asked for again beside.
    pub(super) async fn hosts(&self, domain: &Fqdn) -> Result<Hosts, TransportError> {
        let slot = self.slot(domain);
        let looking = {
            let mut known = lock(&slot);
            let now = Instant::now();
            let looking = known.needs_look_up(now).then(|| self.looking(&slot, &mut known, domain));
            match (known.answer(now), looking) {
                (Err(_), Some(looking)) => looking,
                (answer, _) => return answer,
            }
        };
        looking.await
    }

    /// What the domain itself answers now, whatever is known of it.
    pub(super) async fn ask(&self, domain: &Fqdn) -> Result<Answer, Unanswered> {
        self.scout.ask(domain).await
    }

    /// The domain's services do not answer: perhaps they have moved, so what is known is not fresh any more.
    pub(super) fn doubt(&self, domain: &Fqdn) {
        let slot = self.slot(domain);
        if let Some(found) = lock(&slot).found.as_mut() {
            // Not earlier: a server that is merely down must not be asked with every call.
            found.fresh_until = found.fresh_until.min(found.at + DOUBT_AFTER);
        }
    }

    /// What was found so long ago, as far as anybody can tell.
    #[cfg(test)]
    pub(super) fn age(&self, domain: &Fqdn, by: Duration) {
        let slot = self.slot(domain);
        if let Some(found) = lock(&slot).found.as_mut() {
            found.at = found.at.checked_sub(by).unwrap_or(found.at);
        }
    }

    /// The look-up that runs, or a new one: in a task of its own, so that it ends though the caller hangs up.
    fn looking(&self, slot: &Arc<Slot>, known: &mut Knowledge, domain: &Fqdn) -> Looking {
        // One that is over and still here was cut off, with the runtime that it ran on.
        if let Some(looking) = known.looking.as_ref().filter(|looking| looking.peek().is_none()) {
            return looking.clone();
        }
        let (scout, slot, domain) = (Arc::clone(&self.scout), Arc::clone(slot), domain.clone());
        let is_found = known.answer(Instant::now()).is_ok();
        let task = tokio::spawn(async move {
            let turns = if is_found { &scout.refreshing } else { &scout.turns };
            let outcome = scout.turn(turns, &domain).await;
            let mut known = lock(&slot);
            known.looking = None;
            let now = Instant::now();
            // Without a turn, nothing was learnt of the domain.
            let Some(outcome) = outcome else { return known.answer(now).map_err(|_| TransportError::Busy) };
            known.learn(outcome, now, scout.memory);
            known.answer(now)
        });
        let looking = async { task.await.unwrap_or(Err(TransportError::Unreachable)) }.boxed().shared();
        known.looking = Some(looking.clone());
        looking
    }

    fn slot(&self, domain: &Fqdn) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.get_or_insert_ref(domain, Arc::default))
    }
}

impl Scout {
    /// Looks the domain up when it is its turn; none where too many others, or too many of its zone, take theirs.
    async fn turn(&self, turns: &Turns, domain: &Fqdn) -> Option<Result<(Hosts, Duration), TransportError>> {
        let _turn = turns.wait(domain, self.turn_time).await?;
        Some(self.look_up(domain).await)
    }

    async fn look_up(&self, domain: &Fqdn) -> Result<(Hosts, Duration), TransportError> {
        let answer = self.ask(domain).await?;
        read(&answer, domain).map_err(|unread| match unread {
            Unread::Status(status) => verdict(status),
            Unread::Document(_) => TransportError::Refused,
        })
    }

    async fn ask(&self, domain: &Fqdn) -> Result<Answer, Unanswered> {
        let authority = self.resolver.authority(&Host { name: domain.clone(), port: HTTPS });
        exchange(self.client.get(format!("https://{authority}{WELL_KNOWN}")), MAX_DOCUMENT).await
    }
}

/// What a domain's answer says of where its services are, and for how long.
pub(super) fn read(answer: &Answer, domain: &Fqdn) -> Result<(Hosts, Duration), Unread> {
    let found = match answer.status {
        StatusCode::OK => Hosts::read(&answer.body, domain),
        StatusCode::NOT_FOUND => Hosts::fallback(domain).map(|hosts| (hosts, FALLBACK_AGE)),
        status => return Err(Unread::Status(status)),
    };
    found.map_err(Unread::Document)
}

impl Knowledge {
    fn needs_look_up(&self, now: Instant) -> bool {
        self.found.as_ref().is_none_or(|found| found.fresh_until <= now)
            && self.failed.as_ref().is_none_or(|failed| failed.until <= now)
    }

    fn learn(
        &mut self,
        outcome: Result<(Hosts, Duration), TransportError>,
        now: Instant,
        memory: FailureMemory,
    ) {
        match outcome {
            Ok((hosts, age)) => {
                let fresh_until = now + age;
                self.found =
                    Some(Found { hosts, at: now, fresh_until, usable_until: fresh_until + STALE_TIME });
                self.failed = None;
            }
            Err(error) => {
                let doubled = |failed: &Failed| failed.pause.saturating_mul(2).min(memory.longest);
                let pause = self.failed.as_ref().map_or(memory.first, doubled);
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

fn lock(slot: &Slot) -> MutexGuard<'_, Knowledge> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where a domain tells of its services (08).
pub(super) const WELL_KNOWN: &str = "/.well-known/phoenix";
/// Domains that are remembered; those asked for longest ago give way.
const MAX_DOMAINS: NonZero<usize> = match NonZero::new(16_384) {
    Some(number) => number,
    None => NonZero::<usize>::MIN,
};
/// Domains that are looked up at the same time: strangers can name as many as they like.
const LOOK_UPS: Quota = Quota { all: 32, of_zone: 8, of_name: 4 };
/// The same of those that were found before, and are asked for anew beside.
const REFRESHES: Quota = Quota { all: 16, of_zone: 4, of_name: 4 };
/// How long a domain waits for its turn.
const TURN_TIME: Duration = Duration::from_secs(5);
/// Longest well-known document that is read.
const MAX_DOCUMENT: usize = 256 << 10;
/// How long the fallback is kept (08 leaves it open).
const FALLBACK_AGE: Duration = Duration::from_secs(3_600);
/// How long hosts stay usable that cannot be asked for again, as long as peers' keys do (08).
const STALE_TIME: Duration = Duration::from_secs(24 * 3_600);
/// How long hosts that were found are not asked for again, though what is there does not answer.
const DOUBT_AFTER: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::{collections::HashMap, sync::Arc, time::Duration};

    use axum::{Router, routing::get};
    use phoenix_core::{Fqdn, api::ServiceName, port::TransportError};
    use rustls::RootCertStore;
    use tokio::time::{Instant, sleep, timeout};

    use super::{
        Discovery, FailureMemory, Hosts, Knowledge, LOOK_UPS, REFRESHES, STALE_TIME, Scout, Turns,
        WELL_KNOWN, lock,
    };
    use crate::{
        tests::{Authority, Running},
        tls,
        transport::{circuits::Circuits, names::Everywhere, resolver::Resolver, turns::Turn},
    };

    #[test]
    fn servers_keep_failures_for_a_minute_doubling_to_an_hour_and_clients_for_seconds() {
        for (memory, expected) in [
            (FailureMemory::SERVER, [60, 120, 240, 480, 960, 1_920, 3_600, 3_600]),
            (FailureMemory::CLIENT, [1, 2, 4, 8, 16, 30, 30, 30]),
        ] {
            let (mut known, now) = (Knowledge::default(), Instant::now());

            let pauses = expected.map(|_| {
                known.learn(Err(TransportError::Refused), now, memory);
                known.failed.as_ref().unwrap().pause.as_secs()
            });

            assert_eq!(pauses, expected);
            assert_eq!(known.answer(now), Err(TransportError::Refused));
        }
    }

    #[test]
    fn a_domain_that_was_found_stays_usable_while_it_cannot_be_asked() {
        let (mut known, now) = (Knowledge::default(), Instant::now());
        let hosts = Hosts::fallback(&"alpha.test".parse().unwrap()).unwrap();

        known.learn(Ok((hosts.clone(), Duration::from_secs(60))), now, FailureMemory::SERVER);
        known.learn(Err(TransportError::Unreachable), now + Duration::from_secs(61), FailureMemory::SERVER);

        assert_eq!(known.answer(now + Duration::from_secs(62)), Ok(hosts));
        assert_eq!(
            known.answer(now + STALE_TIME + Duration::from_secs(61)),
            Err(TransportError::Unreachable)
        );
    }

    #[tokio::test]
    async fn t6_who_gets_no_turn_is_told_soon_and_that_is_not_kept_against_the_domain() {
        // given others who take all turns
        let discovery = inner_world(Duration::from_millis(20));
        let others = all_turns(&discovery);

        // when a domain is asked for, then that ends soon
        let alpha = alpha();
        let ask = || timeout(Duration::from_secs(5), discovery.hosts(&alpha));
        assert_eq!(ask().await, Ok(Err(TransportError::Busy)));

        // and when there is a turn again, the domain is looked up
        drop(others);
        assert_eq!(ask().await, Ok(Err(TransportError::Refused)), "every name leads inside");
    }

    #[tokio::test]
    async fn t6_a_domain_that_is_known_waits_for_no_turn() {
        // given a domain that was found an hour ago, and others who take all turns
        let discovery = inner_world(Duration::from_secs(60));
        let others = all_turns(&discovery);
        let (slot, hosts) = (discovery.slot(&alpha()), Hosts::fallback(&alpha()).unwrap());
        let hour = Duration::from_secs(3_600);
        lock(&slot).learn(
            Ok((hosts.clone(), Duration::ZERO)),
            Instant::now().checked_sub(hour).unwrap(),
            FailureMemory::SERVER,
        );

        // when it is asked for, then what is known is told at once
        for _ in 0..3 {
            let answer = timeout(Duration::from_secs(5), discovery.hosts(&alpha())).await;
            assert_eq!(answer, Ok(Ok(hosts.clone())));
        }

        // and it is looked up beside, when there is a turn
        drop(others);
        while lock(&slot).failed.is_none() {
            sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(discovery.hosts(&alpha()).await, Ok(hosts));
    }

    #[tokio::test]
    async fn t23_a_domain_that_moved_to_another_host_is_found_there_when_it_does_not_answer() {
        // given a domain that was found two minutes ago at hosts which are blocked since, and tells now of another
        let told = async || r#"{"domain":"alpha.test","versions":[1],"as":"a.test","ds":"a.test","qs":"a.test","max_age_s":60}"#;
        let authority = Authority::new();
        let running = Running::start(&authority, Router::new().route(WELL_KNOWN, get(told)));
        let transport = running.transport(&authority);
        let discovery = &transport.0.discovery;
        let (slot, blocked) = (discovery.slot(&alpha()), Hosts::fallback(&alpha()).unwrap());
        let found_at = Instant::now().checked_sub(Duration::from_secs(120)).unwrap();
        lock(&slot).learn(
            Ok((blocked.clone(), Duration::from_secs(86_400))),
            found_at,
            FailureMemory::SERVER,
        );
        assert_eq!(discovery.hosts(&alpha()).await, Ok(blocked.clone()));
        assert!(lock(&slot).looking.is_none(), "it is fresh for a day");

        // when a call got no answer there, then it is asked for anew, and found
        discovery.doubt(&alpha());
        while discovery.hosts(&alpha()).await == Ok(blocked.clone()) {
            sleep(Duration::from_millis(1)).await;
        }
        let moved = discovery.hosts(&alpha()).await.unwrap();
        assert_eq!(moved.host(ServiceName::Qs).to_string(), "a.test:443");
    }

    #[tokio::test]
    async fn t6_silent_domains_of_one_owner_leave_turns_to_the_others() {
        // given as many domains of one owner as may be looked up at once, which never answer
        let discovery = inner_world(Duration::from_millis(20));
        let silent: Vec<_> = (0..LOOK_UPS.all)
            .map_while(|it| discovery.scout.turns.take(&name(&format!("s{it}.evil.co.test"))))
            .collect();

        // when others are asked for, then those of the owner get no turn, and the rest do, also those of the same suffix
        assert_eq!(silent.len(), LOOK_UPS.of_name);
        assert_eq!(discovery.hosts(&name("z.evil.co.test")).await, Err(TransportError::Busy));
        for other in ["alpha.test", "honest.co.test"] {
            let found = discovery.hosts(&name(other)).await;
            assert_eq!(found, Err(TransportError::Refused), "every name leads inside");
        }
    }

    /// Others take all turns.
    fn all_turns(discovery: &Discovery) -> Vec<Turn<'_>> {
        let Scout { turns, refreshing, .. } = discovery.scout.as_ref();
        let both = [(turns, LOOK_UPS), (refreshing, REFRESHES)].into_iter();
        both.flat_map(|(turns, quota)| (0..quota.all).map(move |it| (turns, it)))
            .map(|(turns, it)| turns.take(&name(&format!("z{it}.test"))).unwrap())
            .collect()
    }

    /// Where every name leads to this machine, which is refused.
    fn inner_world(turn_time: Duration) -> Discovery {
        let inside = vec!["127.0.0.1".parse().unwrap()];
        let resolver = Arc::new(Resolver::new(HashMap::new(), Arc::default(), Arc::new(Everywhere(inside))));
        let config = tls::client(RootCertStore::empty()).unwrap();
        let circuits = Circuits::new(config, Arc::clone(&resolver), Duration::from_secs(5));
        let client = circuits.client(Duration::from_secs(5)).unwrap();
        Discovery::with(Scout {
            client,
            resolver,
            turns: Turns::new(LOOK_UPS),
            refreshing: Turns::new(REFRESHES),
            turn_time,
            memory: FailureMemory::SERVER,
        })
    }

    fn alpha() -> Fqdn {
        name("alpha.test")
    }

    fn name(name: &str) -> Fqdn {
        name.parse().unwrap()
    }
}
