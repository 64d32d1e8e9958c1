//! The operator's commands on a database, beside the server that may be running on it.

pub(crate) mod authority;
pub(crate) mod init;
pub(crate) mod key;
pub(crate) mod restored;
pub(crate) mod root;

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::bail;
use clap::{Args, ValueEnum};
use phoenix_homeserver::{Homeserver, auth::Suite};
use phoenix_http::HttpTransport;
use phoenix_sqlite::SqliteStore;
use zeroize::Zeroizing;

use crate::serve::read;
use key::KeyOptions;

/// The database that a command is for.
#[derive(Debug, Args)]
pub(crate) struct Database {
    /// The homeserver's database file.
    #[arg(long, global = true, default_value = "phoenix.db")]
    pub(crate) db: PathBuf,
    #[command(flatten)]
    pub(crate) key: KeyOptions,
}

impl Database {
    /// The homeserver in it. Nothing of it runs in this process.
    pub(crate) async fn open(&self) -> anyhow::Result<Homeserver> {
        if !self.db.exists() {
            bail!("{}: there is no such database", self.db.display());
        }
        let builder = Homeserver::existing().store(SqliteStore::open(&self.db)?);
        Ok(self.key.on(builder)?.transport(HttpTransport::new()?).build().await?)
    }
}

/// A ciphersuite, as it is written on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SuiteName {
    /// Ed25519, the default.
    Ed25519,
    /// ECDSA over P-256, which hardware has.
    P256,
}

impl From<SuiteName> for Suite {
    fn from(name: SuiteName) -> Self {
        match name {
            SuiteName::Ed25519 => Self::Ed25519,
            SuiteName::P256 => Self::P256,
        }
    }
}

/// How a suite is called.
pub(crate) const fn suite_name(suite: Suite) -> &'static str {
    match suite {
        Suite::Ed25519 => "ed25519",
        Suite::P256 => "p256",
    }
}

/// A file that holds a secret. Says so where others than its owner may read it; media without rights of their own are
/// no reason to refuse in an emergency.
pub(crate) fn read_secret(path: &Path) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let content = Zeroizing::new(read(path)?);
    if fs::metadata(path).is_ok_and(|found| found.permissions().mode() & 0o077 != 0) {
        let path = path.display();
        let _ = writeln!(
            std::io::stderr(),
            "phoenix-server: warning: {path}: others than its owner may use this file"
        );
    }
    Ok(content)
}

/// How bytes are written.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes that were written in hexadecimal digits, where there are just so many.
pub(crate) fn unhex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|it| u8::try_from(it).ok());
    let mut bytes = [0; N];
    if digits.len() != N.saturating_mul(2) {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let &[high, low] = pair else { return None };
        *byte = digit(high)? << 4 | digit(low)?;
    }
    Some(bytes)
}
