//! (4) Sizes: a group's ciphertexts are on the steps of their padding (07, "State").

use phoenix_core::{
    crypto::{SEAL_OVERHEAD, padme},
    port::Space,
};

use super::{
    Record, declared, kind,
    report::{Findings, Part, Spot, name},
};

/// Finds rows of groups that tell more of their size than a step.
pub(super) fn find(records: &[Record], findings: &mut Findings) {
    for (partition, found) in records {
        if partition.space() != Space::Ds {
            continue;
        }
        for (key, value) in &found.rows {
            if !fits(kind(partition), key, value.len()) {
                findings.add_size(Spot::of(partition, Part::Row(name(key))), value.len());
            }
        }
    }
}

/// Whether a row's size is one of those that a row of its name may have.
fn fits(kind: u8, key: &[u8], size: usize) -> bool {
    let row = declared::SIZES.iter().find(|row| row.kind == kind && key.starts_with(row.begins));
    match row {
        Some(row) => is_step(size, row.floor, row.seal),
        None => size <= declared::SMALL || is_step(size, declared::LEAST_FLOOR, SEAL_OVERHEAD),
    }
}

fn is_step(size: usize, floor: usize, seal: usize) -> bool {
    let padded = size.checked_sub(seal);
    padded.is_some_and(|padded| padded >= floor && padme(padded, floor) == padded)
}
