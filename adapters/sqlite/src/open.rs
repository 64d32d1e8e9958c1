//! Opening the database file.

use std::io;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;

use phoenix_core::port::StoreError;
use rusqlite::{Connection, ErrorCode};

use crate::connect;

/// Why a database could not be opened, in a sentence that tells an operator what to look at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The path leads through a folder that is not there.
    #[error("{}: the folder does not exist", .0.display())]
    NoFolder(PathBuf),
    /// The file or its folder is read-only, or belongs to someone else.
    #[error("{}: the file or its folder may not be written", .0.display())]
    ReadOnly(PathBuf),
    /// No room is left.
    #[error("{}: the disk is full", .0.display())]
    Full(PathBuf),
    /// Someone holds the database for longer than a commit takes.
    #[error("{}: another program keeps the database locked", .0.display())]
    Locked(PathBuf),
    /// The file is something else, or damaged.
    #[error("{}: the file is not a database, or is damaged", .0.display())]
    NotADatabase(PathBuf),
    /// The file is a database, but not one that this version of this program made.
    #[error("{}: the database belongs to another program, or to another version of this one", .0.display())]
    Foreign(PathBuf),
    /// Something else, in the words of the system.
    #[error("{}: {reason}", path.display())]
    Other {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
}

impl OpenError {
    pub(crate) fn from_io(path: &Path, error: &io::Error) -> Self {
        let path = path.to_owned();
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Self::NoFolder(path),
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly(path),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full(path),
            _ => Self::Other { path, reason: error.to_string() },
        }
    }

    pub(crate) fn refused(path: &Path, refused: &connect::Refused) -> Self {
        match refused {
            connect::Refused::Foreign => Self::Foreign(path.to_owned()),
            connect::Refused::Sql(error) => Self::from_sql(path, error),
        }
    }

    pub(crate) fn from_store(path: &Path, error: StoreError) -> Self {
        match error {
            StoreError::Corrupt => Self::NotADatabase(path.to_owned()),
            StoreError::Full => Self::Full(path.to_owned()),
            StoreError::Unavailable | StoreError::Invalid => {
                Self::Other { path: path.to_owned(), reason: error.to_string() }
            }
        }
    }

    pub(crate) fn from_sql(path: &Path, error: &rusqlite::Error) -> Self {
        let path = path.to_owned();
        match error.sqlite_error_code() {
            Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
                Self::ReadOnly(path)
            }
            Some(ErrorCode::DiskFull) => Self::Full(path),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Locked(path),
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Self::NotADatabase(path),
            Some(_) | None => Self::Other { path, reason: error.to_string() },
        }
    }
}

/// What a test narrows.
#[derive(Clone, Copy, Default)]
pub(crate) struct Limits {
    /// Pages of 4 KiB that the file may have.
    pub(crate) pages: Option<u32>,
    /// Threads that the system gives before it refuses one.
    pub(crate) threads: Option<usize>,
}

/// One connection to write, and the others to read.
pub(crate) fn connections(path: &Path, limits: Limits) -> Result<(Connection, Vec<Connection>), OpenError> {
    let full = std::path::absolute(path).map_err(|error| OpenError::from_io(path, &error))?;
    create_private(&full).map_err(|error| OpenError::from_io(path, &error))?;
    let opened = || {
        let writer = connect::writer(&full)?;
        if let Some(pages) = limits.pages {
            writer.pragma_update(None, "max_page_count", pages)?;
        }
        let readers = (0..readers()).map(|_| connect::reader(&full)).collect::<Result<Vec<_>, _>>()?;
        Ok((writer, readers))
    };
    opened().map_err(|error| OpenError::refused(path, &error))
}

/// Creates the file for its owner alone; SQLite gives its log the same rights.
fn create_private(path: &Path) -> io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

/// A reader for each processor: more would only wait for one.
fn readers() -> usize {
    available_parallelism().map_or(FEWEST_READERS, NonZero::get).clamp(FEWEST_READERS, MOST_READERS)
}

/// One long range must not hold everyone else up.
const FEWEST_READERS: usize = 2;
/// Each has a cache of its own.
const MOST_READERS: usize = 8;
