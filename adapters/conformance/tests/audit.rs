//! The snapshot audit (09) over the whole story of two homeservers, and over the same with a link planted.

#![cfg(feature = "world")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests may panic, and report"
)]

use std::{sync::OnceLock, time::Instant};

use bytes::Bytes;
use phoenix_conformance::{
    audit::{Audit, Kind, Link, Record, Report},
    world::{Story, Tape, story},
};
use phoenix_core::{
    Timestamp,
    port::{Mark, Snapshot, Space},
    store::MemoryStore,
};

#[test]
fn after_the_story_no_store_tells_anything_at_any_time() {
    for (number, photograph) in told().photographs.iter().enumerate() {
        for (domain, disk) in &photograph.disks {
            let began = Instant::now();
            let report = audit(&disk.dump());

            println!(
                "{domain} at {number}: {} rows, {} bytes, {:?}",
                report.rows,
                report.bytes,
                began.elapsed()
            );
            assert!(report.is_clean(), "{domain} at {number}: {}", told_in_words(&report));
            assert!(report.in_place.contains_key(&(Kind::User, Space::As)), "the search does not work");
            assert!(report.in_place.contains_key(&(Kind::Queue, Space::Qs)), "the search does not work");
        }
    }
}

#[test]
fn notes_that_queues_are_gone_were_among_what_was_audited() {
    let last = told().photographs.last().unwrap();
    let records: Vec<Record> = last.disks.values().flat_map(MemoryStore::dump).collect();
    let groups = places(&records, Space::Ds, GROUP);
    let rows = groups.iter().flat_map(|place| &records[*place].1.rows);

    let notes: Vec<usize> = rows.filter(|(row, _)| row == "n").map(|(_, value)| value.len()).collect();

    // Of each of three queues the first and the latest, which would take some seven hundred bytes.
    assert_eq!(notes, [12 << 10]);
}

#[test]
fn a_queue_config_that_two_groups_use_is_found() {
    // Every sealed config is of this length at least, and random but for its ends.
    let config = random(1, 200);
    is_found(Link::SameBytes(200), |records| {
        for place in places(records, Space::Ds, GROUP).into_iter().take(2) {
            add(&mut records[place].1, b"n planted", &config);
        }
    });
}

#[test]
fn a_leaf_with_the_fingerprint_of_its_credential_is_found() {
    is_found(Link::SameBytes(32), |records| {
        let client = places(records, Space::As, CLIENT)[0];
        let fingerprint = random(2, 32);
        add(&mut records[client].1, b"fingerprint", &fingerprint);
        let group = places(records, Space::Ds, GROUP)[0];
        add(&mut records[group].1, b"n leaf", &[random(3, 70), fingerprint].concat());
    });
}

#[test]
fn an_id_in_a_key_is_found() {
    is_found(Link::Word(Kind::User), |records| {
        let client = records[places(records, Space::As, CLIENT)[0]].0.key().slice(1..17);
        let queue = places(records, Space::Qs, QUEUE)[0];
        add(&mut records[queue].1, &client, b"");
    });
}

#[test]
fn the_owner_of_an_alias_is_found_in_whatever_the_as_keeps_of_it() {
    // A row, and of what was issued: what names nobody, beside what does.
    for kind in [ALIAS, ISSUED] {
        is_found(Link::Word(Kind::User), |records| {
            let owner = records[places(records, Space::As, CLIENT)[0]].0.key().slice(1..17);
            let place = places(records, Space::As, kind)[0];
            add(&mut records[place].1, b"owner", &owner);
        });
    }
}

#[test]
fn the_queue_that_a_delivery_went_to_is_found_in_its_receipt() {
    // A receipt is kept for ten days where others deliver, and the story goes on for longer.
    let disks = told().photographs.iter().rev().flat_map(|it| it.disks.values());
    let mut dumps = disks.map(|disk| disk.dump());
    let records = dumps.find(|records| !places(records, Space::Qs, RECEIPT).is_empty()).unwrap();
    is_found_in(records, Link::Word(Kind::Queue), |records| {
        let queue = records[places(records, Space::Qs, QUEUE)[0]].0.key().slice(1..17);
        let receipt = places(records, Space::Qs, RECEIPT)[0];
        add(&mut records[receipt].1, b"queue", &queue);
    });
}

#[test]
fn one_mark_on_two_partitions_is_found() {
    is_found(Link::SameMark, |records| {
        let (user, queue) = (places(records, Space::As, USER)[0], places(records, Space::Qs, QUEUE)[0]);
        records[queue].1.mark = records[user].1.mark;
    });
}

#[test]
fn one_exact_time_in_two_services_is_found() {
    let time = |records: &[Record]| Timestamp(now(records).0 | 1);
    is_found(Link::SameTime, |records| {
        let time = time(records);
        for (space, kind) in [(Space::As, CLIENT), (Space::Ds, GROUP)] {
            let place = places(records, space, kind)[0];
            records[place].1.alarm = Some(time);
        }
    });
    is_found(Link::SameTime, |records| {
        let time = time(records);
        let (client, queue) = (places(records, Space::As, CLIENT)[0], places(records, Space::Qs, QUEUE)[0]);
        records[client].1.alarm = Some(time);
        add(&mut records[queue].1, b"since", &time.0.to_be_bytes());
    });
}

#[test]
fn times_by_which_queues_can_be_sorted_like_clients_are_found() {
    is_found(Link::Times, |records| {
        let now = now(records).as_secs();
        for (number, place) in (1..).zip(places(records, Space::Qs, QUEUE)) {
            add(&mut records[place].1, b"since", &(now / 86_400 * 86_400 + 7 * number).to_be_bytes());
        }
    });
}

#[test]
fn rows_of_the_as_and_the_qs_in_the_same_order_are_found() {
    // A store that numbers rows as they come, and shows them so.
    is_found(Link::Order, |records| {
        for (space, kind) in [(Space::As, CLIENT), (Space::Qs, QUEUE)] {
            let places = places(records, space, kind);
            records.swap(places[0], places[2]);
        }
    });
    // Keys that count.
    is_found(Link::Order, |records| {
        for space in [Space::As, Space::Qs] {
            for number in 0..4_u64 {
                let key = [[250].as_slice(), &number.to_be_bytes()].concat();
                let partition = phoenix_core::port::PartitionKey::new(space, key.into());
                let mark = Some(Mark(random(100 + 10 * space as u64 + number, 16).try_into().unwrap()));
                records.push((partition, Snapshot { mark, ..Snapshot::default() }));
            }
        }
        records.sort_by(|one, other| one.0.cmp(&other.0));
    });
    // Lists to which everybody is added in turn.
    is_found(Link::Order, |records| {
        for (space, kind) in [(Space::As, USER), (Space::Qs, QS_USER)] {
            let place = places(records, space, kind)[0];
            for number in 0..4_u64 {
                add(
                    &mut records[place].1,
                    &number.to_be_bytes(),
                    &random(200 + 10 * space as u64 + number, 20),
                );
            }
        }
    });
}

#[test]
fn a_plaintext_name_is_found_in_whatever_form_it_lies() {
    let name = b"Someone who is passing through".as_slice();
    let wide: Vec<u8> = name.iter().flat_map(|byte| [*byte, 0]).collect();
    let digits: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
    let upper = name.to_ascii_uppercase();
    for form in [name, &wide, digits.as_bytes(), &upper] {
        for space in Space::ALL {
            is_found(Link::Word(Kind::Name), |records| {
                let place = records.iter().position(|(key, _)| key.space() == space).unwrap();
                add(&mut records[place].1, b"planted", &[random(4, 40), form.to_vec()].concat());
            });
        }
    }
}

#[test]
fn a_size_off_the_ladder_is_found() {
    let story = told();
    let disk = story.photographs.last().unwrap().disks.values().next().unwrap();
    let records = disk.dump();
    // Of a group that was deleted there is a partition, and no roster.
    let rosters = |records: &[Record]| {
        let mut groups = places(records, Space::Ds, GROUP);
        groups.retain(|place| records[*place].1.rows.iter().any(|(key, _)| *key == b"r".as_slice()));
        groups
    };
    let group = &records[rosters(&records)[0]];
    let size = group.1.rows.iter().find(|(key, _)| *key == b"r".as_slice()).unwrap().1.len();
    is_found(Link::Size(size + 1), |records| {
        let group = rosters(records)[0];
        for (key, value) in &mut records[group].1.rows {
            if *key == b"r".as_slice() {
                *value = [value.as_ref(), &[0]].concat().into();
            }
        }
    });
}

/// Plants a link in what alpha holds at the end, and expects that it is found.
fn is_found(link: Link, plant: impl Fn(&mut Vec<Record>)) {
    is_found_in(told().photographs.last().unwrap().disks.values().next().unwrap().dump(), link, plant);
}

fn is_found_in(mut records: Vec<Record>, link: Link, plant: impl Fn(&mut Vec<Record>)) {
    plant(&mut records);

    let report = audit(&records);

    let links: Vec<Link> = report.findings.iter().map(|finding| finding.link).collect();
    assert!(links.contains(&link), "{link:?} was planted, and found was: {}", told_in_words(&report));
}

fn audit(records: &[Record]) -> Report {
    let words = &told().words;
    static AUDIT: OnceLock<Audit> = OnceLock::new();
    let audit = AUDIT.get_or_init(|| Audit::new(&words.words).unwrap().published(&words.published).unwrap());
    audit.of(records)
}

fn told() -> &'static Story {
    static STORY: OnceLock<Story> = OnceLock::new();
    STORY.get_or_init(|| story(&Tape::of_seed(1)).unwrap())
}

fn told_in_words(report: &Report) -> String {
    report.findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn places(records: &[Record], space: Space, kind: u8) -> Vec<usize> {
    let of_kind = records
        .iter()
        .enumerate()
        .filter(|(_, (key, _))| key.space() == space && key.key().first() == Some(&kind));
    of_kind.map(|(place, _)| place).collect()
}

fn add(found: &mut Snapshot, row: &[u8], value: &[u8]) {
    found.rows.push((Bytes::copy_from_slice(row), Bytes::copy_from_slice(value)));
    found.rows.sort();
}

/// About the time of the store's last change.
fn now(records: &[Record]) -> Timestamp {
    records.iter().filter_map(|(_, found)| found.alarm).min().unwrap()
}

fn random(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    let mut chance = phoenix_core::crypto::Chance::from_seed(bytes);
    std::iter::repeat_with(|| chance.bytes::<32>()).flatten().take(length).collect()
}

const USER: u8 = 1;
const CLIENT: u8 = 2;
const QS_USER: u8 = 1;
const QUEUE: u8 = 2;
const GROUP: u8 = 1;
const ALIAS: u8 = 6;
const ISSUED: u8 = 9;
const RECEIPT: u8 = 4;
