//! Room for calls that wait for a homeserver's keys (10, T6, T20).
//!
//! Names cost nothing and their owners need not answer, so whoever brings calls that name them can have each wait for as
//! long as a call may take. Only a part of what this server has is given to such calls, and of that a part to one network.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{Door, Zone};
use crate::{Origin, Reject, Timestamp, time::MINUTE};

/// What calls take that wait.
#[derive(Default)]
pub(super) struct Waiting(Mutex<Taken>);

#[derive(Default)]
struct Taken {
    bytes: usize,
    /// By network, those whose callers are known apart from the others: behind one address there may be both.
    networks: BTreeMap<(u64, bool), Share>,
    /// The bytes of strangers, by the zone of whom they need.
    zones: BTreeMap<Zone, usize>,
    /// How many wait at each door, by their networks.
    doors: BTreeMap<Door, BTreeMap<Option<u64>, usize>>,
    knocks: Knocks,
}

/// What the calls of one network take.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Share {
    bytes: usize,
    doors: usize,
}

/// How many strangers each network had looked up in a minute.
#[derive(Default)]
struct Knocks {
    minute: u64,
    sources: BTreeMap<u64, u32>,
}

/// Who waits.
#[derive(Clone, Debug)]
pub(super) enum Caller {
    /// Who has shown what its call needs: a token, or who it is.
    Known,
    /// Whom a homeserver may vouch for that was known a day ago.
    Neighbour(Zone),
    /// Whoever it may be, at the door of a homeserver that was not.
    Stranger(Door),
}

impl Caller {
    /// What may wait in all, with a call of so many bytes of this caller's.
    const fn room(&self, bytes: usize) -> usize {
        match self {
            Self::Known => MOST_BYTES,
            Self::Neighbour(_) => MOST_BYTES - FOR_KNOWN,
            Self::Stranger(_) if bytes <= SMALL => MOST_BYTES - FOR_KNOWN - FOR_NEIGHBOURS,
            Self::Stranger(_) => MOST_BYTES - FOR_KNOWN - FOR_NEIGHBOURS - FOR_SMALL,
        }
    }

    fn into_parts(self) -> (Option<Zone>, Option<Door>) {
        match self {
            Self::Known => (None, None),
            Self::Neighbour(zone) => (Some(zone), None),
            Self::Stranger(door) => (Some(Zone::of(&door.0)), Some(door)),
        }
    }
}

/// Leave for one call to wait, given back when dropped.
pub(crate) struct Place<'a> {
    waiting: &'a Waiting,
    network: Option<(u64, bool)>,
    bytes: usize,
    zone: Option<Zone>,
    door: Option<Door>,
}

impl Waiting {
    /// Counts that a network has a stranger looked up. A call without an address comes from inside.
    ///
    /// # Errors
    /// [`Reject::RateLimited`] where the network has had too many.
    pub(super) fn knock(&self, origin: &Origin, now: Timestamp) -> Result<(), Reject> {
        let Some(source) = origin.prefix() else { return Ok(()) };
        let minute = now.as_secs() / MINUTE;
        let mut taken = self.taken();
        if taken.knocks.minute != minute {
            taken.knocks = Knocks { minute, ..Knocks::default() };
        }
        let sources = &mut taken.knocks.sources;
        if sources.len() >= MAX_SOURCES && !sources.contains_key(&source) {
            return Err(Reject::RateLimited(KNOCK_RETRY_S));
        }
        let count = sources.entry(source).or_default();
        if *count >= KNOCKS_A_MINUTE {
            return Err(Reject::RateLimited(KNOCK_RETRY_S));
        }
        *count = count.saturating_add(1);
        Ok(())
    }

    /// A place for a call of so many bytes; none where too much waits already, of all, of its network, or for homeservers of
    /// the same zone.
    pub(super) fn place(&self, origin: &Origin, bytes: usize, caller: Caller) -> Option<Place<'_>> {
        let (source, bytes) = (origin.prefix(), bytes.max(FLOOR));
        let room = caller.room(bytes);
        let (zone, door) = caller.into_parts();
        let network = source.map(|source| (source, zone.is_none()));
        let mut taken = self.taken();
        let share = network.and_then(|network| taken.networks.get(&network)).copied().unwrap_or_default();
        let of_zone = zone.as_ref().and_then(|zone| taken.zones.get(zone)).copied().unwrap_or_default();
        let at_door = door.as_ref().and_then(|door| taken.doors.get(door));
        let is_new_door = door.is_some() && at_door.is_none();
        let is_new_to_it = door.is_some() && at_door.is_none_or(|here| !here.contains_key(&source));
        let all = taken.bytes.saturating_add(bytes);
        // One call waits however large it is.
        let fits = |held: usize, most: usize| held == 0 || held.saturating_add(bytes) <= most;
        let has_bytes = all <= room && fits(share.bytes, BYTES_OF_NETWORK) && fits(of_zone, BYTES_OF_ZONE);
        let has_door = !is_new_door || taken.doors.len() < MOST_DOORS;
        let has_share = network.is_none() || !is_new_to_it || share.doors < DOORS_OF_NETWORK;
        if !(has_bytes && has_door && has_share) {
            return None;
        }
        taken.bytes = all;
        if let Some(network) = network {
            let doors = share.doors.saturating_add(usize::from(is_new_to_it));
            taken.networks.insert(network, Share { bytes: share.bytes.saturating_add(bytes), doors });
        }
        if let Some(zone) = zone.clone() {
            taken.zones.insert(zone, of_zone.saturating_add(bytes));
        }
        if let Some(door) = door.clone() {
            let here = taken.doors.entry(door).or_default().entry(source).or_default();
            *here = here.saturating_add(1);
        }
        drop(taken);
        Some(Place { waiting: self, network, bytes, zone, door })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    /// One of a network leaves a door. Whether it was the network's last one there.
    fn leave(&mut self, door: &Door, source: Option<u64>) -> bool {
        let Some(here) = self.doors.get_mut(door) else { return false };
        let Some(count) = here.get_mut(&source) else { return false };
        *count = count.saturating_sub(1);
        let is_last = *count == 0;
        if is_last {
            here.remove(&source);
        }
        if here.is_empty() {
            self.doors.remove(door);
        }
        is_last
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut taken = self.waiting.taken();
        taken.bytes = taken.bytes.saturating_sub(self.bytes);
        let source = self.network.map(|(source, _)| source);
        let has_left = self.door.as_ref().is_some_and(|door| taken.leave(door, source));
        if let Some(network) = self.network
            && let Some(share) = taken.networks.get_mut(&network)
        {
            share.bytes = share.bytes.saturating_sub(self.bytes);
            share.doors = share.doors.saturating_sub(usize::from(has_left));
            if *share == Share::default() {
                taken.networks.remove(&network);
            }
        }
        if let Some(zone) = &self.zone
            && let Some(bytes) = taken.zones.get_mut(zone)
        {
            *bytes = bytes.saturating_sub(self.bytes);
            if *bytes == 0 {
                taken.zones.remove(zone);
            }
        }
    }
}

/// Strangers that one network may have looked up in a minute (08).
pub(super) const KNOCKS_A_MINUTE: u32 = 10;
/// Networks counted in one minute; whoever comes beyond them waits for the next.
const MAX_SOURCES: usize = 65_536;
/// When to come back then.
const KNOCK_RETRY_S: u32 = 60;
/// What a call takes at least, however small it is.
const FLOOR: usize = 1 << 10;
/// Most that wait in all: a quarter of what an adapter takes in at once by default,
const MOST_BYTES: usize = 16 << 20;
/// of one network,
const BYTES_OF_NETWORK: usize = 1 << 20;
/// for homeservers of one zone,
const BYTES_OF_ZONE: usize = 2 << 20;
/// what is left for callers who are known,
const FOR_KNOWN: usize = 4 << 20;
/// and for those of homeservers that were known a day ago.
const FOR_NEIGHBOURS: usize = 4 << 20;
/// Strangers' calls of this size find room when larger ones do not: enough to get to know each other by, from which
/// others profit.
const SMALL: usize = 16 << 10;
/// What is left for them.
const FOR_SMALL: usize = 4 << 20;
/// Homeservers that strangers have asked at the same time: half of what the transport over HTTPS looks up, so that the
/// other half is left to deliveries and to callers who are known,
const MOST_DOORS: usize = 16;
/// and of one network.
const DOORS_OF_NETWORK: usize = 4;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::ops::Range;

    use super::{
        BYTES_OF_NETWORK, BYTES_OF_ZONE, Caller, DOORS_OF_NETWORK, Door, FOR_KNOWN, FOR_NEIGHBOURS,
        FOR_SMALL, MOST_BYTES, MOST_DOORS, Place, SMALL, Waiting, Zone,
    };
    use crate::{Origin, api::ServiceName};

    #[test]
    fn t20_calls_that_wait_take_no_more_than_their_part_and_leave_some_to_smaller_and_to_known_ones() {
        let waiting = Waiting::default();
        let wait = |networks: Range<u32>, bytes: usize, caller: fn(u32) -> Caller| -> Vec<Place<'_>> {
            networks.map_while(|it| waiting.place(&origin(it), bytes, caller(it))).collect()
        };
        let stranger = |it| Caller::Stranger(door(it % 8));

        let large = wait(0..100, BYTES_OF_NETWORK, stranger);
        let small = wait(1_000..10_000, SMALL, stranger);
        let neighbours = wait(100..200, BYTES_OF_NETWORK, |it| Caller::Neighbour(Zone::of(&door(it).0)));
        let known = wait(200..300, BYTES_OF_NETWORK, |_| Caller::Known);

        let all = [&large, &small, &neighbours, &known]
            .map(|places| places.iter().map(|it| it.bytes).sum::<usize>());
        let rest = MOST_BYTES - FOR_KNOWN - FOR_NEIGHBOURS - FOR_SMALL;
        assert_eq!(all, [rest, FOR_SMALL, FOR_NEIGHBOURS, FOR_KNOWN]);
        drop((large, small, neighbours, known));
        assert!(is_empty(&waiting));
    }

    #[test]
    fn t20_one_network_waits_with_its_part_and_with_one_call_of_any_size_and_leaves_as_much_to_known_callers()
    {
        let waiting = Waiting::default();
        let wait = |network: u32, bytes: usize| waiting.place(&origin(network), bytes, Caller::Known);

        let whole = wait(0, 2 * BYTES_OF_NETWORK);
        assert!(whole.is_some() && wait(0, 1).is_none());
        assert!(wait(1, 1).is_some(), "others may");
        assert!(
            waiting.place(&origin(0), 1, Caller::Stranger(door(0))).is_some(),
            "so may strangers behind it"
        );
        drop(whole);
        let parts: Vec<_> = (0..1_000).map_while(|_| wait(0, SMALL)).collect();
        assert_eq!(parts.len() * SMALL, BYTES_OF_NETWORK);
    }

    #[test]
    fn t20_homeservers_of_one_zone_have_their_part_from_however_many_networks() {
        let waiting = Waiting::default();
        let zone = || Zone::of(&"evil.test".parse().unwrap());

        let wait = |it| waiting.place(&origin(it), BYTES_OF_NETWORK, Caller::Neighbour(zone()));
        let of_zone: Vec<Place<'_>> = (0..100).map_while(wait).collect();

        assert_eq!(of_zone.len() * BYTES_OF_NETWORK, BYTES_OF_ZONE);
        assert!(
            waiting.place(&origin(100), 1, Caller::Neighbour(Zone::of(&door(0).0))).is_some(),
            "others may"
        );
    }

    #[test]
    fn t6_doors_that_strangers_wait_at_are_few_and_those_of_one_network_fewer() {
        let waiting = Waiting::default();
        let stand =
            |network: u32, number: u32| waiting.place(&origin(network), 0, Caller::Stranger(door(number)));

        let mut of_one: Vec<Place<'_>> = (0..100).map_while(|number| stand(0, number)).collect();
        assert_eq!(of_one.len(), DOORS_OF_NETWORK);
        let second = stand(0, 0);
        assert!(second.is_some(), "at one of them, many may wait");
        of_one.remove(0);
        assert!(stand(0, 50).is_none(), "it still stands at as many");
        let others: Vec<Place<'_>> = (1..100).map_while(|number| stand(number, 100 + number)).collect();
        assert_eq!(DOORS_OF_NETWORK + others.len(), MOST_DOORS);
        assert!(stand(200, 101).is_some(), "at a door that somebody waits at, others may");
        assert!(waiting.place(&origin(200), 0, Caller::Known).is_some(), "who is known stands at no door");

        drop((of_one, second, others));
        assert!(is_empty(&waiting));
    }

    fn is_empty(waiting: &Waiting) -> bool {
        let taken = waiting.taken();
        taken.bytes == 0 && taken.networks.is_empty() && taken.zones.is_empty() && taken.doors.is_empty()
    }

    fn origin(number: u32) -> Origin {
        Origin { address: Some(number.to_be_bytes().into()), request: 0 }
    }

    fn door(number: u32) -> Door {
        (format!("example{number}.test").parse().unwrap(), ServiceName::As)
    }
}
