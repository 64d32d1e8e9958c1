//! The keys of the queuing and the delivery service, which rotate by themselves, and before that where an operator says so
//! (08, "Published keys").

use clap::{Args, Subcommand, ValueEnum};
use phoenix_core::{api::ServiceName, published::PublishedKeys};
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
    if let Command::Rotate { service } = options.command {
        if service != Some(Service::Ds) {
            home.admin().rotate_keys(RotatedService::Queue).await?;
        }
        if service != Some(Service::Qs) {
            home.admin().rotate_keys(RotatedService::Delivery).await?;
        }
    }
    listing(&home).await
}

/// One line for each key.
async fn listing(home: &Homeserver) -> anyhow::Result<String> {
    let mut lines = Vec::new();
    for service in [ServiceName::Qs, ServiceName::Ds] {
        let unread = |_| anyhow::anyhow!("the keys cannot be listed now");
        let document =
            home.document(service).await.map_err(|_| anyhow::anyhow!("the keys cannot be listed now"))?;
        let keys = PublishedKeys::decode(service, &document, home.domain(), SystemClock.now());
        let mut line = |kind: &str, id: &[u8], [from, until]: [u64; 2]| {
            let (name, id) = (service.as_str(), hex(id));
            lines.push(format!("{name}  {kind:<13} {id}  {} to {}", day(from), day(until)));
        };
        match keys.map_err(unread)? {
            PublishedKeys::As(..) => {}
            PublishedKeys::Qs(keys) => {
                for key in &keys.verifying {
                    line("signs", key.id.as_bytes(), [key.not_before, key.not_after]);
                }
                for key in &keys.queue_config {
                    line("queue configs", key.id.as_bytes(), [key.not_before, key.not_after]);
                }
                for key in &keys.delivery {
                    line("deliveries", key.id.as_bytes(), [key.not_before, key.not_after]);
                }
            }
            PublishedKeys::Ds(keys) => {
                for key in &keys.verifying {
                    line("signs", key.id.as_bytes(), [key.not_before, key.not_after]);
                }
            }
        }
    }
    Ok(lines.join("\n"))
}
