//! `phoenix-server`: the reference homeserver, and a demo that plays a conversation over two of them.

mod demo;
mod serve;

use std::{io::Write, process::ExitCode};

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

/// A federated, end-to-end encrypted messaging homeserver.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves one domain.
    Serve(Box<serve::Options>),
    /// Plays a conversation between the users of two homeservers, and checks every step of it.
    Demo(demo::Options),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    log(&arguments.command);
    match run(arguments.command) {
        Ok(code) => code,
        Err(error) => {
            // Where nobody listens any more, the exit code still tells.
            let _ = writeln!(std::io::stderr(), "phoenix-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match command {
            Command::Serve(options) => serve::run(*options).await.map(|()| ExitCode::SUCCESS),
            Command::Demo(options) => demo::main(options).await,
        }
    })
}

/// Logs to standard error, as `RUST_LOG` says; a server says what happens to it where that says nothing, a demo keeps still.
fn log(command: &Command) {
    let default = match command {
        Command::Serve(_) => "info",
        Command::Demo(_) => "off",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}
