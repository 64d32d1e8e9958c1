//! Opening a database, alone and beside others.
#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

use std::path::Path;

use bytes::Bytes;
use futures::executor::block_on;
use phoenix_core::port::{
    Alarm, Base, Batch, Commit, Mark, Part, PartitionKey, Place, Space, Store, Wanted, Write,
};
use phoenix_sqlite::{OpenError, SqliteStore};

#[test]
fn a_folder_that_does_not_exist_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("missing").join("db");

    let opened = SqliteStore::open(&path);

    assert_eq!(opened.err(), Some(OpenError::NoFolder(path)));
}

#[test]
fn a_file_that_is_no_database_is_told_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.txt");
    std::fs::write(&path, "not a database at all, but the notes of someone".repeat(40)).unwrap();

    assert_eq!(refused_and_left_alone(&path), Some(OpenError::NotADatabase(path)));
}

#[test]
fn the_database_of_another_program_is_told_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE notes (text TEXT)").unwrap();

    assert_eq!(refused_and_left_alone(&path), Some(OpenError::Foreign(path)));
}

#[test]
fn a_database_of_an_earlier_version_is_told_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    drop(SqliteStore::open(&path).unwrap());
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 2).unwrap();

    assert_eq!(refused_and_left_alone(&path), Some(OpenError::Foreign(path)));
}

#[cfg(unix)]
#[test]
fn the_file_is_for_its_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");

    let store = SqliteStore::open(&path).unwrap();

    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    drop(store);
}

#[test]
fn several_who_create_one_database_at_once_all_succeed() {
    for _ in 0..50 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");

        let stores: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| SqliteStore::open(&path))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });

        for store in stores {
            assert_eq!(store.map(drop), Ok(()));
        }
    }
}

#[test]
fn replicas_on_one_file_number_their_rows_together() {
    // given two stores on one file
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let stores = [SqliteStore::open(&path).unwrap(), SqliteStore::open(&path).unwrap()];

    // when both append at once
    std::thread::scope(|scope| {
        for (who, store) in (0_u8..).zip(&stores) {
            scope.spawn(move || {
                for round in 0..50 {
                    assert_eq!(block_on(store.commit(&append([who, round]))), Ok(Commit::Done));
                }
            });
        }
    });

    // then both see all rows, numbered without a gap
    let place = Place { partition: lane(), wanted: Wanted::first(1_000) };
    for store in &stores {
        let found = block_on(store.read(std::slice::from_ref(&place))).unwrap().remove(0);
        let expected = (0_u64..100).map(|number| Bytes::copy_from_slice(&number.to_be_bytes()));
        assert!(found.rows.into_iter().map(|(row, _)| row).eq(expected));
    }
}

#[test]
fn what_was_done_is_there_when_the_store_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(block_on(store.commit(&append([1, 1]))), Ok(Commit::Done));
    drop(store);

    let store = SqliteStore::open(&path).unwrap();

    let place = Place { partition: lane(), wanted: Wanted::first(10) };
    assert_eq!(block_on(store.read(&[place])).unwrap().remove(0).rows.len(), 1);
}

/// Why a file was not opened. It is as it was.
fn refused_and_left_alone(path: &Path) -> Option<OpenError> {
    let before = std::fs::read(path).unwrap();
    let opened = SqliteStore::open(path);
    assert_eq!(std::fs::read(path).unwrap(), before);
    opened.err()
}

fn lane() -> PartitionKey {
    PartitionKey::new(Space::Lane, Bytes::from_static(b"lane"))
}

fn append([who, round]: [u8; 2]) -> Batch {
    let mut mark = [who; 16];
    mark[0] = round;
    let writes = vec![Write::Append(Bytes::from(vec![who, round]))];
    Batch {
        parts: vec![Part {
            partition: lane(),
            base: Base::Any,
            mark: Mark(mark),
            writes,
            alarm: Alarm::Keep,
        }],
    }
}
