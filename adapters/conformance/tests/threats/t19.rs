//! T19, an operator who keeps to the protocol, has the stores of all three services, and wants to know which queue is
//! whose: it joins rows by equal bytes, by the order in which the store shows them, by times, alarms, sizes and marks.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::OnceLock,
};

use phoenix_conformance::{
    audit::Record,
    world::{Logged, Size, Tape, Town, captured},
};
use phoenix_core::{
    ClientId, QsClientId, Timestamp,
    port::{PartitionKey, Space},
};

#[test]
fn t19_no_join_of_the_stores_finds_whose_queue_is_whose_more_often_than_chance() {
    for (name, join) in JOINS {
        let (right, of) = score(join, |_, _| {});

        println!("{name}: {right} of {of} right");
        assert!(right <= BY_CHANCE, "{name}: {right} of {of} queues are known to be whose they are");
    }
}

#[test]
fn t19_each_join_finds_whose_queue_is_whose_where_a_homeserver_lets_it() {
    let controls: [(&str, Plant); 6] = [
        ("bytes", |rows, number| rows.each(|row| add(row, b"id", &random(number, 16)))),
        ("order", |rows, _| rows.shown_as_they_came = true),
        ("times", |rows, number| {
            let time = 1_790_000_000_000 + 61_000 * number;
            rows.each(|row| add(row, b"at", &time.to_be_bytes()));
        }),
        ("alarms", |rows, number| {
            let time = Timestamp(1_800_000_000_000 + 61_000 * number);
            rows.each(|(_, found)| found.alarm = Some(time));
        }),
        ("sizes", |rows, number| rows.each(|row| add(row, b"of a size", &vec![0; 70_000 * number as usize]))),
        ("marks", |rows, number| {
            let mark = phoenix_core::port::Mark(random(number, 16).try_into().unwrap());
            rows.each(|(_, found)| found.mark = Some(mark));
        }),
    ];
    for ((name, join), (planted, plant)) in JOINS.into_iter().zip(controls) {
        assert_eq!(name, planted);
        let (right, of) = score(join, plant);

        println!("{name}, with a link: {right} of {of} right");
        assert!(right > of * 9 / 10, "{name}: only {right} of {of}, so that it proves nothing");
    }
}

#[test]
fn t19_what_a_homeserver_logs_names_neither_users_nor_queues() {
    let towns = towns();
    let names: Vec<Vec<u8>> = towns.iter().flat_map(|(town, _)| truth(town)).flat_map(names_of).collect();
    let logged: Vec<&Logged> = towns.iter().flat_map(|(_, logged)| logged).collect();
    let ours = logged.iter().filter(|it| it.target.starts_with("phoenix"));
    let ours: Vec<String> = ours.map(|it| it.text.clone()).collect();

    println!("{} lines of a homeserver's own, {} of all", ours.len(), logged.len());
    for name in &names {
        let hex: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
        let list = format!("{name:?}");
        assert!(ours.iter().all(|line| !line.contains(&hex) && !line.contains(&list)));
    }
    // What is logged, at the finest level, is that something was done, and never for whom.
    let lines: BTreeSet<&String> = ours.iter().collect();
    assert!(lines.len() <= FEW_LINES, "lines that tell calls apart: {lines:?}");
}

/// A guess for each client of the AS: the place of its queue.
type Join = fn(&[Record], &[usize], &[usize]) -> BTreeMap<usize, usize>;
/// Links the rows of the client that came as this number.
type Plant = fn(&mut Rows<'_>, u64);

/// All joins that 09 names.
const JOINS: [(&str, Join); 6] = [
    ("bytes", by_bytes),
    ("order", by_order),
    ("times", |records, clients, queues| by_rank(records, clients, queues, time)),
    ("alarms", |records, clients, queues| {
        by_rank(records, clients, queues, |(_, found)| found.alarm.map_or(0, |it| it.0))
    }),
    ("sizes", |records, clients, queues| by_rank(records, clients, queues, size)),
    ("marks", by_marks),
];

/// How often a join is right, and of how many clients, over all towns.
fn score(join: Join, plant: Plant) -> (usize, usize) {
    let (mut right, mut of) = (0, 0);
    for (town, _) in towns() {
        let disk = town.disks().values().next().unwrap();
        let truth = truth(town);
        let mut records = disk.dump();
        let mut moved = false;
        for (number, (client, queue)) in (1..).zip(&truth) {
            let places = [find(&records, &client_key(client)), find(&records, &queue_key(queue))];
            let mut rows = Rows { records: &mut records, places, shown_as_they_came: false };
            plant(&mut rows, number);
            moved |= rows.shown_as_they_came;
        }
        if moved {
            let came = |(key, _): &Record| {
                let at = |(client, queue): &(ClientId, QsClientId)| {
                    [client_key(client), queue_key(queue)].contains(key)
                };
                (key.space(), truth.iter().position(at))
            };
            records.sort_by_key(came);
        }
        let clients: Vec<usize> =
            truth.iter().map(|(client, _)| find(&records, &client_key(client))).collect();
        let queues: Vec<usize> = truth.iter().map(|(_, queue)| find(&records, &queue_key(queue))).collect();
        let guessed = join(&records, &sorted(&clients), &sorted(&queues));
        right +=
            clients.iter().zip(&queues).filter(|(client, queue)| guessed.get(client) == Some(queue)).count();
        of += truth.len();
    }
    (right, of)
}

/// The two partitions of one client.
struct Rows<'a> {
    records: &'a mut Vec<Record>,
    places: [usize; 2],
    shown_as_they_came: bool,
}

impl Rows<'_> {
    fn each(&mut self, change: impl Fn(&mut Record)) {
        for place in self.places {
            change(&mut self.records[place]);
        }
    }
}

fn by_order(_: &[Record], clients: &[usize], queues: &[usize]) -> BTreeMap<usize, usize> {
    clients.iter().copied().zip(queues.iter().copied()).collect()
}

fn by_bytes(records: &[Record], clients: &[usize], queues: &[usize]) -> BTreeMap<usize, usize> {
    let windows = |place: usize| -> BTreeSet<&[u8]> {
        let fields = records[place].1.rows.iter().flat_map(|(key, value)| [key.as_ref(), value.as_ref()]);
        fields.flat_map(|field| field.windows(12)).collect()
    };
    let told = |window: &&&[u8]| window.iter().collect::<BTreeSet<_>>().len() > 4;
    let queues: Vec<_> = queues.iter().map(|place| (*place, windows(*place))).collect();
    let guess = |client: &usize| {
        let ours = windows(*client);
        let likeness = |(place, theirs): &(usize, BTreeSet<&[u8]>)| {
            (ours.intersection(theirs).filter(told).count(), *place)
        };
        let (best, place) = queues.iter().map(likeness).max()?;
        (best > 0).then_some((*client, place))
    };
    clients.iter().filter_map(guess).collect()
}

fn by_marks(records: &[Record], clients: &[usize], queues: &[usize]) -> BTreeMap<usize, usize> {
    let guess = |client: &usize| {
        let queue = queues.iter().find(|queue| records[**queue].1.mark == records[*client].1.mark)?;
        Some((*client, *queue))
    };
    clients.iter().filter_map(guess).collect()
}

/// Sorts both by what is measured, and joins those of one rank.
fn by_rank<K: Ord>(
    records: &[Record],
    clients: &[usize],
    queues: &[usize],
    measure: impl Fn(&Record) -> K,
) -> BTreeMap<usize, usize> {
    let ranked = |places: &[usize]| {
        let mut places = places.to_vec();
        places.sort_by_key(|place| measure(&records[*place]));
        places
    };
    ranked(clients).into_iter().zip(ranked(queues)).collect()
}

/// The first point in time of this century that a row holds, in milliseconds.
fn time((_, found): &Record) -> u64 {
    let numbers = found.rows.iter().flat_map(|(_, value)| value.windows(8));
    let numbers = numbers.map(|window| u64::from_be_bytes(window.try_into().unwrap()));
    let times = numbers.filter_map(|number| match number {
        1_700_000_000..2_100_000_000 => Some(number * 1_000),
        1_700_000_000_000..2_100_000_000_000 => Some(number),
        _ => None,
    });
    times.min().unwrap_or(0)
}

fn size((_, found): &Record) -> usize {
    found.rows.iter().map(|(key, value)| key.len() + value.len()).sum()
}

/// Each client, and its queue, by the order in which they came.
fn truth(town: &Town) -> Vec<(ClientId, QsClientId)> {
    let pair = |names: &phoenix_conformance::world::Names| {
        (names.clients.first().unwrap().clone(), *names.queue_clients.first().unwrap())
    };
    town.names().into_iter().map(pair).collect()
}

fn names_of((client, queue): (ClientId, QsClientId)) -> [Vec<u8>; 3] {
    [client.user.uuid.0.to_vec(), client.client.0.to_vec(), queue.0.to_vec()]
}

fn client_key(client: &ClientId) -> PartitionKey {
    let key = [[CLIENT].as_slice(), client.user.uuid.as_bytes(), client.client.as_bytes()].concat();
    PartitionKey::new(Space::As, key.into())
}

fn queue_key(queue: &QsClientId) -> PartitionKey {
    PartitionKey::new(Space::Qs, [[QUEUE].as_slice(), queue.as_bytes()].concat().into())
}

fn find(records: &[Record], key: &PartitionKey) -> usize {
    records.iter().position(|(it, _)| it == key).unwrap()
}

fn sorted(places: &[usize]) -> Vec<usize> {
    let mut places = places.to_vec();
    places.sort_unstable();
    places
}

fn add((_, found): &mut Record, row: &'static [u8], value: &[u8]) {
    found.rows.push((row.into(), value.to_vec().into()));
}

fn random(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = [19; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    phoenix_core::crypto::Chance::from_seed(bytes).bytes::<32>()[..length].to_vec()
}

/// Towns of one homeserver, and what was logged while they were built.
fn towns() -> &'static [(Town, Vec<Logged>)] {
    static TOWNS: OnceLock<Vec<(Town, Vec<Logged>)>> = OnceLock::new();
    TOWNS.get_or_init(|| {
        let size = Size { homes: 1, clients: 8, groups: 2, further: 0, guests: 0 };
        let built = |seed| captured(|| Town::build_with(size, &Tape::of_seed(seed)).unwrap());
        (0..3).map(|seed| built(190 + seed)).collect()
    })
}

const CLIENT: u8 = 2;
const QUEUE: u8 = 2;
/// Who guesses at random is right once a town, on the mean: 3 of 24. More than 10 by chance happens less than once in a
/// thousand.
const BY_CHANCE: usize = 10;
/// Lines that differ, of a homeserver that starts, serves, and carries messages.
const FEW_LINES: usize = 16;
