//! The SQLite store takes the exam of the Store port.
#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

use std::sync::{Arc, Mutex};

use phoenix_conformance::store::Candidate;
use phoenix_core::port::Store;
use phoenix_sqlite::SqliteStore;
use tempfile::TempDir;

phoenix_conformance::store_exam!(fresh);

fn fresh() -> Sqlite {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("db")).unwrap();
    Sqlite { store, folder, copies: Mutex::default() }
}

struct Sqlite {
    store: SqliteStore,
    folder: TempDir,
    copies: Mutex<Vec<TempDir>>,
}

#[async_trait::async_trait]
impl Candidate for Sqlite {
    fn store(&self) -> Arc<dyn Store> {
        Arc::new(self.store.clone())
    }

    /// Opens a copy of the files as they are at this instant, which is what a kill would leave.
    async fn revived(&self) -> Option<Arc<dyn Store>> {
        let copy = tempfile::tempdir().unwrap();
        for file in ["db-wal", "db"] {
            std::fs::copy(self.folder.path().join(file), copy.path().join(file)).unwrap();
        }
        let store = SqliteStore::open(copy.path().join("db")).unwrap();
        self.copies.lock().unwrap().push(copy);
        Some(Arc::new(store))
    }

    /// A second value on the same file, as a second process would have.
    async fn replica(&self) -> Option<Arc<dyn Store>> {
        Some(Arc::new(SqliteStore::open(self.folder.path().join("db")).unwrap()))
    }
}
