//! S5 with real kills: a child process commits until it is killed with -9, a hundred times on one file.
#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use futures::executor::block_on;
use phoenix_conformance::store::{commit_until_killed, verify_after_kill};
use phoenix_sqlite::SqliteStore;

#[test]
fn s5_what_was_done_outlives_a_hundred_kills() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    for round in 0..100 {
        // given a process that was killed while it committed
        let told = told_until_killed(&path, round);

        // when its database is opened anew, then all that it was told to be done is there, and whole
        let store = SqliteStore::open(&path).unwrap();
        assert_eq!(block_on(verify_after_kill(Arc::new(store), told)), Ok(()), "kill {round}");
    }
}

/// Kills a child after some lines and some time, different in each round, and gives the last line it wrote.
fn told_until_killed(path: &Path, round: usize) -> u64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_child_that_commits_until_it_is_killed", "--nocapture"])
        .env(CHILD, path)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let mut told = lines.nth(round % 5);
    std::thread::sleep(Duration::from_micros(u64::try_from(round * 271 % 5_000).unwrap()));
    child.kill().unwrap();
    told = lines.last().or(told);
    child.wait().unwrap();
    told.unwrap().parse().unwrap()
}

/// Not a test by itself: what the test above starts. It writes to standard error, where nothing else is written.
#[test]
fn a_child_that_commits_until_it_is_killed() {
    let path: Option<OsString> = std::env::var_os(CHILD);
    let Some(path) = path else { return };
    let store = SqliteStore::open(path).unwrap();
    commit_until_killed(&store, std::io::stderr()).unwrap();
}

const CHILD: &str = "PHOENIX_TEST_KILLED_CHILD";
