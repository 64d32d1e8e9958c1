//! The operator's commands about registration, beside a server that runs on the same database.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{path::Path, process::Command};

use phoenix_core::api::auth::InvitationCode;
use phoenix_homeserver::Homeserver;
use phoenix_http::HttpTransport;
use phoenix_sqlite::SqliteStore;

#[tokio::test]
async fn registration_is_closed_and_opened_from_another_process() {
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path().join("phoenix.db");
    let home = Homeserver::builder("alpha.test".parse().unwrap())
        .store(SqliteStore::open(&db).unwrap())
        .transport(HttpTransport::new().unwrap())
        .build()
        .await
        .unwrap();
    let is_closed = || async { home.admin().registration_is_closed().await.unwrap() };

    assert_eq!(registration(&db, "show"), Ok("registration is open for whom the policy lets in\n".into()));
    assert_eq!(registration(&db, "close"), Ok("registration is closed\n".into()));
    assert!(is_closed().await);
    assert_eq!(registration(&db, "show"), Ok("registration is closed\n".into()));
    assert_eq!(registration(&db, "open"), Ok("registration is open for whom the policy lets in\n".into()));
    assert!(!is_closed().await);
    let code = registration(&db, "invite").unwrap();
    assert!(code.trim().parse::<InvitationCode>().is_ok(), "{code}");
}

#[test]
fn a_database_that_is_not_there_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path().join("phoenix.db");

    let said = registration(&db, "close").unwrap_err();

    assert!(said.contains("there is no such database"), "{said}");
    assert!(!db.exists());
}

/// What the command says: on success, or where it fails.
fn registration(db: &Path, command: &str) -> Result<String, String> {
    let output = Command::new(env!("CARGO_BIN_EXE_phoenix-server"))
        .args(["registration", command, "--db"])
        .arg(db)
        .env_remove("RUST_LOG")
        .output()
        .unwrap();
    let said = |bytes| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(said(output.stdout)) } else { Err(said(output.stderr)) }
}
