//! The snapshot audit (09): what a copy of a homeserver's disk tells whoever reads it, without any key.
//!
//! It looks at keys and bytes alone. So it knows no record, and a new kind of partition is examined like all others
//! from its first day; what one kind may do and others may not is said in one table, [`declared`](self) in the
//! source.
//!
//! ```
//! use phoenix_conformance::audit::{Audit, Kind, Word};
//! use phoenix_core::store::MemoryStore;
//!
//! let words = [Word::new(Kind::Alias, "Caroline of the hill")?];
//! let report = Audit::new(&words)?.of(&MemoryStore::new().dump());
//! assert!(report.is_clean());
//! # Ok::<(), phoenix_conformance::audit::AuditError>(())
//! ```

mod declared;
mod marks;
mod order;
mod remains;
mod report;
mod shared;
mod sizes;
mod times;
mod wordlist;
mod words;

#[cfg(test)]
mod tests;

use phoenix_core::port::{PartitionKey, Snapshot};

use self::{report::Findings, shared::Published};
pub use self::{
    report::{Finding, Link, Part, Report, Spot},
    wordlist::{Wordlist, WordlistError},
    words::{Kind, LEAST_WORD, Word, Words},
};

/// A partition as a disk shows it. Its rows may be in any order: one that is not by their keys tells something.
pub type Record = (PartitionKey, Snapshot);

/// Why an audit cannot be prepared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuditError {
    /// What is so short occurs by chance.
    #[error("a word of fewer than {LEAST_WORD} bytes occurs by chance")]
    Short,
    /// All words together are too many for one search.
    #[error("the search cannot be prepared: {0}")]
    Search(String),
}

/// What is looked for.
#[derive(Debug)]
pub struct Audit {
    words: Words,
    published: Published,
}

impl Audit {
    /// Looks for these words, and for all that needs none.
    ///
    /// # Errors
    /// [`AuditError::Search`].
    pub fn new(words: &[Word]) -> Result<Self, AuditError> {
        Ok(Self { words: Words::new(words)?, published: Published::new(&[])? })
    }

    /// What a homeserver publishes may occur anywhere: domains, and public keys of servers.
    ///
    /// # Errors
    /// [`AuditError::Search`].
    pub fn published(mut self, constants: &[Vec<u8>]) -> Result<Self, AuditError> {
        self.published = Published::new(constants)?;
        Ok(self)
    }

    /// Examines all that a store holds, in the order in which the store shows it.
    #[must_use]
    pub fn of(&self, records: &[Record]) -> Report {
        let mut findings = Findings::default();
        let in_place = words::find(&self.words, records, &mut findings);
        shared::find(&self.published, records, &mut findings);
        times::find(records, &mut findings);
        order::find(records, &mut findings);
        sizes::find(records, &mut findings);
        marks::find(records, &mut findings);
        remains::find(records, &mut findings);
        let rows = records.iter().map(|(_, found)| found.rows.len()).sum();
        let bytes = records.iter().map(|record| fields(record).map(|(_, field)| field.len()).sum::<usize>());
        Report {
            partitions: records.len(),
            rows,
            bytes: bytes.sum(),
            in_place,
            findings: findings.into_vec(),
        }
    }
}

/// All bytes of a partition, each field by itself: its key, its mark, and its rows' keys and values.
fn fields((partition, found): &Record) -> impl Iterator<Item = (Part, &[u8])> {
    let mark = found.mark.iter().map(|mark| (Part::Mark, mark.0.as_slice()));
    let rows = found.rows.iter().flat_map(|(key, value)| {
        [(Part::RowKey, key.as_ref()), (Part::Row(report::name(key)), value.as_ref())]
    });
    std::iter::once((Part::Key, partition.key().as_ref())).chain(mark).chain(rows)
}

/// The first byte of a partition's key: what kind of thing it holds.
fn kind(partition: &PartitionKey) -> u8 {
    partition.key().first().copied().unwrap_or_default()
}
