//! What a store left behind: rows that belong to no partition. No service finds them, so none deletes them.

use super::{
    Record,
    report::{self, Findings, Link, Part, Spot},
};

/// Finds rows of what has no mark: every partition that a service has written has one.
pub(super) fn find(records: &[Record], findings: &mut Findings) {
    for (partition, found) in records.iter().filter(|(_, found)| found.mark.is_none()) {
        for (key, _) in &found.rows {
            findings.add(Link::Remains, Spot::of(partition, Part::Row(report::name(key))), None);
        }
    }
}
