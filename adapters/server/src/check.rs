//! Examines whether one can federate with a domain (08, "Federation check").

use std::{io::Write as _, path::PathBuf, process::ExitCode};

use anyhow::{Context, anyhow};
use clap::Args;
use phoenix_core::Fqdn;
use phoenix_http::{FederationCheck, HttpTransport};

use crate::{
    admin::{Database, key::KeyOptions},
    serve::{Override, read},
};

/// What `check` is told.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The domain to examine, such as chat.example.org.
    domain: String,
    /// Greets it in the name of the homeserver in this database file, whose keys sign; without it that step is left out.
    #[arg(long)]
    db: Option<PathBuf>,
    #[command(flatten)]
    key: KeyOptions,
    /// Reaches a domain at a given address, which may be a private one, as domain=address:port; may be repeated.
    #[arg(long, value_name = "DOMAIN=ADDRESS")]
    resolve: Vec<Override>,
    /// Trusts the authorities in this PEM file, in place of those of the web.
    #[arg(long, value_name = "FILE")]
    authority: Option<PathBuf>,
    /// Prints one object instead of lines for people.
    #[arg(long)]
    json: bool,
}

/// Examines a domain, and prints what it found. The exit code is 0 where no step failed, and 1 otherwise.
pub(crate) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let Options { domain, db, key, resolve, authority, json } = options;
    let domain: Fqdn = domain.parse().map_err(|_| anyhow!("{domain}: this is not a domain"))?;
    let mut transport = HttpTransport::builder();
    for Override { domain, address } in resolve {
        transport = transport.resolve(domain, address);
    }
    if let Some(path) = authority {
        transport = transport.authorities(read(&path)?);
    }
    let transport = transport.build().context("--authority")?;
    let mut check = FederationCheck::new(transport.clone());
    if let Some(db) = db {
        check = check.greeting_as(Database { db, key }.open_with(transport).await?);
    }
    let report = check.of(&domain).await;
    let told = if json { serde_json::to_string(&report)? } else { report.to_string() };
    writeln!(std::io::stdout(), "{told}")?;
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
