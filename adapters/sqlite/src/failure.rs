//! What SQLite's errors mean to the caller of a store.

use phoenix_core::port::StoreError;
use rusqlite::ErrorCode;

/// A failed step, so that `?` turns SQLite's error into the port's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failure(pub(crate) StoreError);

impl Failure {
    /// What is stored has not the form in which it was written.
    pub(crate) const DAMAGED: Self = Self(StoreError::Corrupt);
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        if let rusqlite::Error::InvalidColumnType(..) | rusqlite::Error::FromSqlConversionFailure(..) = error
        {
            return Self::DAMAGED;
        }
        Self(match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => StoreError::Full,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Corrupt,
            Some(_) | None => StoreError::Unavailable,
        })
    }
}

impl From<rusqlite::types::FromSqlError> for Failure {
    fn from(_: rusqlite::types::FromSqlError) -> Self {
        Self::DAMAGED
    }
}
