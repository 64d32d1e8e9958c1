//! The key under which the homeserver's secrets are sealed, and the command that changes it.

use std::{env, os::unix::ffi::OsStringExt, path::Path, path::PathBuf};

use anyhow::anyhow;
use clap::{Args, Subcommand};
use phoenix_homeserver::{Builder, OperatorKey, Seal};
use zeroize::Zeroizing;

use super::{Database, secret_in, unhex};

/// Where the operator's key is.
#[derive(Debug, Args)]
pub(crate) struct KeyOptions {
    /// A file with the key under which the homeserver's secrets are sealed: 32 bytes, or 64 hexadecimal digits.
    /// Without it the environment's PHOENIX_OPERATOR_KEY may hold the digits.
    #[arg(long, global = true)]
    operator_key_file: Option<PathBuf>,
}

/// What `operator-key` is told.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    database: Database,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Seals the homeserver's secrets under another key. A running server goes on; the next start takes the new key.
    Change {
        /// A file with the new key: 32 bytes, or 64 hexadecimal digits.
        #[arg(long)]
        new: PathBuf,
    },
}

/// Does what the operator asks for.
pub(crate) async fn run(options: Options) -> anyhow::Result<String> {
    let Command::Change { new } = options.command;
    let (key, was_open) = (in_file(&new)?, options.database.key.key()?.is_none());
    options.database.open().await?.admin().reseal(Seal::Key(key)).await?;
    Ok(if was_open {
        "the secrets are sealed under the new key; until now they lay open: where anybody else may have read the \
         database or a copy of it, treat them as known"
    } else {
        "the secrets are sealed under the new key; copies of the database from before open under the old one"
    }
    .into())
}

impl KeyOptions {
    /// A homeserver with this key, where there is one.
    pub(crate) fn on(&self, builder: Builder) -> anyhow::Result<Builder> {
        Ok(match self.key()? {
            Some(key) => builder.operator_key(key),
            None => builder,
        })
    }

    fn key(&self) -> anyhow::Result<Option<OperatorKey>> {
        if let Some(path) = &self.operator_key_file {
            return in_file(path).map(Some);
        }
        let Some(value) = env::var_os(VARIABLE) else { return Ok(None) };
        let value = Zeroizing::new(value.into_vec());
        let key = unhex(value.trim_ascii()).map(OperatorKey::new);
        key.map(Some).ok_or_else(|| anyhow!("{VARIABLE}: an operator key has 64 hexadecimal digits"))
    }
}

fn in_file(path: &Path) -> anyhow::Result<OperatorKey> {
    secret_in(path, "an operator key").map(OperatorKey::new)
}

/// Where the environment may hold the key.
const VARIABLE: &str = "PHOENIX_OPERATOR_KEY";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::in_file;

    #[test]
    fn an_operator_key_is_read_from_bytes_and_from_digits_and_from_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        for (content, good) in [
            (vec![7; 32], true),
            (b"ab".repeat(32), true),
            ([b"ab".repeat(32), b"\n".to_vec()].concat(), true),
            (vec![7; 31], false),
            (b"ab".repeat(33), false),
            (b"ab".repeat(16), false),
            (b"xy".repeat(32), false),
        ] {
            std::fs::write(&path, content).unwrap();
            assert_eq!(in_file(&path).is_ok(), good);
        }
        assert!(in_file(&folder.path().join("none")).unwrap_err().to_string().contains("no such file"));
    }
}
