//! What an operator's disk holds: counted, and searched for what must not be there (09, "Snapshot audit").

mod file;

use std::{collections::BTreeMap, io, path::Path};

use phoenix_conformance::audit::{AuditError, Kind, Words};
use phoenix_sqlite::OpenError;
use rusqlite::{Connection, OpenFlags};

use self::file::Image;

/// What was found on one disk.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// Rows of each table, the heads of partitions among them.
    pub(crate) records: BTreeMap<String, u64>,
    /// How often each kind of word was found in each place: a table, `free pages`, or what lies beside the tables.
    pub(crate) hits: BTreeMap<(Kind, String), u64>,
    /// Bytes that were searched.
    pub(crate) searched: u64,
}

/// Why a disk could not be looked at.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DiskError {
    #[error("a file could not be read: {0}")]
    File(#[from] io::Error),
    #[error("the database could not be read: {0}")]
    Sql(#[from] rusqlite::Error),
    #[error("the search could not be prepared: {0}")]
    Search(#[from] AuditError),
    #[error("{0}")]
    Open(#[from] OpenError),
}

/// Counts the records of a database that is in use, and searches it: every file as a whole, with its log and its
/// free pages, and every row by itself, since a row may lie on several pages.
pub(crate) fn examine(database: &Path, words: &Words) -> Result<Findings, DiskError> {
    let image = Image::take(database)?;
    let mut findings = Findings { records: image.records()?, ..Findings::default() };
    let before = image.owners_before();
    let owners = image.owners()?;
    for (number, page) in image.pages() {
        findings.search(words, page, |_| owners.of(number));
    }
    for (number, frame) in image.frames() {
        // The log still shows pages as they were: one that a table has given up since belonged to it then.
        let earlier = before.as_ref().map(|before| before.of(number));
        findings.search(words, frame, |kind| match &earlier {
            Some(earlier) if kind == Kind::User && is_of_the_as(earlier) => earlier.clone(),
            _ => owners.of(number),
        });
    }
    image.rows(|table, value| findings.search(words, value, |_| table.to_owned()))?;
    findings.search(words, image.index(), |_| "the log's index".to_owned());
    Ok(findings)
}

/// How many messages wait in mailboxes for other homeservers.
pub(crate) fn held(database: &Path) -> Result<u64, DiskError> {
    let connection = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let held: i64 = connection.query_row(HELD, [], |row| row.get(0))?;
    Ok(held.unsigned_abs())
}

impl Findings {
    /// Hits in the tables of the AS.
    pub(crate) fn inside(&self, kind: Kind) -> u64 {
        self.hits
            .iter()
            .filter(|((it, place), _)| *it == kind && is_of_the_as(place))
            .map(|(_, hits)| hits)
            .sum()
    }

    /// Hits anywhere else.
    pub(crate) fn outside(&self, kind: Kind) -> u64 {
        self.hits
            .iter()
            .filter(|((it, place), _)| *it == kind && !is_of_the_as(place))
            .map(|(_, hits)| hits)
            .sum()
    }

    /// What was found where it must not be, and how often: anything but user ids in the tables of the AS.
    pub(crate) fn wrong(&self) -> impl Iterator<Item = (Kind, &str, u64)> {
        let wrong = self.hits.iter().filter(|((kind, place), _)| *kind != Kind::User || !is_of_the_as(place));
        wrong.map(|((kind, place), hits)| (*kind, place.as_str(), *hits))
    }

    /// Rows of one table.
    pub(crate) fn count(&self, table: &str) -> u64 {
        self.records.get(table).copied().unwrap_or_default()
    }

    fn search(&mut self, words: &Words, hay: &[u8], place: impl Fn(Kind) -> String) {
        self.searched = self.searched.saturating_add(u64::try_from(hay.len()).unwrap_or(u64::MAX));
        for kind in words.found_in(hay) {
            let hits = self.hits.entry((kind, place(kind))).or_default();
            *hits = hits.saturating_add(1);
        }
    }
}

/// The tables of the AS: the only ones that may name a user.
fn is_of_the_as(place: &str) -> bool {
    place.starts_with("auth_")
}

/// The QS's partitions of kind 6 are mailboxes; their messages lie under numbers of eight bytes.
const HELD: &str =
    "SELECT count(*) FROM queue_rows WHERE substr(partition, 1, 1) = x'06' AND length(key) = 8";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::path::{Path, PathBuf};

    use phoenix_conformance::audit::Word;
    use rusqlite::Connection;

    use super::{Findings, Kind, Words, examine};

    #[test]
    fn what_is_found_is_put_down_to_its_table_also_in_the_log_and_on_further_pages() {
        let (folder, connection) = database();
        let long = [vec![0; 9_000], ID.to_vec(), vec![0; 9_000]].concat();
        connection.execute("INSERT INTO auth_rows VALUES (x'01', ?1)", [ID]).unwrap();
        connection.execute("INSERT INTO queue_rows VALUES (x'02', ?1)", [long]).unwrap();

        let findings = search(&folder);

        let places: Vec<&str> = findings.hits.keys().map(|(_, place)| place.as_str()).collect();
        assert_eq!(places, ["auth_rows", "queue_rows"], "{:?}", findings.hits);
        assert!(findings.inside(Kind::User) >= 2 && findings.outside(Kind::User) >= 2, "{:?}", findings.hits);
        assert_eq!(findings.wrong().count(), 1);
        assert_eq!(findings.count("auth_rows"), 1);
    }

    #[test]
    fn what_was_deleted_and_not_overwritten_is_found_on_free_pages() {
        let (folder, connection) = database();
        let long = [vec![0; 9_000], ID.to_vec(), vec![0; 9_000]].concat();
        connection.execute("INSERT INTO auth_rows VALUES (x'01', ?1)", [long]).unwrap();
        connection.execute("DELETE FROM auth_rows", []).unwrap();
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();

        let findings = search(&folder);

        assert!(findings.wrong().any(|(_, place, _)| place == "free pages"), "{:?}", findings.hits);
    }

    fn database() -> (tempfile::TempDir, Connection) {
        let folder = tempfile::tempdir().unwrap();
        let connection = Connection::open(file(folder.path())).unwrap();
        let tables = "PRAGMA journal_mode = WAL; PRAGMA secure_delete = OFF; PRAGMA wal_autocheckpoint = 0;
            CREATE TABLE auth_rows (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID;
            CREATE TABLE queue_rows (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID;";
        connection.execute_batch(tables).unwrap();
        (folder, connection)
    }

    fn search(folder: &tempfile::TempDir) -> Findings {
        let words = [Word::new(Kind::User, ID).unwrap()];
        examine(&file(folder.path()), &Words::new(&words).unwrap()).unwrap()
    }

    fn file(folder: &Path) -> PathBuf {
        folder.join("phoenix.db")
    }

    const ID: &[u8] = b"\x8e\x01sixteen bytes.\xff";
}
