//! (5) Marks: nothing on a disk may tell which partitions were written together.

use std::collections::BTreeMap;

use super::{
    Record,
    report::{Findings, Link, Part, Spot},
};

/// Finds marks that two partitions have. That no mark lies anywhere else is part of (2).
pub(super) fn find(records: &[Record], findings: &mut Findings) {
    let mut known = BTreeMap::new();
    for (partition, found) in records {
        let Some(mark) = found.mark else { continue };
        if let Some(other) = known.insert(mark, partition) {
            let (one, other) = (Spot::of(other, Part::Mark), Spot::of(partition, Part::Mark));
            findings.add(Link::SameMark, one, Some(other));
        }
    }
}
