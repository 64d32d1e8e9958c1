//! The files of a SQLite database, page by page.

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;

use super::DiskError;

/// The bytes of a database in use, as of one moment, and a copy of them that SQLite can open.
pub(super) struct Image {
    database: Vec<u8>,
    log: Vec<u8>,
    index: Vec<u8>,
    folder: TempDir,
}

/// Which table each page belongs to.
pub(super) struct Owners(HashMap<u32, String>);

impl Owners {
    /// The table that a page belongs to.
    pub(super) fn of(&self, page: u32) -> String {
        self.0.get(&page).cloned().unwrap_or_else(|| "free pages".to_owned())
    }
}

impl Image {
    /// Copies the files while the database is in use.
    pub(super) fn take(database: &Path) -> Result<Self, DiskError> {
        let [log, index] = ["-wal", "-shm"].map(|suffix| beside(database, suffix));
        let mut image = Self {
            database: fs::read(database)?,
            log: read_if_there(&log)?,
            index: read_if_there(&index)?,
            folder: tempfile::tempdir()?,
        };
        // A checkpoint may have moved pages meanwhile: only what did not change is of one moment.
        for _ in 0..TRIES {
            let again = (fs::read(database)?, read_if_there(&log)?);
            if again == (std::mem::take(&mut image.database), std::mem::take(&mut image.log)) {
                (image.database, image.log) = again;
                break;
            }
            (image.database, image.log) = again;
        }
        Ok(image)
    }

    /// The pages of the database itself, by their numbers.
    pub(super) fn pages(&self) -> impl Iterator<Item = (u32, &[u8])> {
        (1..).zip(self.database.chunks(self.page_size()))
    }

    /// The pages in the log, also those of former rounds that were not written over yet.
    pub(super) fn frames(&self) -> impl Iterator<Item = (u32, &[u8])> {
        let frames = self
            .log
            .get(LOG_HEADER..)
            .unwrap_or_default()
            .chunks(FRAME_HEADER.saturating_add(self.page_size()));
        frames.filter_map(|frame| {
            let (number, _) = frame.split_first_chunk::<4>()?;
            Some((u32::from_be_bytes(*number), frame.get(FRAME_HEADER..)?))
        })
    }

    /// The file beside the log that says where in it pages are.
    pub(super) fn index(&self) -> &[u8] {
        &self.index
    }

    /// Which table each page belongs to now.
    pub(super) fn owners(&self) -> Result<Owners, DiskError> {
        owners(&self.open("now", &self.log)?)
    }

    /// Which table each page belonged to before what the log holds; none where a part of that is in the database
    /// already, so that it makes no sense without.
    pub(super) fn owners_before(&self) -> Option<Owners> {
        self.open("before", &[]).and_then(|connection| owners(&connection)).ok()
    }

    /// How many rows each table has.
    pub(super) fn records(&self) -> Result<BTreeMap<String, u64>, DiskError> {
        let connection = self.open("count", &self.log)?;
        let mut counts = BTreeMap::new();
        for table in tables(&connection)? {
            let count: i64 =
                connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))?;
            counts.insert(table, count.unsigned_abs());
        }
        Ok(counts)
    }

    /// Shows every key and value of every table.
    pub(super) fn rows(&self, mut show: impl FnMut(&str, &[u8])) -> Result<(), DiskError> {
        let connection = self.open("rows", &self.log)?;
        for table in tables(&connection)? {
            let mut statement = connection.prepare(&format!("SELECT * FROM {table}"))?;
            let columns = statement.column_count();
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                for column in 0..columns {
                    if let Ok(value) = row.get_ref(column)?.as_bytes() {
                        show(&table, value);
                    }
                }
            }
        }
        Ok(())
    }

    fn open(&self, name: &str, log: &[u8]) -> Result<Connection, DiskError> {
        let copy = self.folder.path().join(name);
        fs::write(&copy, &self.database)?;
        fs::write(beside(&copy, "-wal"), log)?;
        Ok(Connection::open_with_flags(&copy, OpenFlags::SQLITE_OPEN_READ_WRITE)?)
    }

    /// Offset 16 of the file: two bytes, big-endian, where 1 stands for 65,536.
    fn page_size(&self) -> usize {
        let size = self.database.get(16..).and_then(|rest| rest.first_chunk::<2>());
        match size.map(|size| u16::from_be_bytes(*size)) {
            Some(1) => 65_536,
            Some(size) if size >= 512 => usize::from(size),
            _ => 4_096,
        }
    }
}

fn owners(connection: &Connection) -> Result<Owners, DiskError> {
    let indices = indices(connection)?;
    let mut statement = connection.prepare("SELECT pageno, name FROM dbstat")?;
    let pages = statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))?;
    let mut owners = HashMap::new();
    for page in pages {
        let (number, name) = page?;
        owners.insert(number, indices.get(&name).cloned().unwrap_or(name));
    }
    Ok(Owners(owners))
}

/// The tables of indices.
fn indices(connection: &Connection) -> Result<HashMap<String, String>, DiskError> {
    let mut statement =
        connection.prepare("SELECT name, tbl_name FROM sqlite_schema WHERE type = 'index'")?;
    let indices = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(indices.collect::<Result<_, _>>()?)
}

fn tables(connection: &Connection) -> Result<Vec<String>, DiskError> {
    let mut statement =
        connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")?;
    let names = statement.query_map([], |row| row.get(0))?;
    Ok(names.collect::<Result<_, _>>()?)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn read_if_there(path: &Path) -> Result<Vec<u8>, DiskError> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        other => Ok(other?),
    }
}

/// The log's own header (SQLite, "WAL File Format").
const LOG_HEADER: usize = 32;
/// The header of each page in the log; its first four bytes are the page's number.
const FRAME_HEADER: usize = 24;
/// How often the files are read until they keep still.
const TRIES: usize = 20;
