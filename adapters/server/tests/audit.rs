//! The command `audit`, as it is run.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::{
    path::PathBuf,
    process::{Command, Output},
};

use futures::executor::block_on;
use phoenix_core::{
    crypto::sha256,
    port::{Alarm, Base, Batch, Commit, Mark, Part, PartitionKey, Space, Store, Write},
};
use phoenix_sqlite::SqliteStore;
use serde_json::Value;
use tempfile::TempDir;

#[test]
fn a_database_in_which_nothing_is_joined_is_clean_and_a_link_ends_in_a_failure() {
    let world = World::new();
    world.put(Space::As, &[&[1], ID.as_slice()].concat(), b"of the AS");
    world.put(Space::Qs, &[2; 17], b"a queue");

    let (code, said) = world.audit("--wordlist words");
    assert_eq!(code, 0, "{said}");
    assert_eq!(
        said,
        "2 partitions, 2 rows, 88 bytes\nuser ids where they may be (As), 1 times\nnothing was found that must not be\n"
    );

    world.put(Space::Qs, &[3; 17], &[b"owned by ".as_slice(), &ID].concat());
    let (code, said) = world.audit("--wordlist words");
    assert_eq!(code, 1);
    let found: Vec<&str> = said.lines().filter(|line| line.starts_with("found: ")).collect();
    assert_eq!(
        found,
        [
            "found: user ids in QS 3: row \"row\"",
            "found: the same 16 bytes in AS 1: the partition's key and in QS 3: row \"row\"",
        ]
    );
}

#[test]
fn a_program_reads_the_findings_in_an_object() {
    let world = World::new();
    for space in [Space::As, Space::Ds] {
        world.put(space, &[2; 17], b"known to both: 0123456789abcdef");
    }

    let (code, said) = world.audit("--json");

    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(code, 1);
    assert_eq!((&said["partitions"], &said["rows"]), (&2.into(), &2.into()));
    let finding = &said["findings"].as_array().unwrap()[0];
    assert_eq!(
        (&finding["clause"], &finding["link"], &finding["bytes"]),
        (&2.into(), &"same bytes".into(), &31.into())
    );
    assert_eq!((&finding["in"]["space"], &finding["and"]["space"]), (&"as".into(), &"ds".into()));
    assert_eq!(finding["in"]["row"], "row");
}

#[test]
fn what_cannot_be_examined_is_said_in_a_sentence() {
    let world = World::new();
    std::fs::write(world.folder.path().join("text.db"), "no database").unwrap();
    std::fs::write(world.folder.path().join("broken"), "# words\ncolour green\n").unwrap();

    for (options, sentence) in [
        ("--db nowhere.db", "nowhere.db: there is no such database\n"),
        ("--db text.db", "text.db: the file is not a database, or is damaged\n"),
        ("--wordlist nothing", "nothing: there is no such file\n"),
        ("--wordlist broken", "line 2: the kind is none of"),
    ] {
        let output = world.run(options);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(sentence), "{options}: {said}");
    }
    assert!(!world.folder.path().join("nowhere.db").exists(), "an audit makes nothing");
}

struct World {
    folder: TempDir,
    store: SqliteStore,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let words = "user 8e01a3f4-1122-4334-8556-778899aabbcc\ntext see you at eight\n";
        std::fs::write(folder.path().join("words"), words).unwrap();
        let store = SqliteStore::open(folder.path().join("phoenix.db")).unwrap();
        Self { folder, store }
    }

    fn put(&self, space: Space, key: &[u8], value: &[u8]) {
        let partition = PartitionKey::new(space, key.to_vec().into());
        let mark = Mark(sha256(&[&[space as u8], key].concat())[..16].try_into().unwrap());
        let writes = vec![Write::Put("row".into(), value.to_vec().into())];
        let part = Part { partition, base: Base::Any, mark, writes, alarm: Alarm::Keep };
        assert_eq!(block_on(self.store.commit(&Batch { parts: vec![part] })), Ok(Commit::Done));
    }

    fn audit(&self, options: &str) -> (i32, String) {
        let output = self.run(options);
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    }

    fn run(&self, options: &str) -> Output {
        let mut command = Command::new(PathBuf::from(env!("CARGO_BIN_EXE_phoenix-server")));
        command
            .arg("audit")
            .args(options.split_whitespace())
            .current_dir(&self.folder)
            .env_remove("RUST_LOG");
        command.output().unwrap()
    }
}

const ID: [u8; 16] =
    [0x8e, 0x01, 0xa3, 0xf4, 0x11, 0x22, 0x43, 0x34, 0x85, 0x56, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc];
