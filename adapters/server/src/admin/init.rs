//! Makes a homeserver whose root the operator keeps.

use anyhow::{anyhow, bail};
use clap::Args;
use phoenix_core::Fqdn;
use phoenix_homeserver::{BuildError, Homeserver};
use phoenix_http::HttpTransport;
use phoenix_sqlite::SqliteStore;

use super::{Database, SuiteName, root::Choice};

/// What `init` is told.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The domain whose users will live here, such as chat.example.org.
    #[arg(long)]
    domain: String,
    #[command(flatten)]
    database: Database,
    #[command(flatten)]
    root: Choice,
    /// The ciphersuite of the intermediate, and of the root where it is made now.
    #[arg(long, value_enum, default_value = "ed25519")]
    suite: SuiteName,
}

/// Makes the homeserver, and says what to do with the root.
pub(crate) async fn run(options: Options) -> anyhow::Result<String> {
    let Options { domain, database, root: choice, suite } = options;
    let domain: Fqdn = domain.parse().map_err(|_| anyhow!("--domain {domain}: this is not a domain"))?;
    // Before the database is touched, so that nothing is begun that cannot end.
    let root = choice.root(&domain, suite.into())?;
    let store = SqliteStore::open(&database.db)?;
    let found = Homeserver::existing().store(store.clone()).transport(HttpTransport::new()?);
    match database.key.on(found)?.build().await {
        Err(BuildError::Empty) => {}
        Ok(_) | Err(BuildError::WrongKey | BuildError::SealedOtherwise(_)) => {
            bail!("{}: there is a homeserver in it already", database.db.display())
        }
        Err(other) => return Err(other.into()),
    }
    let builder = Homeserver::builder(domain.clone()).store(store).transport(HttpTransport::new()?);
    let builder = database.key.on(builder)?.root(root.root()).authority_suite(suite.into());
    choice.keep(&root)?;
    let published = match builder.build().await {
        Ok(home) => home.admin().authority().await.map_err(|error| choice.undo(error.into(), false))?,
        Err(error) => {
            let is_certain = !matches!(error, BuildError::Store(_) | BuildError::Damaged(_));
            return Err(choice.undo(error.into(), is_certain));
        }
    };
    if published.roots.iter().any(|published| published != root.certificate()) {
        let error = anyhow!("{}: another process made a homeserver in it meanwhile", database.db.display());
        return Err(choice.undo(error, true));
    }
    Ok(format!(
        "the homeserver of {domain} is made under the root {}; keep {} away from the server, and rotate the \
         authority with it within 270 days",
        root.fingerprint(),
        choice.path()
    ))
}
