//! A homeserver inside an axum program of your own: a store, a transport, a router, and `run()`.
//!
//! `cargo run --example embed_in_axum` serves on port 8080, where a proxy that speaks TLS for the domain is to stand
//! before it. With `--check` it serves on a free port, asks itself two things, and ends.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use anyhow::{Context, ensure};
use phoenix_homeserver::Homeserver;
use phoenix_http::HttpTransport;
use phoenix_sqlite::SqliteStore;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let is_check = std::env::args().any(|argument| argument == "--check");
    let folder = tempfile::tempdir()?;
    let database = if is_check { folder.path().join("phoenix.db") } else { "phoenix.db".into() };
    let listener = TcpListener::bind(if is_check { "127.0.0.1:0" } else { "[::]:8080" }).await?;

    let home = Homeserver::builder("chat.example.org".parse()?)
        .store(SqliteStore::open(database)?)
        .transport(HttpTransport::new()?)
        .build()
        .await?;
    let app = axum::Router::new()
        .route("/health", axum::routing::get(|| async { "ok" }))
        .merge(phoenix_http::router(home.clone()));
    tokio::spawn(home.clone().run());

    if !is_check {
        axum::serve(listener, app).await?;
        return Ok(());
    }
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, app).await });
    for (path, expected) in [("/health", "ok"), ("/.well-known/phoenix", "\"domain\":\"chat.example.org\"")] {
        let answer = ask(address, path).await.with_context(|| format!("asking for {path}"))?;
        ensure!(answer.contains(expected), "{path} answered {answer}");
        println!("{path}: {}", answer.lines().last().unwrap_or_default());
    }
    Ok(())
}

/// What the server answers, with its headers.
async fn ask(address: std::net::SocketAddr, path: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: chat.example.org\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    ensure!(answer.starts_with("HTTP/1.1 200"), "it answered {answer}");
    Ok(answer)
}
