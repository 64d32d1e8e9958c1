//! What signs for the domain, and what its operator does with that (03, "Revocation and rotation").

use std::path::PathBuf;

use anyhow::anyhow;
use clap::{Args, Subcommand};
use phoenix_core::{
    Fingerprint,
    credential::{AsIdentity, ExpirationData},
    crypto::VerifyingKey,
};
use phoenix_homeserver::{
    AdminError, Homeserver,
    auth::{AuthorityChange, Root, Suite},
};
use time::OffsetDateTime;

use super::{
    Database, SuiteName, hex,
    root::{self, Choice},
    suite_name, unhex,
};

/// What `authority` is told.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    database: Database,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lists roots and intermediates, and until when they are good.
    Show,
    /// Makes a new intermediate, which signs from now on; the one before is good until it ends. To be done once a
    /// year.
    Rotate {
        #[command(flatten)]
        root: RootOptions,
        /// The new intermediate's ciphersuite; that of the one before by default.
        #[arg(long, value_enum)]
        suite: Option<SuiteName>,
    },
    /// Makes a root or an intermediate void, and with it all that it signed: clients whose credentials hang on it
    /// must log in anew.
    Revoke {
        #[command(flatten)]
        root: RootOptions,
        /// Which, as `show` lists it.
        fingerprint: String,
    },
    /// Makes a root, publishes it beside those that are there, and a new intermediate under it. For where the old
    /// root's key is lost, too.
    NewRoot {
        #[command(flatten)]
        root: Choice,
        /// The ciphersuite of the root and of the intermediate.
        #[arg(long, value_enum, default_value = "ed25519")]
        suite: SuiteName,
    },
    /// Says anew for a year what is good, and changes nothing else.
    Renew {
        #[command(flatten)]
        root: RootOptions,
    },
}

/// The root that signs.
#[derive(Debug, Args)]
struct RootOptions {
    /// The file with the key of a root that is published.
    #[arg(long, value_name = "FILE")]
    root_key: PathBuf,
}

impl RootOptions {
    fn root(&self) -> anyhow::Result<Root> {
        Ok(root::load(&self.root_key)?.root())
    }
}

/// Does what the operator asks for, and lists what is good then. A server that runs on the database takes it over within
/// a minute.
pub(crate) async fn run(options: Options) -> anyhow::Result<String> {
    let home = options.database.open().await?;
    let admin = home.admin();
    let is_change = !matches!(options.command, Command::Show);
    match options.command {
        Command::Show => {}
        Command::Rotate { root, suite } => {
            let suite = suite.map_or(current(&admin.authority().await?), Suite::from);
            admin.change_authority(AuthorityChange::Rotate(suite), &root.root()?).await?;
        }
        Command::Revoke { root, fingerprint } => {
            let bytes = unhex(fingerprint.as_bytes());
            let bytes =
                bytes.ok_or_else(|| anyhow!("{fingerprint}: a fingerprint has 64 hexadecimal digits"))?;
            admin.change_authority(AuthorityChange::Revoke(Fingerprint(bytes)), &root.root()?).await?;
        }
        Command::NewRoot { root, suite } => new_root(&home, &root, suite.into()).await?,
        Command::Renew { root } => admin.change_authority(AuthorityChange::Renew, &root.root()?).await?,
    }
    match admin.authority().await {
        Ok(identity) => Ok(listing(&identity)),
        Err(error) if is_change => Ok(format!("it is done, but cannot be listed now: {error}")),
        Err(error) => Err(error.into()),
    }
}

/// Publishes a root, whose key is on the disk before it signs anything.
async fn new_root(home: &Homeserver, choice: &Choice, suite: Suite) -> anyhow::Result<()> {
    let (admin, change) = (home.admin(), AuthorityChange::NewRoot(suite));
    let root = choice.root(home.domain(), suite)?;
    admin.check_authority(change, &root.root()).await?;
    choice.keep(&root)?;
    admin.change_authority(change, &root.root()).await.map_err(|error| {
        let is_certain = !matches!(error, AdminError::Broken(_));
        choice.undo(error.into(), is_certain)
    })
}

/// The suite of the intermediate that signs.
fn current(identity: &AsIdentity) -> Suite {
    identity.intermediates.last().map_or(Suite::Ed25519, |last| last.payload.key.suite)
}

/// One line for each, the intermediate that signs at the end.
fn listing(identity: &AsIdentity) -> String {
    let AsIdentity { roots, statement, intermediates, revocations: _ } = identity;
    let statement = &statement.payload;
    let mut lines = vec![
        format!("domain        {}", statement.as_domain),
        format!("statement     {}, good until {}", statement.serial, day(statement.expires)),
    ];
    lines.extend(statement.revoked.iter().map(|it| format!("revoked       {}", hex(it.as_bytes()))));
    let line = |kind: &str, fingerprint: Fingerprint, key: &VerifyingKey, validity: ExpirationData| {
        let (name, until) = (hex(fingerprint.as_bytes()), day(validity.not_after));
        format!("{kind:<13} {name} {:<7} until {until}", suite_name(key.suite))
    };
    lines.extend(roots.iter().map(|it| line("root", it.fingerprint(), &it.payload.key, it.payload.validity)));
    let signing = intermediates.len().saturating_sub(1);
    lines.extend(intermediates.iter().enumerate().map(|(place, it)| {
        let kind = if place == signing { "signs" } else { "intermediate" };
        line(kind, it.fingerprint(), &it.payload.key, it.payload.validity)
    }));
    lines.join("\n")
}

/// The day (UTC) of a time in seconds.
pub(super) fn day(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|it| OffsetDateTime::from_unix_timestamp(it).ok());
    time.map_or_else(|| "the end of time".to_owned(), |time| time.date().to_string())
}
