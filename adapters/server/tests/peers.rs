//! The operator's federation policy, on a running server and beside it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};

const NOBODY: &str = "all others: allowed\n";

#[test]
fn an_operator_changes_the_policy_of_a_running_server_which_keeps_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path());
    let live = |line: &str| peers(folder.path(), &format!("--admin-socket admin.sock {line}"));

    // when rules are set over the socket
    assert_eq!(live("show"), Ok(NOBODY.to_owned()));
    live("block --drop *.spam.test spam.test").unwrap();
    live("allow beta.test --tokens 7").unwrap();
    live("pause gamma.test").unwrap();
    live("remove spam.test").unwrap();
    let said = live("mode allow-list").unwrap();

    // then it says so, in words and as JSON, and what cannot be is refused with its reason
    let rules = "beta.test: allowed, 7 tokens a day\ngamma.test: paused\n*.spam.test: blocked, what waits is dropped\n";
    assert_eq!(said, format!("{rules}all others: blocked, what waits is held\n"));
    let shown: Value = serde_json::from_str(&live("show --json").unwrap()).unwrap();
    assert_eq!(shown["mode"], "allow-list");
    assert_eq!(shown["rules"][0], json!({ "pattern": "beta.test", "standing": "allowed", "tokens": 7 }));
    let refused = live("block alpha.test").unwrap_err();
    assert!(refused.contains("no rule is needed for the homeserver itself"), "{refused}");
    // and it is the same without the server, which removes its socket
    server.end();
    assert!(!folder.path().join("admin.sock").exists());
    assert_eq!(peers(folder.path(), "show"), Ok(said));
    assert!(live("show").unwrap_err().contains("no server answers there"));
    peers(folder.path(), "remove beta.test gamma.test *.spam.test").unwrap();
    assert_eq!(peers(folder.path(), "mode open"), Ok(NOBODY.to_owned()));
}

#[test]
fn an_operator_is_told_what_waits_for_whom() {
    let folder = tempfile::tempdir().unwrap();
    let _server = Server::start(folder.path());
    let live = |line: &str| peers(folder.path(), &format!("--admin-socket admin.sock {line}"));

    assert_eq!(live("waiting"), Ok("nothing is waiting\n".to_owned()));
    assert_eq!(live("waiting beta.test"), Ok("beta.test: 0 waiting\n".to_owned()));
    live("block beta.test").unwrap();
    let shown: Value = serde_json::from_str(&live("waiting beta.test --json").unwrap()).unwrap();

    let none = json!({ "domain": "beta.test", "waiting": 0, "set_aside": 0, "given_up": 0, "more": false, "attempts": 0, "held": true });
    assert_eq!(shown, json!([none]));
    assert!(live("waiting nowhere").is_err());
}

#[test]
fn t20_who_says_nothing_or_nonsense_on_the_admin_socket_keeps_nobody_else_from_it() {
    let folder = tempfile::tempdir().unwrap();
    let _server = Server::start(folder.path());
    let path = folder.path().join("admin.sock");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

    // given some that say nothing, one that never ends its line, and one that says what is no order
    let _silent: Vec<_> = (0..8).map(|_| UnixStream::connect(&path).unwrap()).collect();
    let mut endless = UnixStream::connect(&path).unwrap();
    let _ = endless.write_all(&[b'x'; 8 << 10]);
    let mut wrong = UnixStream::connect(&path).unwrap();
    wrong.write_all(b"{\"do\":\"explode\"}\n{\"do\":\"show\"}\n").unwrap();

    let mut answers = BufReader::new(wrong).lines();
    let answer = answers.next().unwrap().unwrap();
    assert!(answer.starts_with("{\"error\":\"this is no order"), "{answer}");
    assert!(answers.next().unwrap().unwrap().starts_with("{\"policy\":"), "it goes on behind a wrong order");
    let cut_off = BufReader::new(endless).lines().next();
    assert!(cut_off.is_none_or(|line| line.is_err()), "nothing is answered to who sends too much");
    assert_eq!(peers(folder.path(), "--admin-socket admin.sock show"), Ok(NOBODY.to_owned()));
}

#[test]
fn a_socket_that_nobody_listens_at_is_replaced_and_anything_else_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let _server = Server::start(folder.path());
    assert_eq!(peers(folder.path(), "--admin-socket admin.sock show"), Ok(NOBODY.to_owned()));

    let second = serve(folder.path(), "admin.sock").output().unwrap();
    fs::write(folder.path().join("letter"), "dear").unwrap();
    let letter = serve(folder.path(), "letter").output().unwrap();

    assert!(String::from_utf8(second.stderr).unwrap().contains("another server listens there already"));
    assert!(String::from_utf8(letter.stderr).unwrap().contains("something else than a socket"));
    assert_eq!(fs::read_to_string(folder.path().join("letter")).unwrap(), "dear");
    assert_eq!(peers(folder.path(), "--admin-socket admin.sock show"), Ok(NOBODY.to_owned()));
}

/// The binary, serving from a folder.
struct Server(Child);

impl Server {
    fn start(folder: &Path) -> Self {
        let key = rcgen::generate_simple_self_signed(["alpha.test".to_owned()]).unwrap();
        fs::write(folder.join("chain.pem"), key.cert.pem()).unwrap();
        fs::write(folder.join("key.pem"), key.signing_key.serialize_pem()).unwrap();
        let server = Self(serve(folder, "admin.sock").stderr(Stdio::null()).spawn().unwrap());
        let answers = || peers(folder, "--admin-socket admin.sock show").is_ok();
        let started = std::iter::repeat_with(answers).take(300).any(|answers| {
            std::thread::sleep(Duration::from_millis(if answers { 0 } else { 100 }));
            answers
        });
        assert!(started);
        server
    }

    /// Asks it to end, and waits until it has.
    fn end(&mut self) {
        Command::new("kill").arg(self.0.id().to_string()).status().unwrap();
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn serve(folder: &Path, socket: &str) -> Command {
    let line = "serve --domain alpha.test --listen 127.0.0.1:0 --tls-cert chain.pem --tls-key key.pem";
    let mut command = Command::new(env!("CARGO_BIN_EXE_phoenix-server"));
    command.current_dir(folder).args(line.split(' ')).args(["--admin-socket", socket]);
    command
}

/// What the command says: on success, or where it fails.
fn peers(folder: &Path, line: &str) -> Result<String, String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_phoenix-server"));
    let command = command.current_dir(folder).arg("peers").args(line.split(' ')).env_remove("RUST_LOG");
    let output = command.output().unwrap();
    let said = |bytes| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(said(output.stdout)) } else { Err(said(output.stderr)) }
}
