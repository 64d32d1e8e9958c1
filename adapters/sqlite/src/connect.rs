//! A connection and its settings.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior, config::DbConfig};

use crate::tables::Tables;

/// Why a connection was not made.
pub(crate) enum Refused {
    /// The database is not ours.
    Foreign,
    /// SQLite said no.
    Sql(rusqlite::Error),
}

impl From<rusqlite::Error> for Refused {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

/// The connection that writes; it makes the tables where there are none.
pub(crate) fn writer(path: &Path) -> Result<Connection, Refused> {
    let mut connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    if !is_ours(&mut connection)? {
        return Err(Refused::Foreign);
    }
    log_ahead(&connection)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)?;
    connection.pragma_update(None, "secure_delete", "ON")?;
    // So that a row that takes another's place takes its long value with it.
    connection.pragma_update(None, "recursive_triggers", "ON")?;
    // Both are written on every start, so that a disk without room is noticed now and not with the first call.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    Tables::new().create(&transaction)?;
    transaction.commit()?;
    Ok(connection)
}

/// Whether the file is empty, or made by this version. Read as of one instant: another who creates the same
/// database at this moment is seen before or after, never halfway.
fn is_ours(connection: &mut Connection) -> Result<bool, rusqlite::Error> {
    let snapshot = connection.transaction()?;
    let owner: i32 = snapshot.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let version: i32 = snapshot.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let tables: i64 = snapshot.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok((owner, version) == (APPLICATION, VERSION) || (owner, version, tables) == (0, 0, 0))
}

/// A connection that only reads.
pub(crate) fn reader(path: &Path) -> Result<Connection, Refused> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.pragma_update(None, "query_only", "ON")?;
    Ok(connection)
}

/// A connection to look at all of a database of ours, as of one instant: its transaction lasts as long as it does.
pub(crate) fn inspector(path: &Path) -> Result<Connection, Refused> {
    let mut connection = reader(path)?;
    let version: i32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if !is_ours(&mut connection)? || version != VERSION {
        return Err(Refused::Foreign);
    }
    connection.execute_batch("BEGIN")?;
    Ok(connection)
}

fn connect(path: &Path, access: OpenFlags) -> Result<Connection, rusqlite::Error> {
    let connection = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(PATIENCE)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // Each statement has one good plan: without this, SQLite prepares those with a limit anew each time.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "trusted_schema", "OFF")?;
    connection.pragma_update(None, "cache_size", CACHE_KIB)?;
    Ok(connection)
}

/// Switches to the write-ahead log. SQLite does not wait for others here, so that two who create one database
/// at once would meet an error.
fn log_ahead(connection: &Connection) -> Result<(), rusqlite::Error> {
    let mut tries = 0;
    loop {
        let switched = connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()));
        let is_busy =
            switched.as_ref().is_err_and(|error| error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy));
        if !is_busy || tries == LOG_TRIES {
            return switched;
        }
        tries += 1;
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// How long a connection waits for another process to finish its transaction.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// Five seconds of tries.
const LOG_TRIES: u32 = 250;
/// All statements of all key spaces stay prepared.
const STATEMENTS: usize = 128;
/// Pages of the log that are moved into the database as soon as nobody reads them: 32 MiB. A page that changes with every
/// message, as those of queues do, is moved once for many; the writer empties the log every few seconds anyway.
const LOG_PAGES: i32 = 8_192;
/// Pages that a connection keeps in memory, in KiB (SQLite takes a negative number for that).
const CACHE_KIB: i32 = -8_192;
/// `phnx`, by which the file is known.
const APPLICATION: i32 = 0x7068_6e78;
/// The version of the tables.
const VERSION: i32 = 3;
