//! What is remembered of push services: how many pushes are with each, what they said, and which subscriptions are gone.

use std::{
    collections::HashMap,
    num::NonZero,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use lru::LruCache;
use phoenix_core::Fqdn;
use sha2::{Digest, Sha256};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Duration, Instant, timeout},
};

use crate::transport::networks::{Network, Zone};

/// The push services that clients have named.
pub(super) struct Services {
    known: Mutex<Known>,
    /// Pushes that may be under way, to all.
    connections: Arc<Semaphore>,
}

struct Known {
    /// Whose pushes there are; no others are listed.
    rooms: HashMap<Owner, Room>,
    /// Until when a service is left alone.
    pauses: LruCache<Fqdn, Instant>,
    /// Subscriptions that are left alone, by hash, and until when: their service said that they are gone, or have enough.
    spared: LruCache<[u8; 32], Instant>,
}

/// Whose doing it is how long a push takes: first of whoever answers for the service's name, then of whoever has its
/// address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Owner {
    /// While its name is looked up.
    Zone(Zone),
    /// From then on.
    Network(Network),
}

/// One owner's pushes.
struct Room {
    /// Those under way, and those that wait.
    inside: usize,
    doors: Arc<Semaphore>,
}

/// Whom a push is for.
pub(super) struct Subscription<'a> {
    services: &'a Services,
    host: Fqdn,
    hash: [u8; 32],
}

/// Leave to send one push into a network, given back when dropped.
pub(super) struct Turn<'a> {
    _place: Stay<'a>,
    _permits: (OwnedSemaphorePermit, OwnedSemaphorePermit),
}

/// A place in an owner's room, given back when dropped.
pub(super) struct Stay<'a> {
    services: &'a Services,
    owner: Owner,
}

impl Services {
    /// A subscription that may be pushed to; none where it is gone, or it or its service is to have a pause.
    pub(super) fn subscription(&self, host: &Fqdn, address: &[u8], now: Instant) -> Option<Subscription<'_>> {
        let hash: [u8; 32] = Sha256::digest(address).into();
        let mut known = self.known();
        let is_over = |until: Option<&Instant>| until.is_none_or(|until| *until <= now);
        let is_left_alone = !is_over(known.spared.get(&hash)) || !is_over(known.pauses.get(host));
        (!is_left_alone).then(|| Subscription { services: self, host: host.clone(), hash })
    }

    /// Leave to push into a network, after a while where many are; none where too many wait already.
    pub(super) async fn turn(&self, network: Network) -> Option<Turn<'_>> {
        let (place, doors) = self.enter(Owner::Network(network))?;
        let door = timeout(WAITING_TIME, doors.acquire_owned()).await.ok()?.ok()?;
        // Not waited for: whoever holds all of them would hold up everyone.
        let connection = Arc::clone(&self.connections).try_acquire_owned().ok()?;
        Some(Turn { _place: place, _permits: (door, connection) })
    }

    /// Leave to wait until a service's name was looked up; none where too many do.
    pub(super) fn wait(&self, zone: Zone) -> Option<Stay<'_>> {
        self.enter(Owner::Zone(zone)).map(|(place, _)| place)
    }

    fn enter(&self, owner: Owner) -> Option<(Stay<'_>, Arc<Semaphore>)> {
        let mut known = self.known();
        let free = MAX_INSIDE.saturating_sub(known.rooms.values().map(|room| room.inside).sum());
        let room = known
            .rooms
            .entry(owner.clone())
            .or_insert_with(|| Room { inside: 0, doors: Arc::new(Semaphore::new(MAX_FOR_ONE)) });
        // Never more than is left for those who come: however much others hold, there is room for one more.
        if room.inside >= free {
            if room.inside == 0 {
                known.rooms.remove(&owner);
            }
            return None;
        }
        room.inside = room.inside.saturating_add(1);
        let doors = Arc::clone(&room.doors);
        Some((Stay { services: self, owner }, doors))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Services {
    fn default() -> Self {
        let (pauses, spared) = (LruCache::new(MAX_PAUSES), LruCache::new(MAX_SPARED));
        let known = Mutex::new(Known { rooms: HashMap::new(), pauses, spared });
        Self { known, connections: Arc::new(Semaphore::new(MAX_UNDER_WAY)) }
    }
}

impl Subscription<'_> {
    /// Its service is left alone for so many seconds, within reason.
    pub(super) fn pause_service(self, seconds: u64, now: Instant) {
        self.services.known().pauses.put(self.host, now + pause(seconds));
    }

    /// It is left alone for so many seconds, within reason, and its service is not: one that has had enough is to cost no
    /// other, and how often its client is woken is up to strangers.
    pub(super) fn pause(self, seconds: u64, now: Instant) {
        self.spare(now + pause(seconds));
    }

    /// It is gone.
    pub(super) fn forget(self, now: Instant) {
        self.spare(now + Duration::from_secs(GONE_S));
    }

    fn spare(self, until: Instant) {
        self.services.known().spared.put(self.hash, until);
    }
}

impl Drop for Stay<'_> {
    fn drop(&mut self) {
        let mut known = self.services.known();
        let Some(room) = known.rooms.get_mut(&self.owner) else { return };
        room.inside = room.inside.saturating_sub(1);
        if room.inside == 0 {
            known.rooms.remove(&self.owner);
        }
    }
}

fn pause(seconds: u64) -> Duration {
    Duration::from_secs(seconds.min(LONGEST_PAUSE_S))
}

/// Pushes under way at a time, in all,
const MAX_UNDER_WAY: usize = 256;
/// and into one network: who wants all of them to end at the time limit needs sixteen networks.
const MAX_FOR_ONE: usize = 16;
/// Pushes that are under way or wait, in all: as many as are handed over at a time.
const MAX_INSIDE: usize = 1_024;
/// How long a push waits for others into the same network.
pub(super) const WAITING_TIME: Duration = Duration::from_secs(4);
/// Services that are left alone: those that clients named last.
const MAX_PAUSES: NonZero<usize> = match NonZero::new(1_024) {
    Some(number) => number,
    None => NonZero::<usize>::MIN,
};
/// Subscriptions that are left alone, at 64 bytes each.
const MAX_SPARED: NonZero<usize> = match NonZero::new(16_384) {
    Some(number) => number,
    None => NonZero::<usize>::MIN,
};
/// Longest pause that a service can ask for, in seconds: else a mistake of its own would last for days.
const LONGEST_PAUSE_S: u64 = 3_600;
/// For how long a subscription that is gone is not pushed to, in seconds: its client leaves another soon.
const GONE_S: u64 = 7 * 86_400;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

    use futures::FutureExt;
    use phoenix_core::Fqdn;
    use tokio::{
        task::unconstrained,
        time::{Duration, Instant},
    };

    use super::{GONE_S, LONGEST_PAUSE_S, MAX_FOR_ONE, MAX_INSIDE, MAX_UNDER_WAY, Services, Turn};
    use crate::transport::networks::{Network, Zone};

    #[test]
    fn a_service_that_wants_a_pause_has_it_and_others_have_not() {
        let (services, now) = (Services::default(), Instant::now());
        let to =
            |name: &str, later| services.subscription(&host(name), b"2", now + Duration::from_secs(later));
        services.subscription(&host("a.test"), b"1", now).unwrap().pause_service(u64::MAX, now);

        assert!(to("a.test", LONGEST_PAUSE_S - 1).is_none());
        assert!(to("b.test", 0).is_some());
        assert!(to("a.test", LONGEST_PAUSE_S).is_some());
    }

    #[test]
    fn a_subscription_that_has_enough_is_left_alone_and_others_of_its_service_are_not() {
        let (services, now) = (Services::default(), Instant::now());
        let to = |address: &[u8], later| {
            services.subscription(&host("a.test"), address, now + Duration::from_secs(later))
        };
        to(b"1", 0).unwrap().pause(u64::MAX, now);

        assert!(to(b"1", LONGEST_PAUSE_S - 1).is_none());
        assert!(to(b"2", 0).is_some());
        assert!(to(b"1", LONGEST_PAUSE_S).is_some());
    }

    #[test]
    fn a_subscription_that_is_gone_is_left_alone_and_others_are_not() {
        let (services, now) = (Services::default(), Instant::now());
        let to = |address: &[u8], later| {
            services.subscription(&host("a.test"), address, now + Duration::from_secs(later))
        };
        to(b"1", 0).unwrap().forget(now);

        assert!(to(b"1", GONE_S - 1).is_none());
        assert!(to(b"2", 0).is_some());
        assert!(to(b"1", GONE_S).is_some());
    }

    #[tokio::test]
    async fn t20_one_network_leaves_turns_to_the_others_and_all_have_so_many() {
        let services = Services::default();
        let turns = |third: u8| -> Vec<Turn<'_>> {
            let turn = || unconstrained(services.turn(network(third)));
            (0..100).map_while(|_| turn().now_or_never().flatten()).collect()
        };

        let all: Vec<_> = (0..100).map(turns).collect();
        let counts: Vec<_> = all.iter().map(Vec::len).take_while(|count| *count > 0).collect();
        assert_eq!(counts, [MAX_FOR_ONE; MAX_UNDER_WAY / MAX_FOR_ONE]);

        drop(all);
        assert_eq!(turns(101).len(), MAX_FOR_ONE);
        assert!(services.known().rooms.is_empty());
    }

    #[tokio::test]
    async fn t20_pushes_that_wait_for_one_network_leave_room_for_every_other() {
        // given more pushes than there is room for, into one network from which nothing comes back
        let services = Services::default();
        let mut waiting: Vec<_> = (0..2_000).map(|_| Box::pin(services.turn(network(0)))).collect();
        let first: Vec<_> = waiting.iter_mut().map(FutureExt::now_or_never).collect();
        let given = first.iter().flatten().flatten().count();
        let lost = first.iter().filter(|it| matches!(it, Some(None))).count();
        assert_eq!((given, lost), (MAX_FOR_ONE, 2_000 - MAX_INSIDE / 2));

        // then there are turns for others
        assert!(services.turn(network(1)).now_or_never().flatten().is_some());
    }

    #[test]
    fn t20_pushes_to_names_that_nobody_finds_leave_room_for_the_others() {
        let services = Services::default();
        let waiting = |number: usize| -> Vec<_> {
            let zone = || Zone::of(&host(&format!("s.z{number}.test")));
            (0..2_000).map_while(|_| services.wait(zone())).collect()
        };

        let all: Vec<_> = (0..8).map(waiting).collect();

        assert_eq!(all[0].len(), MAX_INSIDE / 2);
        assert!(all.iter().all(|waiting| !waiting.is_empty()));
    }

    #[tokio::test]
    async fn a_push_that_waits_goes_when_another_has_ended() {
        let services = Services::default();
        let mut turns: Vec<_> =
            (0..MAX_FOR_ONE).map(|_| services.turn(network(0)).now_or_never().flatten().unwrap()).collect();
        let mut next = Box::pin(services.turn(network(0)));
        assert!((&mut next).now_or_never().is_none());

        turns.pop();

        assert!(next.now_or_never().flatten().is_some());
    }

    fn network(third: u8) -> Network {
        Network::of([93, 184, third, 1].into())
    }

    fn host(name: &str) -> Fqdn {
        name.parse().unwrap()
    }
}
