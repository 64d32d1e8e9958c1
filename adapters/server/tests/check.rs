//! `check`, `keys` and the server that they are about, as an operator runs them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod certifier;

use std::{
    fs::Permissions,
    net::{SocketAddr, TcpListener},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Output},
    thread::sleep,
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

use certifier::Certifier;

#[test]
fn two_servers_are_examined_from_nothing_to_a_transaction_and_keys_rotate_while_they_run() {
    // given two homeservers that serve
    let world = World::new();
    let [alpha, beta] = ["alpha.test", "beta.test"].map(|domain| (domain, free_port()));
    let _servers = [world.serve(alpha, beta), world.serve(beta, alpha)];
    let (alpha_at, beta_at) = (alpha.1, beta.1);
    let known = format!("--authority ca.pem --resolve alpha.test={alpha_at} --resolve beta.test={beta_at}");
    world.wait_for(&format!("check alpha.test {known}"));
    world.wait_for(&format!("check beta.test {known}"));

    // when beta's operator checks alpha in the name of beta, then every step passes, in both forms
    let greeting = format!("check alpha.test {known} --db beta.test.db --operator-key-file key");
    let (lines, code) = world.run(&greeting);
    assert_eq!(code, Some(0), "{lines}");
    assert!(lines.ends_with("alpha.test: nothing is wrong\n"), "{lines}");
    assert_eq!(lines.lines().filter(|line| line.starts_with("passed")).count(), 10, "{lines}");
    let (object, code) = world.run(&format!("{greeting} --json"));
    let object: Value = serde_json::from_str(&object).unwrap();
    assert_eq!((&object["ok"], code), (&Value::Bool(true), Some(0)), "{object}");
    assert_eq!(object["steps"][9]["step"], "transaction");
    assert_eq!(object["steps"][9]["outcome"], "passed");

    // and when alpha's keys rotate beside its server, then beta is still taken
    let (rotated, code) = world.run("keys --db alpha.test.db --operator-key-file key rotate");
    let signing = rotated.lines().filter(|line| line.starts_with("qs  signs")).count();
    assert_eq!((signing, code), (2, Some(0)), "{rotated}");
    assert_eq!(world.run(&greeting).1, Some(0));
}

#[test]
fn a_domain_that_nobody_serves_is_told_and_the_exit_code_is_1() {
    let world = World::new();
    let closed = free_port();

    let (lines, code) = world.run(&format!("check alpha.test --resolve alpha.test={closed}"));

    assert_eq!(code, Some(1), "{lines}");
    assert!(lines.starts_with("FAILED     addresses"), "{lines}");
    assert!(lines.contains("to do: see that the homeserver runs"), "{lines}");
    assert!(lines.ends_with("alpha.test: addresses failed; begin there\n"), "{lines}");
    let (object, code) = world.run(&format!("check alpha.test --json --resolve alpha.test={closed}"));
    let object: Value = serde_json::from_str(&object).unwrap();
    assert_eq!((&object["ok"], code), (&Value::Bool(false), Some(1)));
}

#[test]
fn keys_of_one_service_rotate_and_what_is_no_domain_is_refused() {
    let world = World::new();
    world.run("init --domain alpha.test --db alpha.db --root-key-out root --operator-key-file key");
    let keys = |line: &str| world.run(&format!("keys --db alpha.db --operator-key-file key {line}")).0;
    let before = keys("show");

    let after = keys("rotate --service ds");

    assert_eq!([before.lines().count(), after.lines().count()], [5, 7], "{after}");
    assert!(before.lines().all(|line| after.contains(line)), "what there was stays");
    let (said, code) = world.run("check localhost");
    assert_eq!((said.as_str(), code), ("phoenix-server: localhost: this is not a domain\n", Some(1)));
}

/// A folder with an operator's key and an authority, in which commands are run.
struct World {
    folder: TempDir,
    certifier: Certifier,
}

/// A server that ends with the test.
struct Serving(Child);

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("key"), [7; 32]).unwrap();
        std::fs::set_permissions(folder.path().join("key"), Permissions::from_mode(0o600)).unwrap();
        let certifier = Certifier::new();
        std::fs::write(folder.path().join("ca.pem"), certifier.authority.pem()).unwrap();
        Self { folder, certifier }
    }

    /// Serves a domain that finds another at its address.
    fn serve(&self, (domain, at): (&str, SocketAddr), (other, other_at): (&str, SocketAddr)) -> Serving {
        let (certificate, key) = self.certifier.certify(&[domain]);
        let path = |name: &str| self.folder.path().join(format!("{domain}.{name}"));
        std::fs::write(path("pem"), certificate).unwrap();
        std::fs::write(path("key"), key).unwrap();
        let line = format!(
            "serve --domain {domain} --listen {at} --db {domain}.db --tls-cert {domain}.pem --tls-key {domain}.key \
             --operator-key-file key --authority ca.pem --resolve {other}={other_at}"
        );
        Serving(self.command(&line).spawn().unwrap())
    }

    /// Runs a command until it succeeds.
    fn wait_for(&self, line: &str) {
        for _ in 0..100 {
            if self.run(line).1 == Some(0) {
                return;
            }
            sleep(Duration::from_millis(100));
        }
        let (said, _) = self.run(line);
        assert!(said.is_empty(), "it never succeeded: {said}");
    }

    /// What a command says, and its exit code.
    fn run(&self, line: &str) -> (String, Option<i32>) {
        let Output { status, stdout, stderr } = self.command(line).output().unwrap();
        let said = if stdout.is_empty() { stderr } else { stdout };
        (String::from_utf8(said).unwrap(), status.code())
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(Path::new(env!("CARGO_BIN_EXE_phoenix-server")));
        command.args(line.split_whitespace()).current_dir(&self.folder);
        command.env("RUST_LOG", "off").env_remove("PHOENIX_OPERATOR_KEY");
        command
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An address that nobody listens at.
fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
