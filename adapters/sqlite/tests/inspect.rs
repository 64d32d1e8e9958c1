//! Looking at a whole database.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails where it cannot go on")]

use futures::executor::block_on;
use phoenix_core::Timestamp;
use phoenix_core::port::{
    Alarm, Base, Batch, Commit, Mark, Part, PartitionKey, Snapshot, Space, Store, Write,
};
use phoenix_core::store::{MemoryStore, number_key};
use phoenix_sqlite::{OpenError, SqliteStore, inspect};
use rusqlite::Connection;

#[test]
fn an_inspection_shows_what_a_store_in_memory_would_hold_also_while_the_database_is_in_use() {
    // given a database in use, and a store in memory that was given the same
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let (database, memory) = (SqliteStore::open(&path).unwrap(), MemoryStore::new());
    for number in 0..40_u8 {
        let space = Space::ALL[usize::from(number % 6)];
        let partition = PartitionKey::new(space, vec![number % 9, number % 5].into());
        let put = Write::Put(vec![200, number].into(), vec![number; 3_000].into());
        let writes = vec![put, Write::Append(vec![number].into()), Write::Delete(number_key(0))];
        let alarm = Alarm::At(Timestamp(if number % 4 == 0 { u64::MAX } else { u64::from(number) }));
        let batch = Batch {
            parts: vec![Part { partition, base: Base::Any, mark: Mark([number; 16]), writes, alarm }],
        };
        for store in [&database as &dyn Store, &memory] {
            assert_eq!(block_on(store.commit(&batch)), Ok(Commit::Done));
        }
    }

    // when it is looked at, then all is there: keys, marks, alarms, rows
    assert_eq!(inspect(&path).unwrap(), memory.dump());
    drop(database);
    assert_eq!(inspect(&path).unwrap(), memory.dump(), "also when it is closed");
}

#[test]
fn rows_whose_partition_is_lost_are_shown_without_a_mark() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    drop(SqliteStore::open(&path).unwrap());
    let connection = Connection::open(&path).unwrap();
    connection.execute("INSERT INTO queue_rows VALUES (x'0207', 0, x'72', x'2a', NULL, NULL)", []).unwrap();

    let found = inspect(&path).unwrap();

    let row = (vec![0x72].into(), vec![0x2a].into());
    let expected = Snapshot { rows: vec![row], ..Snapshot::default() };
    assert_eq!(found, [(PartitionKey::new(Space::Qs, vec![2, 7].into()), expected)]);
}

#[test]
fn long_values_whose_row_is_lost_are_shown_in_a_partition_without_key_and_mark() {
    // given a long value that has its row, and one that has none
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    drop(SqliteStore::open(&path).unwrap());
    let connection = Connection::open(&path).unwrap();
    connection.execute("INSERT INTO queue_long VALUES (7, x'2a'), (8, x'2b')", []).unwrap();
    connection.execute("INSERT INTO queue_rows VALUES (x'0207', 0, x'72', NULL, 7, NULL)", []).unwrap();

    let found = inspect(&path).unwrap();

    let with = |key: Vec<u8>, row: Vec<u8>, value: u8| {
        let rows = vec![(row.into(), vec![value].into())];
        (PartitionKey::new(Space::Qs, key.into()), Snapshot { rows, ..Snapshot::default() })
    };
    assert_eq!(found, [with(vec![], vec![], 0x2b), with(vec![2, 7], vec![0x72], 0x2a)]);
}

#[test]
fn what_is_no_database_of_ours_is_told_and_nothing_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("text"), "something else").unwrap();
    std::fs::write(at("empty"), "").unwrap();
    Connection::open(at("other")).unwrap().execute("CREATE TABLE theirs (x)", []).unwrap();

    assert!(matches!(inspect(at("text")), Err(OpenError::NotADatabase(_))));
    assert!(matches!(inspect(at("other")), Err(OpenError::Foreign(_))));
    assert!(matches!(inspect(at("empty")), Err(OpenError::Foreign(_))));
    assert!(matches!(inspect(at("nowhere")), Err(OpenError::ReadOnly(_))));
    assert!(!at("nowhere").exists());
}
