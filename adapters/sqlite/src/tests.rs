//! What cannot be seen through the port.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails where it cannot go on")]

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::executor::block_on;
use phoenix_core::port::{
    Alarm, Base, Batch, Commit, MAX_VALUE, Mark, Part, PartitionKey, Place, Space, Store, StoreError, Wanted,
    Write,
};
use rusqlite::Connection;

use crate::open::Limits;
use crate::writer::Writer;
use crate::{OpenError, SqliteStore, connect};

#[test]
fn the_writer_flushes_every_commit_and_overwrites_what_is_deleted() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("db"), "").unwrap();

    let connection = connect::writer(&folder.path().join("db")).ok().unwrap();

    let setting = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
    let journal: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
    assert_eq!(journal, "wal");
    assert_eq!((setting("synchronous"), setting("secure_delete")), (2, 1));
}

#[test]
fn a_batch_that_finds_no_room_does_not_undo_the_others_of_its_group() {
    // given a database with room for little
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    std::fs::write(&path, "").unwrap();
    let connection = connect::writer(&path).ok().unwrap();
    connection.pragma_update(None, "max_page_count", 100).unwrap();

    // when a group has one batch that is too large
    let (first, large, last) = (batch(1, 10), batch(2, MAX_VALUE), batch(3, 10));
    let answers = Writer::new(&connection).commit(&[&first, &large, &last]);

    // then that one alone fails
    assert_eq!(answers, [Ok(Commit::Done), Err(StoreError::Full), Ok(Commit::Done)]);
    assert_eq!(partitions(&connection), 2);
}

#[test]
fn a_conflict_does_not_undo_the_others_of_its_group() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    std::fs::write(&path, "").unwrap();
    let connection = connect::writer(&path).ok().unwrap();
    let (first, mut stale, last) = (batch(1, 10), batch(1, 20), batch(3, 10));
    stale.parts[0].mark = Mark([9; 16]);

    let answers = Writer::new(&connection).commit(&[&first, &stale, &last, &first]);

    assert_eq!(answers, [Commit::Done, Commit::Conflict, Commit::Done, Commit::Done].map(Ok));
    assert_eq!(partitions(&connection), 2);
}

#[test]
fn a_full_store_says_so_and_can_still_be_read() {
    // given a store with room for little
    let folder = tempfile::tempdir().unwrap();
    let store =
        SqliteStore::open_within(&folder.path().join("db"), Limits { pages: Some(100), ..Limits::default() })
            .unwrap();
    let small = batch(1, 10);
    assert_eq!(block_on(store.commit(&small)), Ok(Commit::Done));

    // when a batch is too large, then that is told
    assert_eq!(block_on(store.commit(&batch(2, MAX_VALUE))), Err(StoreError::Full));

    // and what is there can be read
    let place = Place { partition: small.parts[0].partition.clone(), wanted: Wanted::first(1) };
    assert_eq!(block_on(store.read(&[place])).unwrap()[0].mark, Some(small.parts[0].mark));
}

#[test]
fn a_damaged_database_is_told_apart_from_a_slow_one() {
    // given a database in which a mark has lost a byte
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let store = SqliteStore::open(&path).unwrap();
    let written = batch(1, 10);
    assert_eq!(block_on(store.commit(&written)), Ok(Commit::Done));
    Connection::open(&path)
        .unwrap()
        .execute("UPDATE queue_rows SET value = x'00' WHERE head = 1", [])
        .unwrap();

    // when it is read or written, then that is told
    let place = Place { partition: written.parts[0].partition.clone(), wanted: Wanted::Mark };
    assert_eq!(block_on(store.read(&[place])), Err(StoreError::Corrupt));
    assert_eq!(block_on(store.commit(&written)), Err(StoreError::Corrupt));
}

#[test]
fn an_idle_store_empties_its_log_and_keeps_nothing_that_was_deleted() {
    // given a store that held a row for a while
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let store = SqliteStore::open(&path).unwrap();
    let secret = b"what nobody should find again".repeat(100);
    let mut written = batch(1, 0);
    written.parts[0].writes = vec![Write::Append(Bytes::from(secret))];
    assert_eq!(block_on(store.commit(&written)), Ok(Commit::Done));
    assert!(occurs(folder.path()));
    written.parts[0] =
        Part { mark: Mark([8; 16]), base: Base::Any, writes: vec![Write::Drop], ..written.parts[0].clone() };
    assert_eq!(block_on(store.commit(&written)), Ok(Commit::Done));

    // when it has been idle for a while
    let begun = Instant::now();
    while occurs(folder.path()) && begun.elapsed().as_secs() < 10 {
        std::thread::yield_now();
    }

    // then none of its files has the row
    assert!(!occurs(folder.path()));
    drop(store);
}

#[test]
fn a_store_that_is_never_idle_keeps_nothing_that_was_deleted_either() {
    // given a store that held a row, while others write without a pause
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("db")).unwrap();
    let mut written = batch(1, 0);
    written.parts[0].writes = vec![Write::Append(Bytes::from(b"what nobody should find again".repeat(100)))];
    assert_eq!(block_on(store.commit(&written)), Ok(Commit::Done));
    written.parts[0] =
        Part { mark: Mark([8; 16]), base: Base::Any, writes: vec![Write::Drop], ..written.parts[0].clone() };
    assert_eq!(block_on(store.commit(&written)), Ok(Commit::Done));
    assert!(occurs(folder.path()));

    // when they go on for some seconds, and some read
    let begun = Instant::now();
    let mut trickle = batch(2, 1);
    let place = Place { partition: trickle.parts[0].partition.clone(), wanted: Wanted::first(1) };
    for round in 0..u128::MAX {
        if !occurs(folder.path()) || begun.elapsed().as_secs() >= 10 {
            break;
        }
        trickle.parts[0].mark = Mark(round.to_be_bytes());
        trickle.parts[0].base = Base::Any;
        trickle.parts[0].writes = vec![Write::Put(Bytes::new(), Bytes::from_static(b"x"))];
        assert_eq!(block_on(store.commit(&trickle)), Ok(Commit::Done));
        assert!(block_on(store.read(std::slice::from_ref(&place))).is_ok());
        std::thread::sleep(Duration::from_millis(50));
    }

    // then none of its files has the row
    assert!(!occurs(folder.path()));
}

#[test]
fn where_the_system_has_no_thread_left_that_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (told, opened) = std::sync::mpsc::channel();

    for most in 0..3 {
        let (told, path) = (told.clone(), folder.path().join("db"));
        let limits = Limits { threads: Some(most), ..Limits::default() };
        std::thread::spawn(move || told.send(SqliteStore::open_within(&path, limits).err()));

        let error = opened.recv_timeout(Duration::from_secs(10));
        assert!(matches!(error, Ok(Some(OpenError::Other { .. }))), "{most} threads: {error:?}");
    }
}

#[test]
fn tables_have_no_numbers_that_tell_when_a_row_came() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let store = SqliteStore::open(&path).unwrap();

    let connection = Connection::open(&path).unwrap();

    for table in ["queue_rows", "auth_rows", "spent_rows"] {
        assert!(connection.prepare(&format!("SELECT count(*) FROM {table}")).is_ok());
        assert!(connection.prepare(&format!("SELECT rowid FROM {table}")).is_err());
    }
    for number in 1..=9 {
        assert_eq!(block_on(store.commit(&batch(number, 2_000))), Ok(Commit::Done));
    }
    let mut statement = connection.prepare("SELECT id FROM queue_long").unwrap();
    let mut came = Vec::new();
    for partition in 1..=9_u8 {
        let of = "SELECT long FROM queue_rows WHERE partition = ?1 AND head = 0";
        came.push(connection.query_row(of, [[partition]], |row| row.get::<_, i64>(0)).unwrap());
    }
    let mut stand: Vec<i64> =
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert_ne!(came, stand, "nine random numbers are in order once in 362,880 times");
    stand.sort_unstable();
    came.sort_unstable();
    assert_eq!(came, stand);
    drop(store);
}

#[test]
fn a_long_value_goes_with_its_row_whatever_takes_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let store = SqliteStore::open(&path).unwrap();
    let connection = Connection::open(&path).unwrap();
    let long =
        || -> i64 { connection.query_row("SELECT count(*) FROM queue_long", [], |row| row.get(0)).unwrap() };
    let mut part = batch(1, 0).parts.remove(0);
    let key = |number: u8| Bytes::copy_from_slice(&[number]);
    let value = |length: usize| Bytes::from(vec![7; length]);
    let mut write = |writes: Vec<Write>| {
        part.mark.0[0] = part.mark.0[0].wrapping_add(1);
        part = Part { base: Base::Any, writes, ..part.clone() };
        assert_eq!(block_on(store.commit(&Batch { parts: vec![part.clone()] })), Ok(Commit::Done));
        let place = Place { partition: part.partition.clone(), wanted: Wanted::first(9) };
        let rows = block_on(store.read(&[place])).unwrap().remove(0).rows;
        (rows.iter().map(|(_, value)| value.len()).collect::<Vec<_>>(), long())
    };

    let puts = (1..=5).map(|number| Write::Put(key(number), value(896 + usize::from(number) - 1)));
    assert_eq!(write(puts.collect()), (vec![896, 897, 898, 899, 900], 4));
    assert_eq!(write(vec![Write::Put(key(2), value(2 << 20))]).1, 4);
    assert_eq!(write(vec![Write::Put(key(3), value(1))]), (vec![896, 2 << 20, 1, 899, 900], 3));
    assert_eq!(write(vec![Write::DeleteBelow(key(3))]), (vec![1, 899, 900], 2));
    assert_eq!(write(vec![Write::Take(key(4))]), (vec![1, 900], 1));
    assert_eq!(write(vec![Write::Drop]), (vec![], 0));
    drop(store);
}

#[test]
fn rows_are_found_by_their_names_however_many_and_one_that_lost_its_value_is_damage() {
    // given a partition of ten rows, every other of which is long
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let store = SqliteStore::open(&path).unwrap();
    let key = |number: u8| Bytes::copy_from_slice(&[number]);
    let value = |number: u8| Bytes::from(vec![number; if number.is_multiple_of(2) { 900 } else { 9 }]);
    let mut part = batch(1, 0).parts.remove(0);
    part.writes = (1..=10).map(|number| Write::Put(key(number), value(number))).collect();
    assert_eq!(block_on(store.commit(&Batch { parts: vec![part.clone()] })), Ok(Commit::Done));
    let find = |keys: Vec<u8>| {
        let wanted = Wanted::Keys(keys.into_iter().map(key).collect());
        block_on(store.read(&[Place { partition: part.partition.clone(), wanted }]))
    };

    // when some are wanted, in any order, twice, or not there, then those that are there come in order
    for keys in [vec![], vec![7], vec![2, 1, 2], vec![11, 9, 8, 7, 6, 0], (0..=20).rev().collect()] {
        let mut there: Vec<u8> = keys.iter().copied().filter(|number| (1..=10).contains(number)).collect();
        there.sort_unstable();
        there.dedup();
        let found = find(keys).unwrap().remove(0);
        assert!(found.rows.iter().cloned().eq(there.into_iter().map(|number| (key(number), value(number)))));
        assert_eq!((found.mark, found.more), (Some(part.mark), false));
    }

    // and a row whose value somebody took is no row that is not there
    Connection::open(&path).unwrap().execute("DELETE FROM queue_long", []).unwrap();
    assert_eq!(find(vec![2, 3]), Err(StoreError::Corrupt));
    assert_eq!(find(vec![3]).unwrap().remove(0).rows.len(), 1);
}

#[test]
fn errors_of_opening_are_one_sentence_each() {
    let path = Path::new("phoenix.db");
    let io = |kind: std::io::ErrorKind| OpenError::from_io(path, &kind.into());
    let sql = |code: i32| {
        OpenError::from_sql(path, &rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None))
    };

    assert_eq!(io(std::io::ErrorKind::ReadOnlyFilesystem), OpenError::ReadOnly(path.into()));
    assert_eq!(io(std::io::ErrorKind::StorageFull), OpenError::Full(path.into()));
    assert_eq!(sql(rusqlite::ffi::SQLITE_FULL), OpenError::Full(path.into()));
    assert_eq!(sql(rusqlite::ffi::SQLITE_READONLY), OpenError::ReadOnly(path.into()));
    assert_eq!(sql(rusqlite::ffi::SQLITE_BUSY), OpenError::Locked(path.into()));
    assert_eq!(io(std::io::ErrorKind::StorageFull).to_string(), "phoenix.db: the disk is full");
}

fn batch(number: u8, size: usize) -> Batch {
    let value = Bytes::from(vec![number; size]);
    let partition = PartitionKey::new(Space::Qs, Bytes::from(vec![number]));
    let writes = vec![Write::Append(value)];
    Batch {
        parts: vec![Part {
            partition,
            base: Base::Absent,
            mark: Mark([number; 16]),
            writes,
            alarm: Alarm::Keep,
        }],
    }
}

fn partitions(connection: &Connection) -> i64 {
    connection.query_row("SELECT count(*) FROM queue_rows WHERE head = 1", [], |row| row.get(0)).unwrap()
}

fn occurs(folder: &Path) -> bool {
    let needle = b"nobody should find";
    let files =
        std::fs::read_dir(folder).unwrap().filter_map(|file| std::fs::read(file.unwrap().path()).ok());
    files.into_iter().any(|bytes| bytes.windows(needle.len()).any(|window| window == needle))
}
