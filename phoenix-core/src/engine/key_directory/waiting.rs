//! Room for calls that wait for a homeserver's keys (10, T6, T20).
//!
//! Names cost nothing and their owners need not answer, so whoever brings calls that name them can have each wait for as
//! long as a call may take. Only a part of what this server has is given to such calls, and of that a part to one network.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{Door, Owner};
use crate::{Origin, Reject, Timestamp, time::MINUTE};

/// What calls take that wait.
#[derive(Default)]
pub(super) struct Waiting(Mutex<Taken>);

#[derive(Default)]
struct Taken {
    bytes: usize,
    /// By network, and apart for each kind of caller: behind one address there may be all.
    networks: BTreeMap<(u64, Kind), Share>,
    /// Bytes by whose homeservers are waited for.
    owners: BTreeMap<(Kind, Owner), usize>,
    /// How many wait at each door, by their networks.
    doors: BTreeMap<(Kind, Door), BTreeMap<Option<u64>, usize>>,
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

/// What is known of a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// It has shown what its call needs: a token, or who it is.
    Known,
    /// A homeserver may vouch for it that was known a day ago.
    Neighbour,
    /// It may be anybody.
    Stranger,
}

impl Kind {
    /// What may wait in all, with a call of so many bytes of this kind.
    const fn room(self, bytes: usize) -> usize {
        let room = match self {
            Self::Known => return MOST_BYTES,
            Self::Neighbour => MOST_BYTES - FOR_KNOWN,
            Self::Stranger => MOST_BYTES - FOR_KNOWN - FOR_NEIGHBOURS,
        };
        if bytes <= SMALL { room } else { room.saturating_sub(FOR_SMALL) }
    }

    /// How many homeservers may be asked at once, of one zone, and for one network.
    const fn doors(self) -> [usize; 3] {
        match self {
            Self::Known => [usize::MAX; 3],
            Self::Neighbour => [64, 8, 16],
            Self::Stranger => [16, 4, 4],
        }
    }
}

/// Leave for one call to wait, given back when dropped.
pub(crate) struct Place<'a> {
    waiting: &'a Waiting,
    kind: Kind,
    source: Option<u64>,
    bytes: usize,
    door: Option<Door>,
}

impl Waiting {
    /// A place for a call of so many bytes, at the door of the homeserver that may vouch for the caller where nobody
    /// knows yet who it is. A stranger who is the first one there has it knocked at.
    ///
    /// # Errors
    /// [`Reject::Unavailable`] where too much waits already, of all, of its network, or for homeservers of the same owner;
    /// [`Reject::RateLimited`] where its network has had too many strangers looked up.
    pub(super) fn place(
        &self,
        origin: &Origin,
        bytes: usize,
        (kind, door): (Kind, Option<Door>),
        now: Timestamp,
    ) -> Result<Place<'_>, Reject> {
        let (source, bytes) = (origin.prefix(), bytes.max(FLOOR));
        let mut taken = self.taken();
        let at_door = door.as_ref().map(|door| taken.doors.get(&(kind, door.clone())));
        let is_first = at_door == Some(None);
        let is_new_to_it = at_door.is_some_and(|here| here.is_none_or(|here| !here.contains_key(&source)));
        if !(taken.has_bytes(kind, source, bytes, door.as_ref())
            && taken.has_door(kind, source, door.as_ref().filter(|_| is_first), is_new_to_it))
        {
            return Err(Reject::Unavailable(FULL_RETRY_S));
        }
        if is_first && kind == Kind::Stranger {
            taken.knocks.knock(source, now)?;
        }
        taken.bytes = taken.bytes.saturating_add(bytes);
        if let Some(source) = source {
            let share = taken.networks.entry((source, kind)).or_default();
            share.bytes = share.bytes.saturating_add(bytes);
            share.doors = share.doors.saturating_add(usize::from(is_new_to_it));
        }
        if let Some(door) = &door {
            for owner in Owner::of(&door.0) {
                let held = taken.owners.entry((kind, owner)).or_default();
                *held = held.saturating_add(bytes);
            }
            let here = taken.doors.entry((kind, door.clone())).or_default().entry(source).or_default();
            *here = here.saturating_add(1);
        }
        drop(taken);
        Ok(Place { waiting: self, kind, source, bytes, door })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Knocks {
    /// Counts that a network has a stranger looked up. A call without an address comes from inside.
    fn knock(&mut self, source: Option<u64>, now: Timestamp) -> Result<(), Reject> {
        let Some(source) = source else { return Ok(()) };
        let minute = now.as_secs() / MINUTE;
        if self.minute != minute {
            *self = Self { minute, ..Self::default() };
        }
        if self.sources.len() >= MAX_SOURCES && !self.sources.contains_key(&source) {
            return Err(Reject::RateLimited(KNOCK_RETRY_S));
        }
        let count = self.sources.entry(source).or_default();
        if *count >= KNOCKS_A_MINUTE {
            return Err(Reject::RateLimited(KNOCK_RETRY_S));
        }
        *count = count.saturating_add(1);
        Ok(())
    }
}

impl Taken {
    fn has_bytes(&self, kind: Kind, source: Option<u64>, bytes: usize, door: Option<&Door>) -> bool {
        // One call waits however large it is.
        let fits = |held: usize, most: usize| held == 0 || held.saturating_add(bytes) <= most;
        let of_owner = |owner: Owner| self.owners.get(&(kind, owner)).copied().unwrap_or_default();
        let [zone, name] = [BYTES_OF_ZONE, BYTES_OF_NAME];
        let owners = door.map(|door| Owner::of(&door.0)).into_iter().flatten().zip([zone, name]);
        self.bytes.saturating_add(bytes) <= kind.room(bytes)
            && fits(self.share(kind, source).bytes, BYTES_OF_NETWORK)
            && owners.into_iter().all(|(owner, most)| fits(of_owner(owner), most))
    }

    /// Whether there is room for another door, where it is one, and for one more of the network.
    fn has_door(&self, kind: Kind, source: Option<u64>, new: Option<&Door>, is_new_to_it: bool) -> bool {
        let [most, most_of_zone, most_of_network] = kind.doors();
        let is_room = new.is_none_or(|(domain, _)| {
            let of_kind = || self.doors.keys().filter(|(other, _)| *other == kind);
            let zone = Owner::zone(domain);
            let of_zone = of_kind().filter(|(_, (other, _))| Owner::zone(other) == zone).count();
            of_kind().count() < most && of_zone < most_of_zone
        });
        is_room && (source.is_none() || !is_new_to_it || self.share(kind, source).doors < most_of_network)
    }

    fn share(&self, kind: Kind, source: Option<u64>) -> Share {
        source.and_then(|source| self.networks.get(&(source, kind))).copied().unwrap_or_default()
    }

    /// One of a network leaves a door. Whether it was the network's last one there.
    fn leave(&mut self, kind: Kind, door: &Door, source: Option<u64>) -> bool {
        let door = (kind, door.clone());
        let Some(here) = self.doors.get_mut(&door) else { return false };
        let Some(count) = here.get_mut(&source) else { return false };
        *count = count.saturating_sub(1);
        let is_last = *count == 0;
        if is_last {
            here.remove(&source);
        }
        if here.is_empty() {
            self.doors.remove(&door);
        }
        is_last
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let Self { kind, source, bytes, .. } = *self;
        let mut taken = self.waiting.taken();
        taken.bytes = taken.bytes.saturating_sub(bytes);
        let has_left = self.door.as_ref().is_some_and(|door| taken.leave(kind, door, source));
        if let Some(source) = source
            && let Some(share) = taken.networks.get_mut(&(source, kind))
        {
            share.bytes = share.bytes.saturating_sub(bytes);
            share.doors = share.doors.saturating_sub(usize::from(has_left));
            if *share == Share::default() {
                taken.networks.remove(&(source, kind));
            }
        }
        for owner in self.door.iter().flat_map(|door| Owner::of(&door.0)) {
            let owner = (kind, owner);
            let Some(held) = taken.owners.get_mut(&owner) else { continue };
            *held = held.saturating_sub(bytes);
            if *held == 0 {
                taken.owners.remove(&owner);
            }
        }
    }
}

/// Strangers that one network may have looked up in a minute (08).
pub(super) const KNOCKS_A_MINUTE: u32 = 10;
/// Networks counted in one minute; whoever comes beyond them waits for the next.
const MAX_SOURCES: usize = 65_536;
/// When to come back then,
const KNOCK_RETRY_S: u32 = 60;
/// and where too much waits.
const FULL_RETRY_S: u32 = 5;
/// What a call takes at least, however small it is.
const FLOOR: usize = 1 << 10;
/// Most that wait in all: a quarter of what an adapter takes in at once by default,
const MOST_BYTES: usize = 16 << 20;
/// of one network,
const BYTES_OF_NETWORK: usize = 1 << 20;
/// for homeservers whose names have their last two labels in common,
const BYTES_OF_ZONE: usize = 4 << 20;
/// and for those that have three: where people register names below a suffix of two, as co.uk, those are one owner's.
const BYTES_OF_NAME: usize = 1 << 20;
/// What is left for callers who are known,
const FOR_KNOWN: usize = 4 << 20;
/// for those of homeservers that were known a day ago,
const FOR_NEIGHBOURS: usize = 4 << 20;
/// and by larger calls for those of this size: enough to get to know each other by, from which others profit.
const SMALL: usize = 16 << 10;
/// What that is.
const FOR_SMALL: usize = 4 << 20;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::ops::Range;

    use super::{
        BYTES_OF_NAME, BYTES_OF_NETWORK, BYTES_OF_ZONE, Door, FOR_KNOWN, FOR_NEIGHBOURS, FOR_SMALL,
        KNOCKS_A_MINUTE, Kind, MOST_BYTES, Place, SMALL, Waiting,
    };
    use crate::{Origin, Reject, Timestamp, api::ServiceName};

    #[test]
    fn t20_calls_that_wait_take_no_more_than_their_part_and_leave_some_to_smaller_and_to_known_ones() {
        let waiting = Waiting::default();
        let wait = |networks: Range<u32>, bytes: usize, kind: Kind| -> usize {
            let domain = |it| format!("a{bytes}{}.test", it % 8);
            let places = networks.map_while(|it| place(&waiting, it, bytes, kind, &domain(it)));
            places.map(|place| std::mem::ManuallyDrop::new(place).bytes).sum()
        };

        let large = wait(0..100, BYTES_OF_NETWORK, Kind::Stranger);
        let small = wait(1_000..10_000, SMALL, Kind::Stranger);
        let neighbours = wait(10_000..20_000, SMALL, Kind::Neighbour);
        let known = wait(200..300, BYTES_OF_NETWORK, Kind::Known);

        let rest = MOST_BYTES - FOR_KNOWN - FOR_NEIGHBOURS - FOR_SMALL;
        assert_eq!([large, small, neighbours, known], [rest, FOR_SMALL, FOR_NEIGHBOURS, FOR_KNOWN]);
    }

    #[test]
    fn t20_one_network_waits_with_its_part_and_with_one_call_of_any_size_and_leaves_as_much_to_known_callers()
    {
        let waiting = Waiting::default();
        let wait = |network: u32, bytes: usize| place(&waiting, network, bytes, Kind::Known, "");

        let whole = wait(0, 2 * BYTES_OF_NETWORK);
        assert!(whole.is_some() && wait(0, 1).is_none());
        assert!(wait(1, 1).is_some(), "others may");
        assert!(place(&waiting, 0, 1, Kind::Stranger, "a.test").is_some(), "so may strangers behind it");
        drop(whole);
        let parts: Vec<_> = (0..1_000).map_while(|_| wait(0, SMALL)).collect();
        assert_eq!(parts.len() * SMALL, BYTES_OF_NETWORK);
    }

    #[test]
    fn t20_homeservers_of_one_owner_have_their_part_from_however_many_networks() {
        let waiting = Waiting::default();
        let wait = |networks: Range<u32>, domain: fn(u32) -> String| -> Vec<Place<'_>> {
            let bytes = BYTES_OF_NETWORK / 4;
            networks.map_while(|it| place(&waiting, it, bytes, Kind::Neighbour, &domain(it))).collect()
        };
        let sum = |places: &[Place<'_>]| places.iter().map(|place| place.bytes).sum::<usize>();

        let of_name = wait(0..100, |it| format!("a{}.evil.co.test", it % 2));
        let of_zone = wait(100..200, |it| format!("a.evil{}.co.test", it % 6));

        assert_eq!(sum(&of_name), BYTES_OF_NAME);
        assert_eq!(sum(&of_name) + sum(&of_zone), BYTES_OF_ZONE);
        assert!(place(&waiting, 200, 1, Kind::Neighbour, "other.test").is_some(), "others may");
        assert!(place(&waiting, 200, 1, Kind::Stranger, "b.co.test").is_some(), "as for those not known yet");
        drop((of_name, of_zone));
        assert!(is_empty(&waiting));
    }

    #[test]
    fn t6_doors_that_strangers_wait_at_are_few_and_those_of_one_network_or_owner_fewer() {
        let waiting = Waiting::default();
        let stand = |network: u32, domain: &str| place(&waiting, network, 0, Kind::Stranger, domain);
        let [most, most_of_zone, most_of_network] = Kind::Stranger.doors();

        let mut of_one: Vec<Place<'_>> = (0..100).map_while(|it| stand(0, &format!("a{it}.test"))).collect();
        assert_eq!(of_one.len(), most_of_network);
        let second = stand(0, "a0.test");
        assert!(second.is_some(), "at one of them, many may wait");
        of_one.remove(0);
        assert!(stand(0, "b.test").is_none(), "it still stands at as many");
        let of_zone: Vec<Place<'_>> =
            (1..100).map_while(|it| stand(it, &format!("s{it}.evil.test"))).collect();
        assert_eq!(of_zone.len(), most_of_zone);
        let others: Vec<Place<'_>> = (101..200).map_while(|it| stand(it, &format!("a{it}.test"))).collect();
        assert_eq!(most_of_network + of_zone.len() + others.len(), most);
        assert!(stand(300, "a101.test").is_some(), "at a door that somebody waits at, others may");
        for kind in [Kind::Known, Kind::Neighbour] {
            assert!(place(&waiting, 300, 0, kind, "b.test").is_some(), "those are for strangers");
        }

        drop((of_one, second, of_zone, others));
        assert!(is_empty(&waiting));
    }

    #[test]
    fn t6_only_who_has_a_door_knocked_at_is_charged_for_it() {
        let waiting = Waiting::default();
        let stand = |domain: &str| place(&waiting, 0, 0, Kind::Stranger, domain);

        let first = stand("a.test").unwrap();
        assert!((0..100).all(|_| stand("a.test").is_some()), "it is open");
        drop(first);
        let knocks = (0..100).map_while(|it| stand(&format!("a{it}.test"))).count();

        assert_eq!(knocks + 1, KNOCKS_A_MINUTE as usize);
        let caller = (Kind::Stranger, Some(door("b.test")));
        let refused = waiting.place(&origin(0), 0, caller, Timestamp(0)).err();
        assert!(matches!(refused, Some(Reject::RateLimited(_))));
    }

    fn place<'a>(
        waiting: &'a Waiting,
        network: u32,
        bytes: usize,
        kind: Kind,
        domain: &str,
    ) -> Option<Place<'a>> {
        let door = (kind != Kind::Known).then(|| door(domain));
        waiting.place(&origin(network), bytes, (kind, door), Timestamp(0)).ok()
    }

    fn is_empty(waiting: &Waiting) -> bool {
        let taken = waiting.taken();
        taken.bytes == 0 && taken.networks.is_empty() && taken.owners.is_empty() && taken.doors.is_empty()
    }

    fn origin(number: u32) -> Origin {
        Origin { address: Some(number.to_be_bytes().into()), request: 0 }
    }

    fn door(domain: &str) -> Door {
        (domain.parse().unwrap(), ServiceName::As)
    }
}
