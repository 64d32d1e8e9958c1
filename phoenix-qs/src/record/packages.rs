//! The list of a client's AddPackages.

use bytes::Bytes;
use phoenix_core::{
    Timestamp,
    time::DAY,
    wire::{Flag, List},
};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

/// Which AddPackages a client has, and how many of them were fetched.
#[derive(Clone, Debug, Default, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct PackageIndex {
    /// The number of the next package.
    pub(crate) next: u32,
    /// Which last-resort package is next.
    pub(crate) turn: u32,
    /// The day, counted from the Unix epoch, of the last fetch.
    pub(crate) day: u64,
    /// Ordinary packages that were fetched on that day.
    pub(crate) fetched: u32,
    /// Whether the client has been told that few are left.
    pub(crate) told: Flag,
    /// The packages, in the order of their numbers.
    pub(crate) packages: List<PackageNote, MAX_STORED>,
}

/// One AddPackage, beside its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct PackageNote {
    /// Its number, and with it its row.
    pub(crate) number: u32,
    /// Its MLS ciphersuite.
    pub(crate) suite: u16,
    /// Whether it stays when it is served.
    pub(crate) last_resort: Flag,
    /// Last second of its lifetime.
    pub(crate) not_after: u64,
}

impl PackageNote {
    /// The key of its row.
    pub(crate) fn row(&self) -> Bytes {
        self.number.to_be_bytes().to_vec().into()
    }

    /// Whether enough of its lifetime is left for it to be served.
    pub(crate) fn is_fresh(&self, now: Timestamp) -> bool {
        now.plus_secs(LEAST_LEFT_DAYS * DAY) <= Timestamp::from_secs(self.not_after)
    }
}

impl PackageIndex {
    /// The package to serve now: the oldest ordinary one, or a last-resort one in turn where those are used up or
    /// too many were fetched today (06).
    pub(crate) fn choose(&self, suite: u16, now: Timestamp) -> Option<PackageNote> {
        let of_kind = |last_resort: Flag| {
            let fits = move |note: &&PackageNote| {
                note.suite == suite && note.last_resort == last_resort && note.is_fresh(now)
            };
            self.packages.iter().filter(fits)
        };
        let ordinary = of_kind(Flag::No).next().filter(|_| self.fetched_on(day_of(now)) < MOST_FETCHED);
        let last_resort = || {
            let count = u32::try_from(of_kind(Flag::Yes).count()).ok()?;
            let place = self.turn.checked_rem(count)?;
            of_kind(Flag::Yes).nth(usize::try_from(place).ok()?)
        };
        ordinary.or_else(last_resort).copied()
    }

    /// The list after a package was served.
    pub(crate) fn served(mut self, note: &PackageNote, now: Timestamp) -> Self {
        if note.last_resort.is_set() {
            self.turn = self.turn.wrapping_add(1);
            return self;
        }
        let day = day_of(now);
        self.fetched = self.fetched_on(day).saturating_add(1);
        self.day = day;
        let left = self.packages.into_iter().filter(|it| it.number != note.number).collect();
        // It has only become shorter.
        self.packages = List::new(left).unwrap_or_default();
        self
    }

    /// Whether the client must be told that few ordinary packages are left.
    pub(crate) fn is_low(&self, now: Timestamp) -> bool {
        let left =
            self.packages.iter().filter(|note| !note.last_resort.is_set() && note.is_fresh(now)).count();
        left < FEW && !self.told.is_set()
    }

    fn fetched_on(&self, day: u64) -> u32 {
        if self.day == day { self.fetched } else { 0 }
    }
}

fn day_of(now: Timestamp) -> u64 {
    now.as_secs() / DAY
}

/// AddPackages of one client: two publications, and last-resort ones.
pub(crate) const MAX_STORED: usize = 232;
/// Lifetime that a package must have left to be served: a day more than a DS demands (06, 07).
const LEAST_LEFT_DAYS: u64 = 121;
/// Ordinary packages that may be fetched in a day: then last-resort ones are served, so that nobody can use up
/// the others.
const MOST_FETCHED: u32 = 50;
/// The client is told when fewer ordinary packages are left.
const FEW: usize = 10;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use phoenix_core::{Timestamp, time::DAY, wire::Flag, wire::List};

    use super::{PackageIndex, PackageNote};

    #[test]
    fn ordinary_packages_are_served_oldest_first_and_last_resort_ones_in_turn() {
        let mut index = index(2, 2);
        let mut served = Vec::new();
        for _ in 0..5 {
            let note = index.choose(1, NOW).unwrap();
            served.push(note.number);
            index = index.served(&note, NOW);
        }

        assert_eq!(served, [0, 1, 2, 3, 2]);
    }

    #[test]
    fn more_than_fifty_fetched_in_a_day_leave_the_others_for_tomorrow() {
        let mut index = index(60, 1);
        for _ in 0..50 {
            let note = index.choose(1, NOW).unwrap();
            index = index.served(&note, NOW);
        }

        assert_eq!(index.choose(1, NOW).map(|note| note.number), Some(60));
        assert_eq!(index.choose(1, NOW.plus_secs(DAY)).map(|note| note.number), Some(50));
    }

    #[test]
    fn packages_of_another_suite_or_with_too_little_left_are_not_served() {
        assert_eq!(index(2, 2).choose(2, NOW), None);
        assert_eq!(index(2, 2).choose(1, NOW.plus_secs(180 * DAY)), None);
        assert_eq!(PackageIndex::default().choose(1, NOW), None);
    }

    fn index(ordinary: u32, last_resort: u32) -> PackageIndex {
        let note = |number| PackageNote {
            number,
            suite: 1,
            last_resort: Flag::from(number >= ordinary),
            not_after: NOW.plus_secs(300 * DAY).as_secs(),
        };
        let packages = List::new((0..ordinary + last_resort).map(note).collect()).unwrap();
        PackageIndex { next: ordinary + last_resort, packages, ..PackageIndex::default() }
    }

    const NOW: Timestamp = Timestamp(1_700_000_000_000);
}
