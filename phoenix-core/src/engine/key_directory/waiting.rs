//! Room for calls that wait for a homeserver's keys (10, T6, T20).
//!
//! Names cost nothing and their owners need not answer, so whoever brings calls that name them can have each wait for as
//! long as a call may take. Only a part of what this server has is given to such calls, and of that a part to one network.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::Door;
use crate::{Origin, Reject, Timestamp, time::MINUTE};

/// What calls take that wait.
#[derive(Default)]
pub(super) struct Waiting(Mutex<Taken>);

#[derive(Default)]
struct Taken {
    bytes: usize,
    sources: BTreeMap<u64, Share>,
    /// How many wait at each door.
    doors: BTreeMap<Door, usize>,
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

/// Leave for one call to wait, given back when dropped.
pub(crate) struct Place<'a> {
    waiting: &'a Waiting,
    source: Option<u64>,
    bytes: usize,
    door: Option<Door>,
    /// Whether this call was the first one at the door.
    is_first: bool,
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

    /// A place for a call of so many bytes; none where too much waits already, of all or of its network. Where nobody
    /// knows yet who calls, also for its door: doors are few.
    pub(super) fn place(&self, origin: &Origin, bytes: usize, door: Option<Door>) -> Option<Place<'_>> {
        let (source, bytes) = (origin.prefix(), bytes.max(FLOOR));
        let mut taken = self.taken();
        let is_first = door.as_ref().is_some_and(|door| !taken.doors.contains_key(door));
        let share = source.and_then(|source| taken.sources.get(&source)).copied().unwrap_or_default();
        let new = Share {
            bytes: share.bytes.saturating_add(bytes),
            doors: share.doors.saturating_add(usize::from(is_first)),
        };
        let room = if bytes > SMALL { MOST_BYTES - FOR_SMALL } else { MOST_BYTES };
        let all = taken.bytes.saturating_add(bytes);
        // One call waits however large it is.
        let is_within = share.bytes == 0 || new.bytes <= BYTES_OF_ONE;
        let doors_within = !is_first || (taken.doors.len() < MOST_DOORS && share.doors < DOORS_OF_ONE);
        if all > room || !is_within || !doors_within {
            return None;
        }
        taken.bytes = all;
        if let Some(source) = source {
            taken.sources.insert(source, new);
        }
        if let Some(door) = door.clone() {
            let here = taken.doors.entry(door).or_default();
            *here = here.saturating_add(1);
        }
        drop(taken);
        Some(Place { waiting: self, source, bytes, door, is_first })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut taken = self.waiting.taken();
        taken.bytes = taken.bytes.saturating_sub(self.bytes);
        if let Some(source) = self.source
            && let Some(share) = taken.sources.get_mut(&source)
        {
            share.bytes = share.bytes.saturating_sub(self.bytes);
            share.doors = share.doors.saturating_sub(usize::from(self.is_first));
            if *share == Share::default() {
                taken.sources.remove(&source);
            }
        }
        if let Some(door) = &self.door
            && let Some(here) = taken.doors.get_mut(door)
        {
            *here = here.saturating_sub(1);
            if *here == 0 {
                taken.doors.remove(door);
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
/// and of one network.
const BYTES_OF_ONE: usize = 1 << 20;
/// Calls of this size find room when large ones do not: enough to get to know each other by, which others profit from.
const SMALL: usize = 16 << 10;
/// What is left for them.
const FOR_SMALL: usize = 4 << 20;
/// Homeservers that callers nobody knows have looked up at the same time: half of what the transport over HTTPS does, so
/// that the other half is left to deliveries and to callers who are known,
const MOST_DOORS: usize = 16;
/// and of one network.
const DOORS_OF_ONE: usize = 4;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::{BYTES_OF_ONE, DOORS_OF_ONE, Door, FOR_SMALL, MOST_BYTES, MOST_DOORS, Place, SMALL, Waiting};
    use crate::{Origin, api::ServiceName};

    #[test]
    fn t20_calls_that_wait_take_no_more_than_their_part_and_large_ones_leave_some_to_small_ones() {
        let waiting = Waiting::default();

        let large: Vec<_> = (0..100).map_while(|it| waiting.place(&origin(it), BYTES_OF_ONE, None)).collect();
        assert_eq!(large.len() * BYTES_OF_ONE, MOST_BYTES - FOR_SMALL);
        let small: Vec<_> = (100..10_000).map_while(|it| waiting.place(&origin(it), SMALL, None)).collect();
        assert_eq!(small.len() * SMALL, FOR_SMALL);

        drop((large, small));
        assert!(is_empty(&waiting));
    }

    #[test]
    fn t20_one_network_waits_with_its_part_and_with_one_call_of_any_size() {
        let waiting = Waiting::default();

        let whole = waiting.place(&origin(0), 2 * BYTES_OF_ONE, None);
        assert!(whole.is_some() && waiting.place(&origin(0), 1, None).is_none());
        assert!(waiting.place(&origin(1), 1, None).is_some(), "others may");
        drop(whole);
        let parts: Vec<_> = (0..1_000).map_while(|_| waiting.place(&origin(0), SMALL, None)).collect();
        assert_eq!(parts.len() * SMALL, BYTES_OF_ONE);
    }

    #[test]
    fn t6_doors_that_strangers_wait_at_are_few_and_those_of_one_network_fewer() {
        let waiting = Waiting::default();
        let stand = |source: u32, number: u32| waiting.place(&origin(source), 0, Some(door(number)));

        let of_one: Vec<Place<'_>> = (0..100).map_while(|number| stand(0, number)).collect();
        assert_eq!(of_one.len(), DOORS_OF_ONE);
        assert!(stand(0, 0).is_some(), "at one of them, many may wait");
        let others: Vec<Place<'_>> = (1..100).map_while(|number| stand(number, 100 + number)).collect();
        assert_eq!(of_one.len() + others.len(), MOST_DOORS);
        assert!(waiting.place(&origin(200), 0, None).is_some(), "who is known stands at no door");

        drop((of_one, others));
        assert!(is_empty(&waiting));
    }

    fn is_empty(waiting: &Waiting) -> bool {
        let taken = waiting.taken();
        taken.bytes == 0 && taken.sources.is_empty() && taken.doors.is_empty()
    }

    fn origin(number: u32) -> Origin {
        Origin { address: Some(number.to_be_bytes().into()), request: 0 }
    }

    fn door(number: u32) -> Door {
        (format!("s{number}.example").parse().unwrap(), ServiceName::As)
    }
}
