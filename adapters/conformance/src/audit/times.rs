//! (3) Points in time by which rows of the AS and rows of the QS or the DS could be joined.

use std::{collections::BTreeMap, ops::Range};

use phoenix_core::{Timestamp, port::Space, time::DAY};

use super::{
    Record, declared,
    report::{Findings, Link, Part, Spot, name},
};

/// Finds points in time that the AS and another service have in common, and kinds of records that hold times finer
/// than a day in both: sorted by them, rows line up though no two times are equal.
pub(super) fn find(records: &[Record], findings: &mut Findings) {
    let (mut auth, mut others) = (Times::default(), Times::default());
    let plausible = plausible(records);
    for (partition, found) in records {
        let times = match partition.space() {
            Space::As => &mut auth,
            Space::Qs | Space::Ds => &mut others,
            // What is spent and what is on its way belongs to all services.
            Space::Spent | Space::Lane | Space::Peers => continue,
        };
        if let Some(alarm) = found.alarm.filter(|alarm| *alarm != Timestamp::MAX) {
            times.alarm(alarm, Spot::of(partition, Part::Alarm));
        }
        for (key, value) in &found.rows {
            let held = beside(key, value).flat_map(times_in);
            let held = held.filter(|time| plausible.contains(time) && !is_coarse(*time));
            times.row(&held.collect::<Vec<_>>(), Spot::of(partition, Part::Row(name(key))));
        }
    }
    same_exact(&auth, &others, findings);
    same_seconds(&auth, &others, findings);
    let is_bound = |spot: &Spot| {
        declared::TIMED.iter().any(|(space, kind, _)| (*space, *kind) == (spot.space, spot.kind))
    };
    let one = auth.sortable().next();
    for other in others.sortable().filter(|spot| !is_bound(spot)) {
        if let Some(one) = one {
            findings.add(Link::Times, one.clone(), Some(other.clone()));
        }
    }
}

/// The times of a service's records.
#[derive(Default)]
struct Times {
    /// To the millisecond, and a spot where each is.
    exact: BTreeMap<u64, Spot>,
    /// Alarms that are whole seconds, as those are that were put off to a day and a jitter.
    seconds: BTreeMap<u64, (Spot, u64)>,
    /// How many rows of a kind hold a time finer than a day, and how many there are.
    fine: BTreeMap<Spot, (u64, u64)>,
}

impl Times {
    fn alarm(&mut self, alarm: Timestamp, spot: Spot) {
        if alarm.0.is_multiple_of(1_000) {
            let (_, count) = self.seconds.entry(alarm.as_secs()).or_insert((spot, 0));
            *count = count.saturating_add(1);
        } else {
            self.exact.entry(alarm.0).or_insert(spot);
        }
    }

    /// A row with all times finer than a day that it holds.
    fn row(&mut self, held: &[Timestamp], spot: Spot) {
        let (with, all) = self.fine.entry(spot.clone()).or_default();
        *with = with.saturating_add(u64::from(!held.is_empty()));
        *all = all.saturating_add(1);
        for time in held {
            self.exact.entry(time.0).or_insert_with(|| spot.clone());
        }
    }

    /// Kinds of rows that can be sorted by time. Of others a few rows hold what reads as a time: a number, and random
    /// bytes behind it.
    fn sortable(&self) -> impl Iterator<Item = &Spot> {
        let sortable =
            self.fine.iter().filter(|(_, (with, all))| with.saturating_mul(2) >= *all && *with > 0);
        sortable.map(|(spot, _)| spot)
    }
}

fn same_exact(auth: &Times, others: &Times, findings: &mut Findings) {
    for (time, one) in &auth.exact {
        if let Some(other) = others.exact.get(time) {
            findings.add(Link::SameTime, one.clone(), Some(other.clone()));
        }
    }
}

/// Alarms have one of the seconds of their day, by a jitter of their own: some are equal by chance. More of them than
/// chance explains have a jitter, or a time, in common.
fn same_seconds(auth: &Times, others: &Times, findings: &mut Findings) {
    let by_day = |times: &Times| {
        let mut days: BTreeMap<u64, u64> = BTreeMap::new();
        for (second, (_, count)) in &times.seconds {
            let day = days.entry(second / DAY).or_default();
            *day = day.saturating_add(*count);
        }
        days
    };
    let (ours, theirs) = (by_day(auth), by_day(others));
    let pairs: u64 =
        ours.iter().map(|(day, count)| count.saturating_mul(theirs.get(day).copied().unwrap_or(0))).sum();
    // By chance as many as this, on the mean; the square root of it is how far one is off, mostly.
    let expected = pairs.div_ceil(DAY);
    let bound = expected.saturating_add(DEVIATIONS.saturating_mul(expected.isqrt().saturating_add(1)));
    let equal = auth.seconds.iter().filter_map(|(second, (one, count))| {
        let (other, others) = others.seconds.get(second)?;
        Some((one, other, count.saturating_mul(*others)))
    });
    let equal: Vec<_> = equal.collect();
    let total: u64 = equal.iter().map(|(_, _, count)| count).sum();
    if total > bound {
        for (one, other, _) in equal {
            findings.add(Link::SameTime, one.clone(), Some(other.clone()));
        }
    }
}

/// Where days and months stand in a field, which begin or end many things: eight bytes each.
pub(super) fn days_in(field: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let windows = (0_usize..).zip(field.windows(WIDTH));
    let days = windows.filter(|(_, window)| read(window).is_some_and(is_coarse));
    days.map(|(at, _)| at..at.saturating_add(WIDTH))
}

/// The first second of a day, or the last.
fn is_coarse(time: Timestamp) -> bool {
    time.0.is_multiple_of(1_000) && matches!(time.as_secs() % DAY, 0 | LAST_OF_DAY)
}

/// The times that a store can know of: not far from those that it waits for.
fn plausible(records: &[Record]) -> Range<Timestamp> {
    let alarms =
        || records.iter().filter_map(|(_, found)| found.alarm).filter(|alarm| *alarm != Timestamp::MAX);
    match (alarms().min(), alarms().max()) {
        (Some(first), Some(last)) => {
            Timestamp(first.0.saturating_sub(AROUND_S.saturating_mul(1_000)))..last.plus_secs(AROUND_S)
        }
        _ => Timestamp(0)..Timestamp::MAX,
    }
}

/// A value without the number that it lies under, which an entry of a queue begins with: from 395 to 427, and with what is
/// random behind it, that reads as a time of these years.
fn beside<'a>(key: &[u8], value: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let at = if key.len() == WIDTH { value.windows(WIDTH).position(|window| window == key) } else { None };
    let (before, after) = match at {
        Some(at) => (value.get(..at), value.get(at.saturating_add(WIDTH)..)),
        None => (Some(value), None),
    };
    before.into_iter().chain(after)
}

fn times_in(value: &[u8]) -> impl Iterator<Item = Timestamp> {
    // Counters beside each other, of which the second is 0, have round numbers; hardly a time that is finer than a day.
    let is_round = |window: &&[u8]| window.ends_with(&ROUND);
    value.windows(WIDTH).filter(move |window| !is_round(window)).filter_map(read)
}

/// What reads as a point in time of this century: eight bytes, seconds or milliseconds.
fn read(window: &[u8]) -> Option<Timestamp> {
    // The first bytes of either are 0: most windows end here.
    let number = match window {
        [0, 0, ..] => u64::from_be_bytes(window.try_into().ok()?),
        _ => return None,
    };
    let is_in = |unit: u64| (FIRST_S.saturating_mul(unit)..=LAST_S.saturating_mul(unit)).contains(&number);
    if is_in(1) { Some(Timestamp::from_secs(number)) } else { is_in(1_000).then_some(Timestamp(number)) }
}

const WIDTH: usize = size_of::<u64>();
const LAST_OF_DAY: u64 = DAY - 1;
/// Longer than anything is kept.
const AROUND_S: u64 = 400 * DAY;
/// One time in 65,536 ends so, and a counter whose bytes before it read as a time is a few ten thousand, as the bytes of a
/// queue often are.
const ROUND: [u8; 2] = [0; 2];

/// 2020-09-13: a round number of seconds before the project was begun.
const FIRST_S: u64 = 1_600_000_000;
/// 2065-01-24.
const LAST_S: u64 = 3_000_000_000;
/// One audit in a million of a store without a link is farther off than so many deviations.
const DEVIATIONS: u64 = 5;
