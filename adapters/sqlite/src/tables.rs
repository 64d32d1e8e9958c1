//! The tables of a key space, and their statements.
//!
//! A space has a table of rows, ordered by their keys (`WITHOUT ROWID`): there is no number by which rows could be sorted
//! into the order of their arrival. What is known of a partition (mark, next number, alarm) is its last row there, so that
//! whoever changes the partition finds both on one page. Long values are in a second table, under random numbers: SQLite
//! reads the whole of a row to compare its key, so a few of them among the rows would make every search there slow.

use bytes::Bytes;
use phoenix_core::Timestamp;
use phoenix_core::port::{Mark, PartitionKey, RowKey, Space, StoreError};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};

use crate::failure::Failure;

/// What is known of a partition: its last row in its space's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) mark: Mark,
    pub(crate) alarm: Option<Timestamp>,
    pub(crate) next: u64,
}

/// Rows that were read, as keys and values.
pub(crate) type Rows = Vec<(RowKey, Bytes)>;

/// The statements of all spaces.
pub(crate) struct Tables {
    auth: Statements,
    queue: Statements,
    delivery: Statements,
    spent: Statements,
    lane: Statements,
    peers: Statements,
}

struct Statements {
    create: String,
    /// A partition's head beside none, one, two … of its rows.
    found: Vec<String>,
    insert_head: String,
    update_head: String,
    update_mark: String,
    delete_head: String,
    due: String,
    heads: String,
    all_rows: String,
    remains: String,
    rows_from: String,
    rows_between: String,
    has_rows: String,
    has_row: String,
    /// Changes nothing where a long value is there.
    put_short: String,
    put_long: String,
    replace_row: String,
    delete_row: String,
    delete_below: String,
    delete_rows: String,
}

impl Tables {
    pub(crate) fn new() -> Self {
        Self {
            auth: Statements::of("auth"),
            queue: Statements::of("queue"),
            delivery: Statements::of("delivery"),
            spent: Statements::of("spent"),
            lane: Statements::of("lane"),
            peers: Statements::of("peers"),
        }
    }

    const fn of(&self, space: Space) -> &Statements {
        match space {
            Space::As => &self.auth,
            Space::Qs => &self.queue,
            Space::Ds => &self.delivery,
            Space::Spent => &self.spent,
            Space::Lane => &self.lane,
            Space::Peers => &self.peers,
        }
    }

    pub(crate) fn create(&self, to: &Connection) -> Result<(), rusqlite::Error> {
        Space::ALL.into_iter().try_for_each(|space| to.execute_batch(&self.of(space).create))
    }

    pub(crate) fn head(&self, of: &PartitionKey, from: &Connection) -> Result<Option<Head>, Failure> {
        Ok(self.found(of, &[], from)?.map(|(head, _)| head))
    }

    /// A partition's head, and those of these rows that are there, in key order. Each statement costs, so one finds all
    /// that is wanted of most.
    pub(crate) fn found(
        &self,
        of: &PartitionKey,
        keys: &[RowKey],
        from: &Connection,
    ) -> Result<Option<(Head, Rows)>, Failure> {
        let mut keys: Vec<&RowKey> = keys.iter().collect();
        keys.sort_unstable();
        keys.dedup();
        let mut some = keys.chunks(MAX_KEYS);
        let first = self.found_at_once(of, some.next().unwrap_or_default(), from)?;
        let Some((head, mut rows)) = first else { return Ok(None) };
        for keys in some {
            rows.extend(self.found_at_once(of, keys, from)?.into_iter().flat_map(|(_, rows)| rows));
        }
        Ok(Some((head, rows)))
    }

    /// The same for at most [`MAX_KEYS`].
    fn found_at_once(
        &self,
        of: &PartitionKey,
        keys: &[&RowKey],
        from: &Connection,
    ) -> Result<Option<(Head, Rows)>, Failure> {
        let statement = self.of(of.space()).found.get(keys.len()).ok_or(Failure(StoreError::Invalid))?;
        let mut statement = from.prepare_cached(statement)?;
        let names = std::iter::once(of.key()).chain(keys.iter().copied()).map(Bytes::as_ref);
        let found = statement.query_row(params_from_iter(names), |row| Ok(found(row, keys)));
        found.optional()?.transpose()
    }

    /// Sets a partition's head; `before` is what it was.
    pub(crate) fn set_head(
        &self,
        of: &PartitionKey,
        before: Option<Head>,
        head: Head,
        to: &Connection,
    ) -> Result<(), Failure> {
        let (key, value, alarm) = (of.key().as_ref(), head.value(), head.alarm);
        let statements = self.of(of.space());
        if before.is_some_and(|before| before.alarm == alarm) {
            // Sparing the index of alarms halves what is written for most partitions.
            to.prepare_cached(&statements.update_mark)?.execute(params![key, value])?;
            return Ok(());
        }
        let statement = if before.is_some() { &statements.update_head } else { &statements.insert_head };
        to.prepare_cached(statement)?.execute(params![key, value, alarm.map(ordered)])?;
        Ok(())
    }

    pub(crate) fn delete_head(&self, of: &PartitionKey, to: &Connection) -> Result<(), Failure> {
        to.prepare_cached(&self.of(of.space()).delete_head)?.execute([of.key().as_ref()])?;
        Ok(())
    }

    pub(crate) fn due(
        &self,
        space: Space,
        now: Timestamp,
        limit: usize,
        from: &Connection,
    ) -> Result<Vec<PartitionKey>, Failure> {
        let mut statement = from.prepare_cached(&self.of(space).due)?;
        let mut rows = statement.query(params![ordered(now), i64::try_from(limit).unwrap_or(i64::MAX)])?;
        let mut keys = Vec::new();
        while let Some(row) = rows.next()? {
            keys.push(PartitionKey::new(space, blob(row, 0)?));
        }
        Ok(keys)
    }

    /// Shows the key and the head of every partition of a space, in the table's own order.
    pub(crate) fn each_head(
        &self,
        space: Space,
        from: &Connection,
        mut show: impl FnMut(Bytes, Head),
    ) -> Result<(), Failure> {
        let mut statement = from.prepare(&self.of(space).heads)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            show(blob(row, 2)?, head(row)?);
        }
        Ok(())
    }

    /// Shows every row of a space, with its partition's key and its own, in the table's own order.
    pub(crate) fn each_row(
        &self,
        space: Space,
        from: &Connection,
        mut show: impl FnMut(Bytes, RowKey, Bytes),
    ) -> Result<(), Failure> {
        let mut statement = from.prepare(&self.of(space).all_rows)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            show(blob(row, 0)?, blob(row, 1)?, blob(row, 2)?);
        }
        Ok(())
    }

    /// Shows every long value of a space that no row has, though it should have gone with its row.
    pub(crate) fn each_remain(
        &self,
        space: Space,
        from: &Connection,
        mut show: impl FnMut(Bytes),
    ) -> Result<(), Failure> {
        let mut statement = from.prepare(&self.of(space).remains)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            show(blob(row, 0)?);
        }
        Ok(())
    }

    /// The first rows with `from <= key < below`, `below` empty for no bound, as many as the limits on their number and
    /// bytes allow, and whether there are more.
    pub(crate) fn rows(
        &self,
        of: &PartitionKey,
        (from, below): (&RowKey, &RowKey),
        (most, mut room): (u32, usize),
        source: &Connection,
    ) -> Result<(Rows, bool), Failure> {
        let statements = self.of(of.space());
        // One row more than wanted tells whether there is one.
        let (most, limit) = (usize::try_from(most).unwrap_or(usize::MAX), i64::from(most) + 1);
        let (key, from, below) = (of.key().as_ref(), from.as_ref(), below.as_ref());
        let mut statement;
        let mut rows = if below.is_empty() {
            statement = source.prepare_cached(&statements.rows_from)?;
            statement.query(params![key, from, limit])?
        } else {
            statement = source.prepare_cached(&statements.rows_between)?;
            statement.query(params![key, from, limit, below])?
        };
        let mut found = Rows::new();
        while let Some(row) = rows.next()? {
            let size = row.get_ref(1)?.as_blob()?.len();
            if found.len() >= most || (size > room && !found.is_empty()) {
                return Ok((found, true));
            }
            room = room.saturating_sub(size);
            found.push((blob(row, 0)?, blob(row, 1)?));
        }
        Ok((found, false))
    }

    pub(crate) fn has_rows(&self, of: &PartitionKey, from: &Connection) -> Result<bool, Failure> {
        Ok(from.prepare_cached(&self.of(of.space()).has_rows)?.exists([of.key().as_ref()])?)
    }

    pub(crate) fn has_row(
        &self,
        of: &PartitionKey,
        key: &RowKey,
        from: &Connection,
    ) -> Result<bool, Failure> {
        let mut statement = from.prepare_cached(&self.of(of.space()).has_row)?;
        Ok(statement.exists([of.key().as_ref(), key.as_ref()])?)
    }

    /// Puts a row, in place of what it was where there is one. A short value goes by a statement of its own: the one that
    /// takes whatever was there may run a trigger, which costs more than all of a write without, since SQLite keeps each
    /// page as it was until the statement has ended.
    pub(crate) fn put_row(
        &self,
        of: &PartitionKey,
        (key, value): (&[u8], &[u8]),
        to: &Connection,
    ) -> Result<(), Failure> {
        let (statements, partition) = (self.of(of.space()), of.key().as_ref());
        let (value, long) = if value.len() > LONGEST_SHORT {
            (None, Some(to.prepare_cached(&statements.put_long)?.insert([value])?))
        } else if to.prepare_cached(&statements.put_short)?.execute(params![partition, key, value])? > 0 {
            return Ok(());
        } else {
            (Some(value), None)
        };
        to.prepare_cached(&statements.replace_row)?.execute(params![partition, key, value, long])?;
        Ok(())
    }

    pub(crate) fn delete_row(&self, of: &PartitionKey, key: &RowKey, to: &Connection) -> Result<(), Failure> {
        to.prepare_cached(&self.of(of.space()).delete_row)?.execute([of.key().as_ref(), key.as_ref()])?;
        Ok(())
    }

    pub(crate) fn delete_below(
        &self,
        of: &PartitionKey,
        key: &RowKey,
        to: &Connection,
    ) -> Result<(), Failure> {
        to.prepare_cached(&self.of(of.space()).delete_below)?.execute([of.key().as_ref(), key.as_ref()])?;
        Ok(())
    }

    pub(crate) fn delete_rows(&self, of: &PartitionKey, to: &Connection) -> Result<(), Failure> {
        to.prepare_cached(&self.of(of.space()).delete_rows)?.execute([of.key().as_ref()])?;
        Ok(())
    }
}

impl Statements {
    fn of(space: &str) -> Self {
        let rows = format!("{space}_rows");
        let value = format!("coalesce(value, (SELECT content FROM {space}_long WHERE id = long))");
        Self {
            create: format!(
                "CREATE TABLE IF NOT EXISTS {rows} (partition BLOB NOT NULL, head INTEGER NOT NULL, key BLOB NOT NULL, \
                 value BLOB, long INTEGER, alarm INTEGER, PRIMARY KEY (partition, head, key)) WITHOUT ROWID, STRICT;
                 CREATE INDEX IF NOT EXISTS {space}_alarms ON {rows} (alarm) WHERE alarm IS NOT NULL;
                 CREATE TABLE IF NOT EXISTS {space}_long (id INTEGER PRIMARY KEY, content BLOB NOT NULL) STRICT;
                 CREATE TRIGGER IF NOT EXISTS {space}_gone AFTER DELETE ON {rows} WHEN old.long IS NOT NULL \
                 BEGIN DELETE FROM {space}_long WHERE id = old.long; END;"
            ),
            found: (0..=MAX_KEYS).map(|keys| found_by(&rows, &value, keys)).collect(),
            insert_head: format!(
                "INSERT INTO {rows} (partition, head, key, value, alarm) VALUES (?1, 1, x'', ?2, ?3)"
            ),
            update_head: format!("UPDATE {rows} SET value = ?2, alarm = ?3 WHERE {HEAD}"),
            update_mark: format!("UPDATE {rows} SET value = ?2 WHERE {HEAD}"),
            delete_head: format!("DELETE FROM {rows} WHERE {HEAD}"),
            due: format!("SELECT partition FROM {rows} WHERE alarm <= ?1 ORDER BY alarm LIMIT ?2"),
            heads: format!("SELECT value, alarm, partition FROM {rows} WHERE head = 1"),
            all_rows: format!("SELECT partition, key, {value} FROM {rows} WHERE head = 0"),
            remains: format!(
                "SELECT content FROM {space}_long \
                 WHERE id NOT IN (SELECT long FROM {rows} WHERE long IS NOT NULL)"
            ),
            rows_from: format!("SELECT key, {value} FROM {rows} WHERE {ROWS} AND key >= ?2 ORDER BY key LIMIT ?3"),
            rows_between: format!(
                "SELECT key, {value} FROM {rows} WHERE {ROWS} AND key >= ?2 AND key < ?4 ORDER BY key LIMIT ?3"
            ),
            has_rows: format!("SELECT 1 FROM {rows} WHERE {ROWS} LIMIT 1"),
            has_row: format!("SELECT 1 FROM {rows} WHERE {ROWS} AND key = ?2"),
            put_short: format!(
                "INSERT INTO {rows} (partition, head, key, value) VALUES (?1, 0, ?2, ?3) \
                 ON CONFLICT DO UPDATE SET value = excluded.value WHERE long IS NULL"
            ),
            replace_row: format!(
                "INSERT OR REPLACE INTO {rows} (partition, head, key, value, long) VALUES (?1, 0, ?2, ?3, ?4)"
            ),
            put_long: format!("INSERT INTO {space}_long (id, content) VALUES (random(), ?1)"),
            delete_row: format!("DELETE FROM {rows} WHERE {ROWS} AND key = ?2"),
            delete_below: format!("DELETE FROM {rows} WHERE {ROWS} AND key < ?2"),
            delete_rows: format!("DELETE FROM {rows} WHERE {ROWS}"),
        }
    }
}

impl Head {
    /// Its mark, and its next number in eight bytes, big-endian; the alarm has a column, by which it is found.
    fn value(&self) -> Vec<u8> {
        [self.mark.0.as_slice(), &self.next.to_be_bytes()].concat()
    }

    fn of_value(value: &[u8], alarm: Option<i64>) -> Option<Self> {
        let (mark, next) = value.split_first_chunk()?;
        let next = next.try_into().ok()?;
        Some(Self { mark: Mark(*mark), next: u64::from_be_bytes(next), alarm: alarm.map(time) })
    }
}

/// The statement that finds a partition's head and so many of its rows: a column for each, empty where there is none.
fn found_by(rows: &str, value: &str, keys: usize) -> String {
    // A row whose value is gone has a number there, which no value is: the database is damaged.
    let row = |place| format!(", (SELECT ifnull({value}, 0) FROM {rows} WHERE {ROWS} AND key = ?{place})");
    let found: String = (0..keys).map(|number| row(number.saturating_add(2))).collect();
    format!("SELECT value, alarm{found} FROM {rows} WHERE {HEAD}")
}

fn found(row: &Row<'_>, keys: &[&RowKey]) -> Result<(Head, Rows), Failure> {
    let mut rows = Rows::with_capacity(keys.len());
    for (column, key) in (2..).zip(keys) {
        if row.get_ref(column)? != ValueRef::Null {
            rows.push(((*key).clone(), blob(row, column)?));
        }
    }
    Ok((head(row)?, rows))
}

fn head(row: &Row<'_>) -> Result<Head, Failure> {
    Head::of_value(row.get_ref(0)?.as_blob()?, row.get(1)?).ok_or(Failure::DAMAGED)
}

fn blob(row: &Row<'_>, column: usize) -> Result<Bytes, Failure> {
    Ok(Bytes::copy_from_slice(row.get_ref(column)?.as_blob()?))
}

/// SQLite counts with a sign: the first instant becomes the smallest number, the last the largest.
const fn ordered(time: Timestamp) -> i64 {
    (time.0 ^ SIGN).cast_signed()
}

const fn time(ordered: i64) -> Timestamp {
    Timestamp(ordered.cast_unsigned() ^ SIGN)
}

/// Which row is a partition's head: behind all others, since there most is changed, and read.
const HEAD: &str = "partition = ?1 AND head = 1 AND key = x''";
/// Which rows are a partition's own.
const ROWS: &str = "partition = ?1 AND head = 0";
/// Rows that one statement finds: those of a queue that a message reaches.
const MAX_KEYS: usize = 4;
/// Longest value that stands in its row: with its keys it still fits into a leaf of the table, which takes a quarter of a
/// page of one row (1,002 bytes of 4 KiB).
const LONGEST_SHORT: usize = 896;
const SIGN: u64 = 1 << 63;
