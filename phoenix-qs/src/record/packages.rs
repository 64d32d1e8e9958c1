//! The list of a client's AddPackages.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use phoenix_core::{
    Generation, QsUserId, Timestamp,
    api::queue::PackagesLeft,
    port::Write,
    time::DAY,
    wire::{Flag, List},
};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

/// Which AddPackages a client has, and how many of them were fetched.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct PackageIndex {
    /// Whose client it is: an id that was free again may be somebody else's.
    pub(crate) user: QsUserId,
    /// The store's, when it was last seen to that no package of an earlier one is left.
    pub(crate) restored: Generation,
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
    /// The generation of its queue config.
    pub(crate) generation: u32,
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
    /// No packages of a client of this user.
    pub(crate) fn new(user: QsUserId, restored: Generation) -> Self {
        let packages = List::default();
        Self { user, restored, next: 0, turn: 0, day: 0, fetched: 0, told: Flag::No, packages }
    }

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

    /// Without packages that are served no more, and the writes that delete their rows.
    pub(crate) fn without_stale(self, now: Timestamp) -> (Self, Vec<Write>) {
        self.keeping(|note| note.is_fresh(now))
    }

    /// Without packages whose queue config is void, and the writes that delete their rows.
    pub(crate) fn without_void(self, min_generation: u32) -> (Self, Vec<Write>) {
        self.keeping(|note| note.generation >= min_generation)
    }

    /// Without packages that may have been served before the store was restored, and the writes that delete their rows:
    /// of an ordinary one nobody else may have the key (09). The client's queue tells it when it begins again.
    pub(crate) fn restored(self, now: Generation) -> (Self, Vec<Write>) {
        if now.jump_from(self.restored).is_none() {
            return (self, Vec::new());
        }
        let (index, deleted) = self.keeping(|note| note.last_resort.is_set());
        (Self { restored: now, told: Flag::Yes, ..index }, deleted)
    }

    /// As if the client had not been told yet that few packages are left.
    pub(crate) fn untold(self) -> Self {
        Self { told: Flag::No, ..self }
    }

    /// How many can still be served, by suite.
    pub(crate) fn left(&self, now: Timestamp) -> Vec<PackagesLeft> {
        let mut left = BTreeMap::<u16, PackagesLeft>::new();
        for note in self.packages.iter().filter(|note| note.is_fresh(now)) {
            let none = PackagesLeft { suite: note.suite, ordinary: 0, last_resort: 0 };
            let of_suite = left.entry(note.suite).or_insert(none);
            let count =
                if note.last_resort.is_set() { &mut of_suite.last_resort } else { &mut of_suite.ordinary };
            *count = count.saturating_add(1);
        }
        left.into_values().collect()
    }

    fn keeping(self, keep: impl Fn(&PackageNote) -> bool) -> (Self, Vec<Write>) {
        let (left, gone): (Vec<_>, Vec<_>) = self.packages.iter().copied().partition(keep);
        let deleted = gone.iter().map(|note| Write::Delete(note.row())).collect();
        // It has only become shorter.
        (Self { packages: List::new(left).unwrap_or_default(), ..self }, deleted)
    }

    /// Whether the client must be told that few ordinary packages of a suite are left: those of another are of no use to
    /// whoever asks for this one.
    pub(crate) fn is_low_in(&self, suite: u16, now: Timestamp) -> bool {
        let is_left =
            |note: &&PackageNote| note.suite == suite && !note.last_resort.is_set() && note.is_fresh(now);
        !self.told.is_set() && self.packages.iter().filter(is_left).count() < FEW
    }

    /// Whether that is so for any suite, or there are no packages at all.
    pub(crate) fn is_low(&self, now: Timestamp) -> bool {
        let suites: BTreeSet<u16> = self.packages.iter().map(|note| note.suite).collect();
        let is_empty = suites.is_empty() && !self.told.is_set();
        is_empty || suites.into_iter().any(|suite| self.is_low_in(suite, now))
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

    use phoenix_core::{
        Generation, QsUserId, Timestamp,
        api::queue::PackagesLeft,
        time::DAY,
        wire::{Flag, List},
    };

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
        assert_eq!(PackageIndex::new(USER, Generation(0)).choose(1, NOW), None);
    }

    #[test]
    fn packages_that_are_served_no_more_go_with_their_rows() {
        let full = index(2, 2);
        assert_eq!(full.left(NOW), [PackagesLeft { suite: 1, ordinary: 2, last_resort: 2 }]);

        let (fresh, deleted) = full.clone().without_stale(NOW.plus_secs(179 * DAY));
        assert_eq!((fresh, deleted.len()), (full.clone(), 0));
        let (stale, deleted) = full.clone().without_stale(NOW.plus_secs(180 * DAY));
        assert_eq!((stale.left(NOW), deleted.len()), (Vec::new(), 4));
        let (valid, deleted) = full.without_void(3);
        assert_eq!(valid.left(NOW), [PackagesLeft { suite: 1, ordinary: 0, last_resort: 1 }]);
        assert_eq!(deleted.len(), 3);
    }

    #[test]
    fn a_restore_leaves_last_resort_packages_only_and_of_its_own_generation_all() {
        let (restored, deleted) = index(2, 2).restored(Generation(1));

        assert_eq!(restored.left(NOW), [PackagesLeft { suite: 1, ordinary: 0, last_resort: 2 }]);
        assert_eq!(deleted.len(), 2);
        let after = PackageIndex { restored: Generation(1), ..index(2, 2) };
        assert_eq!(after.clone().restored(Generation(1)), (after.clone(), Vec::new()));
        assert_eq!(after.clone().restored(Generation(0)), (after, Vec::new()));
    }

    fn index(ordinary: u32, last_resort: u32) -> PackageIndex {
        let note = |number| PackageNote {
            number,
            suite: 1,
            last_resort: Flag::from(number >= ordinary),
            generation: number,
            not_after: NOW.plus_secs(300 * DAY).as_secs(),
        };
        let packages = List::new((0..ordinary + last_resort).map(note).collect()).unwrap();
        PackageIndex { next: ordinary + last_resort, packages, ..PackageIndex::new(USER, Generation(0)) }
    }

    const USER: QsUserId = QsUserId([7; 16]);

    const NOW: Timestamp = Timestamp(1_700_000_000_000);
}
