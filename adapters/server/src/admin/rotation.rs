//! The keys of the queuing and the delivery service, which rotate by themselves, and before that where an operator says so
//! (08, "Published keys"); and those of DPoP tokens, which an operator retires (05).

use anyhow::anyhow;
use clap::{Args, Subcommand, ValueEnum};
use phoenix_core::{
    KeyId,
    api::{ServiceName, queue::QsPublicKeys},
    published::PublishedKeys,
};
use phoenix_homeserver::{Homeserver, RotatedService, SystemClock, port::Clock};

use super::{Database, authority::day, hex};

/// What `keys` is told.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    database: Database,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lists the keys that are published, and until when they are good.
    Show,
    /// Makes further keys, which are used once others know them; those before stay published until they end.
    Rotate {
        /// Whose; of both services by default.
        #[arg(long, value_enum)]
        service: Option<Service>,
    },
    /// Puts a fresh key in place of those that sign DPoP tokens, at once: where somebody else may have one of them.
    RetireDpop,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Service {
    /// The queuing service.
    Qs,
    /// The delivery service.
    Ds,
}

/// Does what the operator asks for, and lists what is published then. A server that runs on the database takes it over
/// within a minute.
pub(crate) async fn run(options: Options) -> anyhow::Result<String> {
    let home = options.database.open().await?;
    match options.command {
        Command::Show => {}
        Command::Rotate { service } => {
            if service != Some(Service::Ds) {
                home.admin().rotate_keys(RotatedService::Queue).await?;
            }
            if service != Some(Service::Qs) {
                home.admin().rotate_keys(RotatedService::Delivery).await?;
            }
        }
        Command::RetireDpop => home.admin().retire_dpop_keys().await?,
    }
    listing(&home).await
}

/// One line for each key.
async fn listing(home: &Homeserver) -> anyhow::Result<String> {
    let mut lines = Vec::new();
    for service in [ServiceName::Qs, ServiceName::Ds] {
        let document = home.document(service).await.map_err(|_| anyhow!(UNLISTED))?;
        let keys = PublishedKeys::decode(service, &document, home.domain(), SystemClock.now());
        let (verifying, sealing) = match keys.map_err(|_| anyhow!(UNLISTED))? {
            PublishedKeys::As(..) => continue,
            PublishedKeys::Qs(keys) => {
                let QsPublicKeys { verifying, queue_config, delivery } = *keys;
                (verifying, vec![("queue configs", queue_config), ("deliveries", delivery)])
            }
            PublishedKeys::Ds(keys) => (keys.verifying, Vec::new()),
        };
        let mut line = |kind: &str, id: &KeyId, [from, until]: [u64; 2]| {
            let (name, id) = (service.as_str(), hex(id.as_bytes()));
            lines.push(format!("{name}  {kind:<13} {id}  {} to {}", day(from), day(until)));
        };
        for key in &verifying {
            line("signs", &key.id, [key.not_before, key.not_after]);
        }
        for (kind, keys) in &sealing {
            keys.iter().for_each(|key| line(kind, &key.id, [key.not_before, key.not_after]));
        }
    }
    Ok(lines.join("\n"))
}

const UNLISTED: &str = "the keys cannot be listed now";
