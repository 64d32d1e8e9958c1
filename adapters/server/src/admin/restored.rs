//! Declares that the database is an older copy that was brought back.

use clap::Args;

use super::Database;
use crate::kept::KeptOptions;

/// What `restored` is told.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    database: Database,
    #[command(flatten)]
    kept: KeptOptions,
}

/// Does what the operator asks for.
pub(crate) async fn run(options: Options) -> anyhow::Result<String> {
    let file = options.kept.file(&options.database.db);
    let seen = file.read()?.unwrap_or_default();
    let era = options.database.open().await?.admin().restored(seen).await?;
    file.write(era)?;
    Ok(format!("generation {}\n{TOLD}", era.generation))
}

/// What the operator must know.
const TOLD: &str = "\
All token keys were retired. Each queue begins again when it is used next, and packages that may have been served are
served no more: clients find back by themselves.
What was deleted since the copy was made is there again, and must be deleted again: users, clients, aliases and groups.
Commands of that time (authority, operator-key, registration) must be given again. Groups whose members saw a later state
are given up by their clients, and need new ones.";
