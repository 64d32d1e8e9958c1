//! What was found. Nothing of it shows what a store holds: only what kind of record, and which part of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use phoenix_core::port::{PartitionKey, Space};

use super::words::Kind;

/// What an audit found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Partitions that were examined.
    pub partitions: usize,
    /// Rows of them.
    pub rows: usize,
    /// Bytes of keys, marks and values.
    pub bytes: usize,
    /// How often words occur where they may: shows that the search works.
    pub in_place: BTreeMap<(Kind, Space), u64>,
    /// What must not be.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Whether there is nothing that must not be.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }
}

/// Something that must not be, and how often it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// What is wrong.
    pub link: Link,
    /// Where.
    pub one: Spot,
    /// What it is joined with, if it is.
    pub other: Option<Spot>,
    /// How often.
    pub times: u64,
}

/// What is wrong with what is stored, by the clauses of the specification (09, "Snapshot audit").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Link {
    /// (1) A word of the scenario, where it must not be.
    Word(Kind),
    /// (2) The same bytes in two places that nothing may join; how many, at most.
    SameBytes(usize),
    /// (3) The same point in time in two services.
    SameTime,
    /// (3) Points in time in two services, by which their rows can be sorted.
    Times,
    /// (3) An order of two services' rows that tells when they came.
    Order,
    /// (4) A ciphertext of a group whose size is no step of its padding; its size.
    Size(usize),
    /// (5) The same mark on two partitions.
    SameMark,
    /// A row of no partition, which its store should have deleted.
    Remains,
}

/// What kind of record, and which part of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spot {
    /// The key space.
    pub space: Space,
    /// The first byte of the partition's key.
    pub kind: u8,
    /// Which part of the partition.
    pub part: Part,
}

impl Spot {
    pub(super) fn of(partition: &PartitionKey, part: Part) -> Self {
        Self { space: partition.space(), kind: super::kind(partition), part }
    }
}

/// A part of a partition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Its key.
    Key,
    /// Its mark.
    Mark,
    /// Its alarm.
    Alarm,
    /// The key of a row.
    RowKey,
    /// A row, by its name or by what its name begins with; `#` for a number.
    Row(String),
}

/// What a row is called in a report: words of the code as they are, anything else by its first letter at most.
pub(super) fn name(key: &[u8]) -> String {
    let is_word = |byte: &u8| byte.is_ascii_lowercase() || matches!(byte, b' ' | b'_' | b'-');
    match key {
        [] => String::new(),
        [0, ..] if key.len() == size_of::<u64>() => "#".to_owned(),
        _ if key.iter().all(is_word) => String::from_utf8_lossy(key).into_owned(),
        [first, ..] if is_word(first) => format!("{}…", char::from(*first)),
        _ => "…".to_owned(),
    }
}

/// Collects findings: what is found of the same kinds of records again is counted.
#[derive(Default)]
pub(super) struct Findings {
    found: BTreeMap<(Link, Spot, Option<Spot>), u64>,
    sizes: BTreeSet<(Spot, usize)>,
}

impl Findings {
    pub(super) fn add(&mut self, link: Link, one: Spot, other: Option<Spot>) {
        let (one, other) = match other {
            Some(other) if other < one => (other, Some(one)),
            other => (one, other),
        };
        let times = self.found.entry((link, one, other)).or_default();
        *times = times.saturating_add(1);
    }

    /// A size, once for each spot and size.
    pub(super) fn add_size(&mut self, spot: Spot, size: usize) {
        if self.sizes.len() < MAX_SIZES && self.sizes.insert((spot.clone(), size)) {
            self.add(Link::Size(size), spot, None);
        }
    }

    pub(super) fn into_vec(self) -> Vec<Finding> {
        let finding = |((link, one, other), times)| Finding { link, one, other, times };
        self.found.into_iter().map(finding).collect()
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.link, self.one)?;
        if let Some(other) = &self.other {
            write!(f, " and in {other}")?;
        }
        match self.times {
            1 => Ok(()),
            times => write!(f, ", {times} times"),
        }
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(kind) => write!(f, "{}", kind.name()),
            Self::SameBytes(length) => write!(f, "the same {length} bytes"),
            Self::SameTime => f.write_str("the same time"),
            Self::Times => f.write_str("times finer than a day"),
            Self::Order => f.write_str("an order that tells when rows came"),
            Self::Size(size) => write!(f, "a size of {size} bytes, which is no step of the padding,"),
            Self::SameMark => f.write_str("the same mark"),
            Self::Remains => f.write_str("what should have been deleted"),
        }
    }
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: ", space(self.space), self.kind)?;
        match &self.part {
            Part::Key => f.write_str("the partition's key"),
            Part::Mark => f.write_str("its mark"),
            Part::Alarm => f.write_str("its alarm"),
            Part::RowKey => f.write_str("a row's key"),
            Part::Row(name) => write!(f, "row {name:?}"),
        }
    }
}

/// What a key space is called.
pub(super) const fn space(space: Space) -> &'static str {
    match space {
        Space::As => "AS",
        Space::Qs => "QS",
        Space::Ds => "DS",
        Space::Spent => "spent",
        Space::Lane => "lanes",
        Space::Peers => "peers",
    }
}

/// Sizes that are told apart: a store whose padding is broken has as many as records.
const MAX_SIZES: usize = 100;
