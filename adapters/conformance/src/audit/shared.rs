//! (2) Bytes that two records have in common which nothing may join.
//!
//! Every window of twelve bytes is hashed, and noted with who has it first; those that another has, too, are looked at
//! again. So the work grows with the store's size.

use std::collections::{BTreeMap, HashMap, HashSet};

use aho_corasick::AhoCorasick;
use phoenix_core::port::Space;

use super::{
    AuditError, Record, declared, fields,
    report::{Findings, Link, Spot},
    times,
};

/// What may occur anywhere.
#[derive(Debug)]
pub(super) struct Published {
    automaton: AhoCorasick,
    windows: HashSet<u128>,
}

impl Published {
    pub(super) fn new(constants: &[Vec<u8>]) -> Result<Self, AuditError> {
        let given = constants.iter().map(Vec::as_slice).filter(|it| !it.is_empty());
        let constants: Vec<&[u8]> = given.chain(declared::CONSTANTS.iter().map(|(it, _)| *it)).collect();
        let windows = constants.iter().flat_map(|it| windows(it)).map(|(_, window)| window).collect();
        let automaton =
            AhoCorasick::new(&constants).map_err(|error| AuditError::Search(error.to_string()))?;
        Ok(Self { automaton, windows })
    }

    /// Which bytes of a field are of something published, or of days and months.
    fn covered(&self, field: &[u8]) -> Vec<bool> {
        let mut covered = vec![false; field.len()];
        let whole = self.automaton.find_overlapping_iter(field).map(|found| found.range());
        let known = |(at, window): (usize, u128)| {
            self.windows.contains(&window).then_some(at..at.saturating_add(LENGTH))
        };
        let known = windows(field).filter_map(known);
        for range in whole.chain(known).chain(times::days_in(field)) {
            covered.get_mut(range).unwrap_or_default().fill(true);
        }
        covered
    }
}

/// Whose a record is: what one owner has twice, it may join.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Owner {
    /// The AS knows all its records together, and so does the QS.
    Service(Space),
    /// Groups, lanes and what is spent are apart from each other.
    Partition(u32),
}

impl Owner {
    fn of(place: u32, space: Space) -> Self {
        match space {
            Space::As | Space::Qs | Space::Peers => Self::Service(space),
            Space::Ds | Space::Spent | Space::Lane => Self::Partition(place),
        }
    }

    /// A number for it, in 24 bits; two that have one are not told apart, in a store of so many groups.
    fn number(self) -> u64 {
        match self {
            Self::Service(space) => space as u64,
            Self::Partition(place) => (u64::from(place).saturating_add(0x10) & OWNERS).max(1),
        }
    }
}

/// Finds bytes that two owners have, unless they are published.
pub(super) fn find(published: &Published, records: &[Record], findings: &mut Findings) {
    let suspects = suspects(records);
    if suspects.is_empty() {
        return;
    }
    let mut seen: HashMap<u128, Vec<Sight>> = HashMap::new();
    for (place, record) in (0_u32..).zip(records) {
        let owner = Owner::of(place, record.0.space());
        for (part, field) in fields(record) {
            for (at, window) in suspicious(published, &suspects, field) {
                let sights = seen.entry(window).or_default();
                if sights.iter().all(|sight| sight.owner != owner) && sights.len() < MAX_SIGHTS {
                    sights.push(Sight { owner, spot: Spot::of(&record.0, part.clone()), at, place });
                }
            }
        }
    }
    tell(seen, findings);
}

/// Where an owner has a window, the first time.
struct Sight {
    owner: Owner,
    spot: Spot,
    at: usize,
    place: u32,
}

/// Two records and the parts of them that have something in common.
type Pair = (u32, Spot, u32, Spot);

/// Windows that lie behind one another in both places are one string.
fn tell(seen: HashMap<u128, Vec<Sight>>, findings: &mut Findings) {
    let mut pairs: BTreeMap<Pair, Vec<(usize, usize)>> = BTreeMap::new();
    for sights in seen.into_values() {
        let mut sights = sights.into_iter();
        let Some(first) = sights.next() else { continue };
        for other in sights {
            let pair = (first.place, first.spot.clone(), other.place, other.spot);
            pairs.entry(pair).or_default().push((first.at, other.at));
        }
    }
    let mut longest: BTreeMap<(Spot, Spot), (usize, usize)> = BTreeMap::new();
    for ((_, one, _, other), mut places) in pairs {
        places.sort_unstable();
        let mut strings: Vec<(usize, usize)> = Vec::new();
        let mut last = None;
        for (at, beside) in places {
            let goes_on = last == Some((at.wrapping_sub(1), beside.wrapping_sub(1)));
            match strings.last_mut().filter(|_| goes_on) {
                Some((_, length)) => *length = length.saturating_add(1),
                None => strings.push((at, LENGTH)),
            }
            last = Some((at, beside));
        }
        let pair = if other < one { (other, one) } else { (one, other) };
        let (count, length) = longest.entry(pair).or_default();
        *count = count.saturating_add(strings.len());
        *length = strings.iter().map(|(_, length)| *length).fold(*length, usize::max);
    }
    for ((one, other), (count, length)) in longest {
        for _ in 0..count {
            findings.add(Link::SameBytes(length), one.clone(), Some(other.clone()));
        }
    }
}

/// The hashes of windows that more than one owner has.
fn suspects(records: &[Record]) -> HashSet<u64> {
    let total: usize = records.iter().flat_map(fields).map(|(_, field)| field.len()).sum();
    let passes = u64::try_from(total.div_ceil(MAX_WINDOWS)).unwrap_or(1).max(1);
    let mut suspects = HashSet::new();
    for pass in 0..passes {
        let mut seen = Seen::with_room_for(total.min(MAX_WINDOWS));
        for (place, record) in (0_u32..).zip(records) {
            let owner = Owner::of(place, record.0.space()).number();
            for (_, field) in fields(record) {
                for (_, window) in windows(field) {
                    let hash = hash(window);
                    let is_of_pass = passes == 1 || (hash >> PASS_SHIFT) % passes == pass;
                    if is_of_pass && seen.is_anothers(hash | owner) {
                        suspects.insert(hash);
                    }
                }
            }
        }
    }
    suspects
}

/// Who had each window first. A table of our own, since a store has millions: eight bytes an entry.
struct Seen {
    slots: Vec<u64>,
    mask: usize,
}

impl Seen {
    /// Twice as many slots, and some for passes that hold more than their share.
    fn with_room_for(windows: usize) -> Self {
        let count = windows.saturating_mul(2).saturating_add(1_024).next_power_of_two();
        Self { slots: vec![0; count], mask: count.saturating_sub(1) }
    }

    /// Notes a hash with its owner, unless it is known; true where another had it first.
    fn is_anothers(&mut self, entry: u64) -> bool {
        let mut at = usize::try_from(entry >> OWNER_BITS).unwrap_or(usize::MAX) & self.mask;
        for _ in 0..self.slots.len() {
            match self.slots.get_mut(at) {
                Some(slot) if *slot == 0 => {
                    *slot = entry;
                    return false;
                }
                Some(slot) if (*slot ^ entry) & !OWNERS == 0 => return *slot != entry,
                _ => at = at.wrapping_add(1) & self.mask,
            }
        }
        // Without room nothing is known: whoever has it may not be the first.
        true
    }
}

/// Windows of a field that are suspects, tell something, and are not published.
fn suspicious<'a>(
    published: &Published,
    suspects: &'a HashSet<u64>,
    field: &'a [u8],
) -> impl Iterator<Item = (usize, u128)> + use<'a> {
    let mut found = windows(field).filter(|(_, it)| suspects.contains(&hash(*it)) && tells(*it)).peekable();
    let covered = if found.peek().is_some() { published.covered(field) } else { Vec::new() };
    found.filter(move |(at, _)| {
        let bytes = covered.get(*at..at.saturating_add(LENGTH)).unwrap_or_default();
        bytes.iter().all(|covered| !covered)
    })
}

/// Whether a window may be somebody's: padding, counters and lengths have few bytes that differ, what is random has
/// fewer than five with a chance of one in 10^12.
fn tells(window: u128) -> bool {
    let mut bytes = window.to_be_bytes();
    let bytes = bytes.split_at_mut(size_of::<u128>() - LENGTH).1;
    bytes.sort_unstable();
    let differing = bytes.chunk_by(|one, other| one == other).count();
    differing >= FEWEST_DIFFERING
}

/// All windows of twelve bytes, each as a number, and where it begins.
fn windows(field: &[u8]) -> impl Iterator<Item = (usize, u128)> {
    let mut window = 0_u128;
    field.iter().enumerate().filter_map(move |(at, byte)| {
        window = (window << 8 | u128::from(*byte)) & WINDOW;
        Some((at.checked_sub(LENGTH - 1)?, window))
    })
}

/// The upper 40 bits of a product with a random odd number: the rest is the owner's. A few of a million windows
/// collide, and are looked at again for nothing.
fn hash(window: u128) -> u64 {
    let mixed = window.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    let (high, low) = ((mixed >> 64) as u64, window as u64);
    (high ^ low.wrapping_mul(0xd6e8_feb8_6659_fd93)).rotate_left(29).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        & !OWNERS
}

/// As long is what must not occur twice (09).
const LENGTH: usize = 12;
const WINDOW: u128 = (1 << (8 * LENGTH)) - 1;
/// Fewer values than so many say nothing.
const FEWEST_DIFFERING: usize = 5;
/// The bits that tell the owner.
const OWNERS: u64 = (1 << OWNER_BITS) - 1;
const OWNER_BITS: u32 = 24;
/// The bits of a hash by which passes are told apart; the lower ones choose the slot.
const PASS_SHIFT: u32 = 56;
/// Owners of one window that are told: a string that all groups have is told for a few of them.
const MAX_SIGHTS: usize = 8;
/// Windows that are held against each other at a time: 256 MiB.
const MAX_WINDOWS: usize = 16 << 20;
