//! The operator's commands on a database, beside the server that may be running on it.

pub(crate) mod authority;
pub(crate) mod init;
pub(crate) mod key;
pub(crate) mod restored;
pub(crate) mod root;
pub(crate) mod rotation;

use std::{
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow, bail};
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
        self.open_with(HttpTransport::new()?).await
    }

    /// The same, which reaches others over this transport.
    pub(crate) async fn open_with(&self, transport: HttpTransport) -> anyhow::Result<Homeserver> {
        if !self.db.exists() {
            bail!("{}: there is no such database", self.db.display());
        }
        let builder = Homeserver::existing().store(SqliteStore::open(&self.db)?);
        Ok(self.key.on(builder)?.transport(transport).build().await?)
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

/// A file that holds a secret of 32 bytes, as they are or as 64 hexadecimal digits; `what` it is called.
pub(crate) fn secret_in(path: &Path, what: &str) -> anyhow::Result<[u8; 32]> {
    let content = read_secret(path)?;
    if content.len() == 32 && content.iter().all(u8::is_ascii_hexdigit) {
        bail!("{}: these are 32 hexadecimal digits, half of {what}", path.display());
    }
    let bytes = <[u8; 32]>::try_from(content.as_slice()).ok().or_else(|| unhex(content.trim_ascii()));
    bytes.with_context(|| format!("{}: {what} has 32 bytes, or 64 hexadecimal digits", path.display()))
}

/// Writes a secret where nothing is yet, for its owner's eyes only. It is on the disk when this returns: what hangs on
/// it would be worth nothing without it.
pub(crate) fn write_secret(content: &[u8], path: &Path) -> anyhow::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(
        |error| match error.kind() {
            ErrorKind::AlreadyExists => exists(path),
            ErrorKind::NotFound => anyhow!("{}: the folder does not exist", path.display()),
            _ => anyhow!("{}: {error}", path.display()),
        },
    )?;
    let written = file.write_all(content).and_then(|()| file.sync_all());
    written.and_then(|()| File::open(folder(path))?.sync_all()).map_err(|error| {
        // Half a secret is none.
        let _ = fs::remove_file(path);
        anyhow!("{}: {error}", path.display())
    })
}

fn exists(path: &Path) -> anyhow::Error {
    anyhow!("{}: there is a file already", path.display())
}

/// The folder that a file is in.
pub(crate) fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
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
