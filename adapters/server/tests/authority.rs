//! The operator's commands about what signs for the domain and about the operator's key, as they are run.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::{
    fs::Permissions,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Command, Output},
};

use bytes::Bytes;
use phoenix_core::port::{PartitionKey, Place, Space, Store, Wanted};
use phoenix_sqlite::SqliteStore;
use tempfile::TempDir;

#[test]
fn a_homeserver_is_made_with_a_root_and_rotated_revoked_and_given_a_new_root() {
    let world = World::new();

    let made = world.run("init --domain alpha.test --root-key-out root --suite p256").unwrap();
    assert!(made.contains("the homeserver of alpha.test is made"), "{made}");
    let first = world.listing("authority show");
    assert_eq!(first.kinds(), ["root", "signs"]);
    assert!(first.0.contains("p256"));

    let rotated = world.listing("authority rotate --root-key root --suite ed25519");
    assert_eq!(rotated.kinds(), ["root", "intermediate", "signs"]);
    let old = rotated.name(1);
    assert_eq!(old, first.name(1), "the one before stays");

    let revoked = world.listing(&format!("authority revoke --root-key root {old}"));
    assert_eq!(revoked.kinds(), ["revoked", "root", "signs"]);
    assert_eq!(revoked.name(0), old);

    let renewed = world.listing("authority new-root --root-key-out root-2");
    assert_eq!(renewed.kinds(), ["revoked", "root", "root", "intermediate", "signs"]);
    let last = world.listing(&format!("authority revoke --root-key root-2 {}", renewed.name(1)));
    assert_eq!(last.kinds(), ["revoked", "root", "signs"], "what a revoked root had signed goes with it");
    assert_eq!(world.listing("authority renew --root-key root-2").kinds(), last.kinds());
    let refused = world.run("authority rotate --root-key root").unwrap_err();
    assert_eq!(refused, "phoenix-server: the root is not one of this domain's\n");
}

#[test]
fn what_cannot_be_done_is_said_in_a_sentence_and_changes_nothing() {
    let world = World::new();
    let nothing = world.run("authority show").unwrap_err();
    assert!(nothing.ends_with("there is no such database\n"), "{nothing}");
    world.run("init --domain alpha.test --root-key-out root").unwrap();
    let before = world.listing("authority show").0;
    let text = world.folder.path().join("text");
    std::fs::write(&text, "no key").unwrap();
    std::fs::set_permissions(&text, Permissions::from_mode(0o600)).unwrap();

    for (line, said) in [
        ("init --domain alpha.test --root-key-out other", "there is a homeserver in it already\n"),
        ("init --domain alpha --root-key-out other --db other.db", "this is not a domain\n"),
        ("init --domain beta.test --root-key-out root --db other.db", "there is a file already\n"),
        (
            "authority rotate --root-key text",
            "text: this is no root key: its line phoenix-root-key is not right\n",
        ),
        ("authority rotate --root-key none", "none: there is no such file\n"),
        ("authority revoke --root-key root abc", "abc: a fingerprint has 64 hexadecimal digits\n"),
        (
            "authority show --operator-key-file other-key",
            "phoenix-server: the operator key is not the one that this store's secrets are sealed under\n",
        ),
        ("authority new-root --root-key root", "the root is published already\n"),
        ("authority new-root --root-key-out root", "root: there is a file already\n"),
        (
            "init --domain beta.test --root-key root --db other.db",
            "the root of another domain than beta.test\n",
        ),
        ("init --domain alpha.test --root-key-out no/root --db other.db", "the folder does not exist\n"),
        ("root make --domain alpha.test --out root", "root: there is a file already\n"),
    ] {
        let refused = world.run(line).unwrap_err();
        assert!(refused.ends_with(said) && refused.lines().count() == 1, "{line}: {refused}");
    }
    assert_eq!(world.listing("authority show").0, before);
    let exists = |name: &str| world.folder.path().join(name).exists();
    assert!(!exists("other") && !exists("other.db"));
}

#[test]
fn a_root_that_was_made_elsewhere_makes_a_homeserver_and_takes_it_over() {
    let (elsewhere, world) = (World::new(), World::new());
    let made = ["first", "second"].map(|name| {
        let said =
            elsewhere.run(&format!("root make --domain alpha.test --out {name} --suite p256")).unwrap();
        let [from, to] = [&elsewhere, &world].map(|world| world.folder.path().join(name));
        std::fs::copy(from, to).unwrap();
        said.split_whitespace().last().unwrap().to_owned()
    });

    let said = world.run("init --domain alpha.test --root-key first").unwrap();
    assert!(said.contains(&made[0]), "{said}");
    let listed = world.listing("authority new-root --root-key second");

    assert_eq!(listed.kinds(), ["root", "root", "intermediate", "signs"]);
    assert_eq!([listed.name(0), listed.name(1)], [&made[0], &made[1]]);
    let text = std::fs::read_to_string(world.folder.path().join("second")).unwrap();
    assert!(text.contains(&format!("fingerprint {}\n", made[1])));
}

#[test]
fn what_was_sealed_under_the_former_key_is_nowhere_in_the_files_though_a_server_has_them_open() {
    let world = World::new();
    world.run("init --domain alpha.test --root-key-out root").unwrap();
    let store = SqliteStore::open(world.folder.path().join("phoenix.db")).unwrap();
    let place = Place {
        partition: PartitionKey::new(Space::Peers, Bytes::from_static(&[1])),
        wanted: Wanted::first(16),
    };
    let rows = futures::executor::block_on(store.read(&[place])).unwrap().remove(0).rows;
    let (_, former) = rows.into_iter().find(|(name, _)| name.starts_with(b"root")).unwrap();
    let is_found = || {
        ["phoenix.db", "phoenix.db-wal"].into_iter().any(|name| {
            let file = std::fs::read(world.folder.path().join(name)).unwrap_or_default();
            file.windows(former.len()).any(|part| part == former)
        })
    };
    assert!(is_found());

    world.run("operator-key change --new other-key").unwrap();

    assert!(!is_found());
}

#[test]
fn secrets_that_lay_open_are_to_be_treated_as_known_and_then_want_their_key() {
    let world = World::new();
    let open = |line: &str| said(world.command(line).output().unwrap());
    open("init --domain alpha.test --root-key-out root").unwrap();
    assert!(world.run("authority show").unwrap_err().contains("secrets lie open"));

    let changed = open("operator-key change --new key").unwrap();

    assert!(changed.contains("treat them as known"), "{changed}");
    let none = open("authority show").unwrap_err();
    assert!(none.ends_with("are sealed under an operator key, which was not given\n"), "{none}");
    world.run("authority show").unwrap();
}

#[test]
fn a_secret_that_others_may_read_is_told_of_and_taken() {
    let world = World::new();
    world.run("init --domain alpha.test --root-key-out root").unwrap();
    let key = world.folder.path().join("key");
    std::fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();

    let output = world.command("authority show --operator-key-file key").output().unwrap();

    assert!(output.status.success());
    let warned = String::from_utf8(output.stderr).unwrap();
    assert_eq!(warned, "phoenix-server: warning: key: others than its owner may use this file\n");
}

#[test]
fn the_operator_key_may_be_in_the_environment_and_may_be_changed() {
    let world = World::new();
    world.run("init --domain alpha.test --root-key-out root").unwrap();

    let from_environment = world.with_environment("authority show", &"07".repeat(32));
    assert!(from_environment.is_ok(), "{from_environment:?}");
    assert!(world.with_environment("authority show", "07").unwrap_err().contains("64 hexadecimal digits"));
    assert!(world.with_environment("authority show", &"08".repeat(32)).is_err());

    world.run("operator-key change --new other-key").unwrap();

    assert!(world.with_environment("authority show", &"08".repeat(32)).is_ok());
    assert!(world.run("authority show").unwrap_err().contains("is not the one"));
}

/// A folder with an operator's key, in which commands are run.
struct World {
    folder: TempDir,
}

/// What `authority` lists.
struct Listing(String);

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("key"), [7; 32]).unwrap();
        std::fs::write(folder.path().join("other-key"), "08".repeat(32)).unwrap();
        for name in ["key", "other-key"] {
            std::fs::set_permissions(folder.path().join(name), Permissions::from_mode(0o600)).unwrap();
        }
        Self { folder }
    }

    /// What a command says: on success, or where it fails.
    fn run(&self, line: &str) -> Result<String, String> {
        let needs_none = line.starts_with("root ") || line.contains("--operator-key-file");
        let key = if needs_none { "" } else { " --operator-key-file key" };
        said(self.command(&format!("{line}{key}")).output().unwrap())
    }

    fn with_environment(&self, line: &str, key: &str) -> Result<String, String> {
        said(self.command(line).env("PHOENIX_OPERATOR_KEY", key).output().unwrap())
    }

    fn listing(&self, line: &str) -> Listing {
        Listing(self.run(line).unwrap())
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(PathBuf::from(env!("CARGO_BIN_EXE_phoenix-server")));
        command.args(line.split_whitespace()).current_dir(&self.folder).env_remove("RUST_LOG");
        command.env_remove("PHOENIX_OPERATOR_KEY");
        command
    }
}

impl Listing {
    /// Of each line after those of the domain and the statement.
    fn kinds(&self) -> Vec<&str> {
        self.rows().map(|row| row[0]).collect()
    }

    fn name(&self, row: usize) -> &str {
        self.rows().nth(row).unwrap()[1]
    }

    fn rows(&self) -> impl Iterator<Item = Vec<&str>> {
        self.0.lines().skip(2).map(|line| line.split_whitespace().collect())
    }
}

fn said(output: Output) -> Result<String, String> {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}
