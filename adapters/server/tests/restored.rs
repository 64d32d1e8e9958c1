//! `restored`, and the file that tells an older copy of a database.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::{
    path::Path,
    process::{Command, Output},
};

#[test]
fn a_restore_is_declared_once_for_each_copy_that_was_brought_back() {
    // given a database and a copy of it
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    run(folder.path(), "init --domain alpha.test --root-key-out root").unwrap();
    let copy = std::fs::read(path("phoenix.db")).unwrap();

    // when it is brought back and declared, twice
    let mut generations = Vec::new();
    for _ in 0..2 {
        std::fs::write(path("phoenix.db"), &copy).unwrap();
        for log in ["phoenix.db-wal", "phoenix.db-shm"] {
            let _ = std::fs::remove_file(path(log));
        }
        let said = run(folder.path(), "restored").unwrap();
        assert!(said.contains("must be deleted again"), "{said}");
        generations.push(said.lines().next().unwrap().to_owned());
    }

    // then each has a generation of its own, which the file knows
    assert_eq!(generations, ["generation 1", "generation 2"]);
    assert_eq!(std::fs::read_to_string(path("phoenix.db.generation")).unwrap(), "2.1\n");
}

#[test]
fn what_is_no_homeserver_or_no_such_file_is_refused_and_nothing_is_changed() {
    let folder = tempfile::tempdir().unwrap();
    let refused = run(folder.path(), "restored").unwrap_err();
    assert!(refused.ends_with("there is no such database\n"), "{refused}");
    run(folder.path(), "init --domain alpha.test --root-key-out root").unwrap();
    std::fs::write(folder.path().join("other"), "something").unwrap();

    let refused = run(folder.path(), "restored --generation-file other").unwrap_err();

    assert!(refused.contains("this is no file that `serve` wrote"), "{refused}");
    assert!(run(folder.path(), "restored").unwrap().starts_with("generation 1\n"));
}

fn run(folder: &Path, line: &str) -> Result<String, String> {
    let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_phoenix-server"))
        .args(line.split_whitespace())
        .current_dir(folder)
        .env_remove("RUST_LOG")
        .env_remove("PHOENIX_OPERATOR_KEY")
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    if status.success() { Ok(text(stdout)) } else { Err(text(stderr)) }
}
