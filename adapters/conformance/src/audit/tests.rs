//! Each clause, on stores that are made up: what is as it must be is not told, and each link is.

use bytes::Bytes;
use phoenix_core::{
    Timestamp,
    crypto::{Chance, SEAL_OVERHEAD, padme, sha256},
    port::{Mark, PartitionKey, Snapshot, Space},
    time::DAY,
};

use super::{Audit, Finding, Kind, Link, Record, Word};

#[test]
fn a_store_in_which_nothing_is_joined_is_clean() {
    let records = store();

    let report = audit(&records);

    assert!(report.is_clean(), "{:?}", report.findings);
    assert_eq!((report.partitions, report.rows), (records.len(), records.len()));
    assert_eq!(report.in_place.get(&(Kind::User, Space::As)), Some(&1), "the user's own AS knows it");
    assert!(report.bytes > 40_000);
}

#[test]
fn a_word_is_told_wherever_it_must_not_be_also_in_keys() {
    let records = store();
    let spots = [Space::Qs, Space::Ds, Space::Lane, Space::Spent, Space::Peers];

    for space in spots {
        let mut records = records.clone();
        records.push(partition(space, &[&[200], USER.as_slice()].concat(), b"nothing"));
        assert_eq!(links(&records), [Link::Word(Kind::User), Link::SameBytes(16)], "{space:?}");
    }
    let mut records = records;
    records.push(partition(Space::As, &[1; 17], b"to be called JELENA OF THE HILL, then"));
    assert_eq!(links(&records), [Link::Word(Kind::Name)]);
}

#[test]
fn twelve_bytes_in_two_services_are_told_and_eleven_are_not() {
    for (one, other) in [(Space::As, Space::Qs), (Space::As, Space::Ds), (Space::Qs, Space::Ds)] {
        for (length, expected) in [(11, vec![]), (12, vec![12]), (40, vec![40])] {
            let shared = &random(7, 40)[..length];
            let mut records = store();
            records.push(partition(one, &random(8, 33), &[random(9, 30), shared.to_vec()].concat()));
            records.push(partition(other, &random(10, 33), &[shared, &random(11, 50)].concat()));
            records.sort_by(|one, other| one.0.cmp(&other.0));

            let expected: Vec<Link> = expected.into_iter().map(Link::SameBytes).collect();
            assert_eq!(links(&records), expected, "{one:?} and {other:?}, {length} bytes");
        }
    }
}

#[test]
fn what_two_groups_have_in_common_is_told_and_what_one_service_has_twice_is_not() {
    let shared = random(7, 16);
    let twice = |space, records: &mut Vec<Record>| {
        records.push(partition(space, &random(8, 33), &[shared.clone(), random(9, 20)].concat()));
        records.push(partition(space, &random(10, 33), &[random(11, 20), shared.clone()].concat()));
        records.sort_by(|one, other| one.0.cmp(&other.0));
    };

    for (space, expected) in [(Space::As, 0), (Space::Qs, 0), (Space::Ds, 1), (Space::Lane, 1)] {
        let mut records = store();
        twice(space, &mut records);
        assert_eq!(links(&records).len(), expected, "{space:?}");
    }
}

#[test]
fn what_is_published_joins_nothing_not_even_with_what_stands_beside_it() {
    let domain = b"chat.example.org";
    let key = random(7, 64);
    let mut records = store();
    for space in [Space::As, Space::Qs] {
        let value = [b"\x00\x10", domain.as_slice(), b"\x01\x07", &key[10..40]].concat();
        records.push(partition(space, &random(space as u8, 33), &value));
    }
    records.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(links(&records), [Link::SameBytes(50)]);

    let report = Audit::new(&[]).unwrap().published(&[domain.to_vec(), key]).unwrap().of(&records);
    assert!(report.is_clean(), "{:?}", report.findings);
}

#[test]
fn padding_and_counters_join_nothing() {
    let mut records = store();
    for space in [Space::As, Space::Ds] {
        records.push(partition(space, &random(space as u8, 33), &[[0; 100], [1; 100]].concat()));
    }
    records.sort_by(|one, other| one.0.cmp(&other.0));

    assert!(audit(&records).is_clean());
}

#[test]
fn days_and_months_join_nothing() {
    let from = (1_790_000_000 / DAY * DAY).to_be_bytes();
    let until = (1_800_000_000 / DAY * DAY - 1).to_be_bytes();
    let lifetime = [from, until].concat();
    let mut records = store();
    for space in [Space::As, Space::Qs] {
        records.push(partition(
            space,
            &random(space as u8, 33),
            &[b"\x02", lifetime.as_slice(), b"\x03"].concat(),
        ));
    }
    records.sort_by(|one, other| one.0.cmp(&other.0));

    assert!(audit(&records).is_clean(), "{:?}", audit(&records).findings);
}

#[test]
fn a_time_that_two_services_have_is_told() {
    let time = Timestamp(1_790_000_123_456);
    let alarm = |space: Space| {
        let (key, mut found) = partition(space, &random(space as u8, 33), b"");
        found.alarm = Some(time);
        (key, found)
    };
    let value = |space: Space| partition(space, &random(space as u8, 33), &time.0.to_be_bytes());
    for (one, other) in [
        (alarm(Space::As), alarm(Space::Ds)),
        (alarm(Space::As), value(Space::Qs)),
        (value(Space::As), alarm(Space::Qs)),
    ] {
        let mut records = store();
        records.extend([one, other]);
        records.sort_by(|one, other| one.0.cmp(&other.0));
        assert_eq!(links(&records), [Link::SameTime]);
    }
}

#[test]
fn fine_times_in_values_of_two_services_are_told_though_no_two_are_equal() {
    let value = |space: Space, seconds: u64| {
        partition(space, &random(space as u8, 33), &[b"\x01".as_slice(), &seconds.to_be_bytes()].concat())
    };
    let with = |seconds: u64| {
        let mut records = store();
        records.extend([value(Space::As, 1_790_000_001), value(Space::Qs, seconds)]);
        records.sort_by(|one, other| one.0.cmp(&other.0));
        links(&records)
    };

    assert_eq!(with(1_790_000_003), [Link::Times]);
    assert!(with(1_790_000_003 / DAY * DAY).is_empty(), "a day tells little");
}

#[test]
fn counters_beside_each_other_are_no_times() {
    // given an AS that keeps a time in a kind of row, as it may alone
    let mut records = store();
    let time = [b"\x01".as_slice(), &1_790_000_001_u64.to_be_bytes()].concat();
    records.push(partition(Space::As, &random(Space::As as u8, 33), &time));

    // when queues hold 27,313 bytes, and have dropped nothing: shifted by two bytes that reads as a second of 2026
    let counters = [b"\x01".as_slice(), &27_313_u64.to_be_bytes(), &0_u64.to_be_bytes()].concat();
    records.push(partition(Space::Qs, &random(Space::Qs as u8, 33), &counters));
    records.sort_by(|one, other| one.0.cmp(&other.0));

    assert!(links(&records).is_empty());
}

#[test]
fn alarms_of_one_day_with_one_jitter_are_told_and_those_that_meet_by_chance_are_not() {
    let mut chance = Chance::from_seed([3; 32]);
    let mut draw = |below: u64| u64::from_be_bytes(chance.bytes()) % below;
    let mut records = Vec::new();
    for number in 0..600_u64 {
        let space = if number % 2 == 0 { Space::As } else { Space::Qs };
        let (key, mut found) = partition(space, &random_of(number, 33), b"");
        found.alarm = Some(Timestamp::from_secs(20_000 * DAY + draw(DAY)));
        records.push((key, found));
    }
    records.sort_by(|one, other| one.0.cmp(&other.0));
    assert!(audit(&records).is_clean(), "{:?}", audit(&records).findings);

    for (number, (_, found)) in records.iter_mut().enumerate() {
        found.alarm = Some(Timestamp::from_secs(20_000 * DAY + 60 * (number as u64 % 300)));
    }
    assert_eq!(links(&records), [Link::SameTime]);
}

#[test]
fn rows_of_two_services_that_are_shown_as_they_came_are_told() {
    let mut records = store();
    for space in [Space::As, Space::Qs] {
        for number in [9, 3, 6] {
            records.push(partition(
                space,
                &[&[number], random(number + 100 * space as u8, 16).as_slice()].concat(),
                b"",
            ));
        }
    }
    records.sort_by_key(|(key, _)| key.space());

    assert!(links(&records).contains(&Link::Order));
    records.sort_by(|one, other| one.0.cmp(&other.0));
    assert!(audit(&records).is_clean());
}

#[test]
fn keys_that_count_are_told_where_two_services_have_them() {
    let count = |space: Space, records: &mut Vec<Record>| {
        for number in 0..5_u64 {
            records.push(partition(space, &[[77].as_slice(), &number.to_be_bytes()].concat(), b""));
        }
        records.sort_by(|one, other| one.0.cmp(&other.0));
    };
    let mut records = store();

    count(Space::As, &mut records);
    assert!(audit(&records).is_clean(), "one order alone joins nothing");
    count(Space::Ds, &mut records);
    assert_eq!(links(&records), [Link::Order]);
}

#[test]
fn a_size_of_a_group_that_is_no_step_is_told() {
    let step = padme(30_000, 16 << 10) + SEAL_OVERHEAD;
    for (row, size, fits) in [
        ("t", step, true),
        ("t", step + 1, false),
        ("t", (4 << 10) + SEAL_OVERHEAD, false),
        ("r", (4 << 10) + SEAL_OVERHEAD, true),
        ("r", (4 << 10) + SEAL_OVERHEAD - 1, false),
        ("n", 12 << 10, true),
        ("n", 741, false),
        ("n", 4 << 10, false),
        ("a kind that comes later", 300, true),
        ("a kind that comes later", 3_000, false),
        ("a kind that comes later", (4 << 10) + SEAL_OVERHEAD, true),
    ] {
        let mut records = store();
        let (key, mut found) = partition(Space::Ds, &[&[1], random(8, 32).as_slice()].concat(), b"");
        found.rows = vec![(Bytes::from(row), random(9, size).into())];
        records.push((key, found));
        records.sort_by(|one, other| one.0.cmp(&other.0));

        let expected = if fits { vec![] } else { vec![Link::Size(size)] };
        assert_eq!(links(&records), expected, "{row} of {size} bytes");
    }
}

#[test]
fn a_mark_on_two_partitions_is_told_also_as_bytes_of_a_row() {
    let mark = Mark(random(7, 16).try_into().unwrap());
    for (one, other) in [(Space::As, Space::Qs), (Space::Qs, Space::Qs), (Space::Spent, Space::Ds)] {
        let mut records = store();
        for (number, space) in [(8, one), (9, other)] {
            let (key, mut found) = partition(space, &random(number, 33), b"");
            found.mark = Some(mark);
            records.push((key, found));
        }
        records.sort_by(|one, other| one.0.cmp(&other.0));
        assert!(links(&records).contains(&Link::SameMark), "{one:?} and {other:?}");
    }
    let mut records = store();
    let (key, mut found) = partition(Space::As, &random(8, 33), b"");
    found.mark = Some(mark);
    records.extend([(key, found), partition(Space::Ds, &random(9, 33), &mark.0)]);
    records.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(links(&records), [Link::SameBytes(16)]);
}

#[test]
fn what_is_left_of_a_partition_or_of_a_long_value_is_found() {
    for is_whole in [true, false] {
        let mut records = store();
        let (key, found) = partition(Space::Qs, if is_whole { &[2, 7] } else { &[] }, &random(8, 1_000));
        records.push((key, Snapshot { mark: None, ..found }));
        records.sort_by(|one, other| one.0.cmp(&other.0));

        assert_eq!(links(&records), [Link::Remains]);
    }
}

#[test]
fn a_finding_tells_where_and_nothing_of_what_is_stored() {
    let mut records = store();
    records.push(partition(Space::Qs, &[&[2], USER.as_slice()].concat(), b""));

    let told: Vec<String> = audit(&records).findings.iter().map(ToString::to_string).collect();

    let expected = [
        "user ids in QS 2: the partition's key",
        "the same 16 bytes in AS 1: the partition's key and in QS 2: the partition's key",
    ];
    assert_eq!(told, expected);
}

/// A store with a user, queues, groups, and what is on its way.
fn store() -> Vec<Record> {
    let mut records = vec![
        partition(Space::As, &[&[1], USER.as_slice()].concat(), &random(20, 300)),
        partition(Space::As, &random(21, 33), &random(22, 3_000)),
        partition(Space::Qs, &random(23, 17), &random(24, 2_000)),
        partition(Space::Qs, &random(25, 33), &random(26, 700)),
        partition(Space::Spent, &random(27, 33), b""),
        partition(Space::Spent, &random(28, 33), b""),
        partition(Space::Lane, &random(29, 33), &random(30, 900)),
        partition(Space::Peers, &[1], &random(31, 900)),
    ];
    for number in 40..42 {
        let (key, mut found) = partition(Space::Ds, &[&[1], random(number, 32).as_slice()].concat(), b"");
        let tree = random(number + 10, padme(17_000, 16 << 10) + SEAL_OVERHEAD);
        found.rows = vec![(Bytes::from_static(b"t"), tree.into())];
        records.push((key, found));
    }
    records.sort_by(|one, other| one.0.cmp(&other.0));
    records
}

fn partition(space: Space, key: &[u8], value: &[u8]) -> Record {
    let mark = sha256(&[&[space as u8], key, b"mark"].concat())[..16].try_into().unwrap();
    let rows = vec![(Bytes::from_static(b"row"), Bytes::copy_from_slice(value))];
    let key = PartitionKey::new(space, Bytes::copy_from_slice(key));
    (key, Snapshot { mark: Some(Mark(mark)), alarm: None, rows, more: false })
}

fn random(seed: u8, length: usize) -> Vec<u8> {
    random_of(u64::from(seed), length)
}

fn random_of(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = [9; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    let mut chance = Chance::from_seed(bytes);
    std::iter::repeat_with(|| chance.bytes::<32>()).flatten().take(length).collect()
}

fn audit(records: &[Record]) -> super::Report {
    let words = [Word::new(Kind::User, USER).unwrap(), Word::new(Kind::Name, "Jelena of the hill").unwrap()];
    Audit::new(&words).unwrap().of(records)
}

fn links(records: &[Record]) -> Vec<Link> {
    let mut links: Vec<Link> = audit(records).findings.iter().map(|Finding { link, .. }| *link).collect();
    links.dedup();
    links
}

const USER: [u8; 16] = *b"\x8e\x01sixteen bytes\xff";
