//! (3) Orders that tell when rows came, in the AS and in the QS or the DS: sorted by them, the rows line up.

use std::collections::{BTreeMap, BTreeSet};

use phoenix_core::port::Space;

use super::{
    Record, declared, kind,
    report::{Findings, Link, Part, Spot},
};

/// Finds an order in the AS and one in the QS or the DS.
pub(super) fn find(records: &[Record], findings: &mut Findings) {
    let told: Vec<Spot> =
        [shown(records), counted(records), numbered(records)].into_iter().flatten().collect();
    let of_the_as = told.iter().find(|spot| spot.space == Space::As);
    let others = told.iter().filter(|spot| matches!(spot.space, Space::Qs | Space::Ds));
    for (one, other) in of_the_as.into_iter().flat_map(|one| others.clone().map(move |other| (one, other))) {
        findings.add(Link::Order, one.clone(), Some(other.clone()));
    }
}

/// Kinds whose partitions or rows a store shows in another order than that of their keys: it can only be the order in
/// which they came.
fn shown(records: &[Record]) -> BTreeSet<Spot> {
    let mut last = BTreeMap::new();
    let mut told = BTreeSet::new();
    for (partition, found) in records {
        let before = last.insert(partition.space(), partition.key());
        if before.is_some_and(|before| before > partition.key()) {
            told.insert(Spot::of(partition, Part::Key));
        }
        if !found.rows.is_sorted_by_key(|(key, _)| key) {
            told.insert(Spot::of(partition, Part::RowKey));
        }
    }
    told
}

/// Kinds whose partitions have keys that count, or begin with a time: what is random or hashed differs from its first
/// bytes on.
fn counted(records: &[Record]) -> BTreeSet<Spot> {
    let mut kinds: BTreeMap<(Space, u8), Vec<&Record>> = BTreeMap::new();
    for record in records {
        kinds.entry((record.0.space(), kind(&record.0))).or_default().push(record);
    }
    let begins = |record: &Record| record.0.key().get(1..=BEGINNING).map(<[u8]>::to_vec);
    let counted = kinds.into_values().filter(|records| {
        let beginnings: BTreeSet<_> = records.iter().map(|record| begins(record)).collect();
        records.len() >= FEWEST && beginnings.len() == 1
    });
    counted.filter_map(|records| Some(Spot::of(&records.first()?.0, Part::Key))).collect()
}

/// Kinds whose rows are numbered though nothing says that they may be.
fn numbered(records: &[Record]) -> BTreeSet<Spot> {
    let may = |space, kind| declared::NUMBERED.iter().any(|(s, k, _)| (*s, *k) == (space, kind));
    let is_number = |key: &[u8]| key.len() == size_of::<u64>() && key.starts_with(&[0; 4]);
    let told = records.iter().filter(|(partition, found)| {
        let numbers = found.rows.iter().filter(|(key, _)| is_number(key)).count();
        numbers >= FEWEST && !may(partition.space(), kind(partition))
    });
    told.map(|(partition, _)| Spot::of(partition, Part::RowKey)).collect()
}

/// So many keys have their first bytes in common only if they were made so.
const FEWEST: usize = 4;
/// How many bytes that are.
const BEGINNING: usize = 3;
