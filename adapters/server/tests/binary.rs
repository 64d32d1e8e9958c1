//! The binary as a person or a script runs it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::{
    net::TcpListener,
    process::{Command, Output},
};

use serde_json::Value;

#[test]
fn a_demo_for_programs_prints_one_object_a_line_and_exits_with_0() {
    let output = server(&["demo", "--until", "3", "--json"]);

    let printed = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<Value> = printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let steps: Vec<Option<u64>> = lines.iter().map(|line| line["step"].as_u64()).collect();
    assert_eq!(steps, [Some(1), Some(2), Some(3)], "{printed}");
    for line in &lines {
        assert!(line["name"].is_string() && line["ok"] == true && line["took_ms"].is_number(), "{line}");
    }
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_demo_on_a_port_in_use_says_so_in_one_sentence_and_exits_with_1() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();

    let output = server(&["demo", "--until", "3", "--json", "--beta", &address]);

    let sentence = format!("phoenix-server: {address}: another program listens there already\n");
    assert_eq!(String::from_utf8(output.stderr).unwrap(), sentence);
    assert!(output.stdout.is_empty());
    assert_eq!(output.status.code(), Some(1));
}

fn server(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_phoenix-server"))
        .args(arguments)
        .env_remove("RUST_LOG")
        .output()
        .unwrap()
}
