//! `phoenix-server`: the reference homeserver, and a demo that plays a conversation over two of them.

mod admin;
mod audit;
mod check;
mod demo;
mod kept;
mod push;
mod registration;
mod reports;
mod serve;

use std::{io::Write, process::ExitCode};

use clap::{Parser, Subcommand};
use tracing_subscriber::{
    Layer,
    filter::{EnvFilter, FilterExt, filter_fn},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

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
    /// Makes a homeserver whose root key the operator keeps, before its first start.
    Init(admin::init::Options),
    /// Makes a root's key, also on another machine than the server's.
    Root(admin::root::Options),
    /// Shows and changes what signs for the domain, also while the server runs.
    Authority(admin::authority::Options),
    /// Shows the keys of the queuing and the delivery service, and rotates them before their time.
    Keys(admin::rotation::Options),
    /// Changes the key under which the homeserver's secrets are sealed.
    OperatorKey(admin::key::Options),
    /// Declares that the database is an older copy that was brought back, before the server starts on it.
    Restored(admin::restored::Options),
    /// Closes and opens registration, and invites.
    Registration(registration::Options),
    /// Examines whether one can federate with a domain, and says what to do where not.
    Check(Box<check::Options>),
    /// Searches a database, or a copy of one, for what no homeserver may keep.
    Audit(audit::Options),
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
            let _ = writeln!(std::io::stderr(), "phoenix-server: {}", told(&error));
            ExitCode::FAILURE
        }
    }
}

/// What went wrong and why, each cause once: many errors say their cause themselves.
fn told(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |said, cause| match said.as_str() {
        "" => cause,
        _ if said.ends_with(&cause) => said,
        _ => format!("{said}: {cause}"),
    })
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match command {
            Command::Serve(options) => serve::run(*options).await.map(|()| ExitCode::SUCCESS),
            Command::Init(options) => admin::init::run(options).await.map(done),
            Command::Root(options) => admin::root::run(options).map(done),
            Command::Authority(options) => admin::authority::run(options).await.map(done),
            Command::OperatorKey(options) => admin::key::run(options).await.map(done),
            Command::Restored(options) => admin::restored::run(options).await.map(done),
            Command::Registration(options) => registration::run(options).await.and_then(say),
            Command::Keys(options) => admin::rotation::run(options).await.and_then(say),
            Command::Check(options) => check::run(*options).await,
            Command::Audit(options) => audit::run(&options),
            Command::Demo(options) => demo::main(options).await,
        }
    })
}

/// Says what an operator's command did, which nothing undoes where nobody listens.
fn done(what: String) -> ExitCode {
    let _ = writeln!(std::io::stdout(), "{what}");
    ExitCode::SUCCESS
}

/// Says what an operator asked for.
fn say(what: String) -> anyhow::Result<ExitCode> {
    writeln!(std::io::stdout(), "{what}")?;
    Ok(ExitCode::SUCCESS)
}

/// Logs to standard error, as `RUST_LOG` says; a server says what happens to it where that says nothing, a demo keeps
/// still. Whatever `RUST_LOG` says, only our own crates are heard: the finest levels of others show what they are given,
/// groups (OpenMLS) and addresses (the HTTP stack) among it.
fn log(command: &Command) {
    let default = match command {
        Command::Serve(_) => "info",
        Command::Init(_) => "warn",
        Command::Root(_)
        | Command::Authority(_)
        | Command::OperatorKey(_)
        | Command::Restored(_)
        | Command::Registration(_)
        | Command::Keys(_)
        | Command::Check(_)
        | Command::Audit(_)
        | Command::Demo(_) => "off",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let ours = filter_fn(|metadata| metadata.target().starts_with("phoenix"));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    tracing_subscriber::registry().with(lines.with_filter(filter.and(ours))).init();
}
