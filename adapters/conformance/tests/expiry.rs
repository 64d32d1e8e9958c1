//! Expiry of every record (09): homeservers that go on after everybody has left let go of all that the story made,
//! each kind of record by its day. A kind that is not in the table must be gone by the last day, too.

#![cfg(feature = "world")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests may panic, and report"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::OnceLock,
};

use phoenix_conformance::world::{Aging, Story, Tape, story};
use phoenix_core::{Fqdn, port::Space, store::MemoryStore};

#[test]
fn every_record_of_the_story_is_gone_by_its_day() {
    let told = told();
    let mut aging = Aging::of(told.photograph("a guest with all that a user can have").unwrap(), &[]);
    let mut seen = kinds(&aging.disks());

    for day in days() {
        aging.until_day(day).unwrap();
        let left = kinds(&aging.disks());
        for Fate { space, kind, what, gone_by } in FATES {
            let is_there = left.contains_key(&(*space, *kind));
            assert!(*gone_by > day || !is_there, "{what} ({space:?} {kind}) are there on day {day}");
        }
        seen.extend(left.keys().map(|kind| (*kind, 0)));
    }

    let left = kinds(&aging.disks());
    println!("of {} kinds these are left on day {}: {left:?}", seen.len(), aging.day());
    for kind in left.keys() {
        assert!(REMAINS.iter().any(|(space, it, _)| (*space, *it) == *kind), "{kind:?} is left");
    }
    let (made, never): (Vec<&Fate>, Vec<&Fate>) =
        FATES.iter().partition(|fate| seen.contains_key(&(fate.space, fate.kind)));
    println!("not seen: {:?}", never.iter().map(|fate| fate.what).collect::<Vec<_>>());
    assert!(made.len() >= FEWEST_KINDS, "of {} kinds the story has {}", FATES.len(), made.len());
}

#[test]
fn what_waits_for_a_homeserver_that_never_comes_back_is_given_up() {
    let told = told();
    let cut = told.photograph("what waits for a wire that is cut").unwrap();
    let [alpha, beta]: [Fqdn; 2] = cut.disks.keys().cloned().collect::<Vec<_>>().try_into().unwrap();
    let waiting = |disk: &MemoryStore| rows(disk, Space::Lane) + rows_of(disk, Space::Qs, MAILBOX);
    let before = waiting(&cut.disks[&alpha]);
    assert!(before > 0, "nothing waits");

    let mut aging = Aging::of(cut, std::slice::from_ref(&beta));
    aging.until_day(5).unwrap();
    assert!(waiting(&aging.disks()[&alpha]) > 0, "it waits for seven days");
    aging.until_day(12).unwrap();
    let left = waiting(&aging.disks()[&alpha]);
    aging.until_day(220).unwrap();
    let kinds = kinds(&aging.disks());

    println!("{before} rows waited, {left} are left on day 12; at the end {kinds:?}");
    for kind in kinds.keys() {
        assert!(
            REMAINS.iter().chain(LONGER).any(|(space, it, _)| (*space, *it) == *kind),
            "{kind:?} is left"
        );
    }
}

/// A kind of record, and the first day on which none is left, counted from the end of the story.
struct Fate {
    space: Space,
    kind: u8,
    what: &'static str,
    gone_by: u64,
}

const fn fate(space: Space, kind: u8, what: &'static str, gone_by: u64) -> Fate {
    Fate { space, kind, what, gone_by }
}

/// All that expires. Months count to their end, and alarms have a jitter of a day.
const FATES: &[Fate] = &[
    fate(Space::As, 2, "clients, 90 days without renewal", 93),
    fate(Space::As, 3, "direct queues", 93),
    fate(Space::As, 4, "connection packages", 93),
    fate(Space::As, 5, "reservations", 3),
    fate(Space::As, 6, "aliases", 369),
    fate(Space::As, 7, "direct queues of aliases", 369),
    fate(Space::As, 8, "connection packages of aliases", 369),
    fate(Space::As, 9, "counts of issued tokens", 33),
    fate(Space::As, 10, "allowances of domains", 66),
    fate(Space::As, 11, "allowances of new domains", 6),
    fate(Space::As, 12, "counts of all issuance", 33),
    fate(Space::As, 20, "profiles", 369),
    fate(Space::As, 21, "invitations", 369),
    fate(Space::As, 30, "logins", 3),
    fate(Space::As, 31, "changes of password", 3),
    fate(Space::As, 32, "logins that were not completed", 6),
    fate(Space::As, 35, "clients that were added", 33),
    fate(Space::As, 37, "former clients", 369),
    fate(Space::As, 42, "whom DPoP tokens are for", 3),
    fate(Space::Qs, 1, "user records, 90 days without reading", 126),
    fate(Space::Qs, 2, "client records and queues", 126),
    fate(Space::Qs, 3, "AddPackages", 126),
    fate(Space::Qs, 4, "results of deliveries, 10 days", 15),
    fate(Space::Qs, 5, "deliveries that were put off", 15),
    fate(Space::Qs, 6, "mailboxes", 15),
    fate(Space::Qs, 7, "rounds of mailboxes", 15),
    fate(Space::Qs, 9, "deliveries that were put off by others", 15),
    fate(Space::Ds, 1, "groups, 90 days without a commit", 126),
    fate(Space::Ds, 2, "receipts of messages", 3),
    fate(Space::Spent, 1, "spent tokens, with their key", 15),
    fate(Space::Spent, 2, "spent frames", 3),
    fate(Space::Lane, 1, "lanes", 3),
];

/// Kinds of the table that the story leaves behind at some time, at least.
const FEWEST_KINDS: usize = 23;

/// What stays for ever, and why.
const REMAINS: &[(Space, u8, &str)] = &[
    (Space::As, 1, "a user id is never given away twice"),
    (Space::As, 36, "nor is that of a user that was deleted"),
    (Space::As, 38, "serials of revocations never go back"),
    (Space::As, 24, "the operator's switch"),
    (Space::Peers, 1, "the homeserver's own keys"),
];

/// What stays for a year.
const LONGER: &[(Space, u8, &str)] = &[
    (Space::As, 6, "aliases"),
    (Space::As, 7, "direct queues of aliases"),
    (Space::As, 8, "connection packages of aliases"),
    (Space::As, 20, "profiles"),
    (Space::As, 21, "invitations"),
    (Space::As, 37, "former clients"),
];

/// The days on which somebody looks, in order.
fn days() -> BTreeSet<u64> {
    FATES.iter().map(|fate| fate.gone_by).collect()
}

/// How many partitions there are of each kind, on all disks.
fn kinds(disks: &BTreeMap<Fqdn, MemoryStore>) -> BTreeMap<(Space, u8), usize> {
    let mut kinds: BTreeMap<_, usize> = BTreeMap::new();
    for (partition, _) in disks.values().flat_map(MemoryStore::dump) {
        *kinds.entry((partition.space(), partition.key()[0])).or_default() += 1;
    }
    kinds
}

fn rows(disk: &MemoryStore, space: Space) -> usize {
    disk.dump().iter().filter(|(key, _)| key.space() == space).map(|(_, found)| found.rows.len()).sum()
}

fn rows_of(disk: &MemoryStore, space: Space, kind: u8) -> usize {
    let of_kind = disk.dump().into_iter().filter(|(key, _)| key.space() == space && key.key()[0] == kind);
    of_kind.map(|(_, found)| found.rows.len()).sum()
}

fn told() -> &'static Story {
    static STORY: OnceLock<Story> = OnceLock::new();
    STORY.get_or_init(|| story(&Tape::of_seed(1)).unwrap())
}

/// Partitions of the QS: a mailbox.
const MAILBOX: u8 = 6;
