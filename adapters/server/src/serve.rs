//! Serves one domain.

use std::{
    fs,
    net::{IpAddr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use anyhow::{Context, anyhow};
use clap::{Args, ValueEnum};
use phoenix_core::{Fqdn, time::HOUR, token::Class};
use phoenix_homeserver::{
    Homeserver,
    auth::{PublicSuffixes, Settings},
    rules::{Costs, KeyGrace},
};
use phoenix_http::{HttpTransport, RouterOptions, Server, ServerTls};
use phoenix_sqlite::SqliteStore;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    admin::key::KeyOptions,
    admin_socket::AdminSocket,
    kept::{KeptEra, KeptOptions},
    push::PushOptions,
    registration::PolicyOptions,
    reports::ReportFile,
};

/// What `serve` is told.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The domain whose users live here, such as chat.example.org.
    #[arg(long)]
    domain: String,
    /// Where to listen for HTTPS.
    #[arg(long, default_value = "[::]:443")]
    listen: SocketAddr,
    /// The database file; it is made where there is none.
    #[arg(long, default_value = "phoenix.db")]
    db: PathBuf,
    /// The certificate chain for the domain, in PEM, the server's own certificate first.
    #[arg(long)]
    tls_cert: PathBuf,
    /// The certificate's private key, in PEM.
    #[arg(long)]
    tls_key: PathBuf,
    #[command(flatten)]
    kept: KeptOptions,
    #[command(flatten)]
    key: KeyOptions,
    /// Where clients and other homeservers find this one, as host or host:port; the domain itself by default.
    #[arg(long)]
    public_host: Option<String>,
    /// Reaches a domain at a given address, which may be a private one, as domain=address:port; may be repeated, also for
    /// further addresses of one domain.
    #[arg(long, value_name = "DOMAIN=ADDRESS")]
    resolve: Vec<Override>,
    /// An address that others reach this server at, where neither this machine has it nor its names lead to it; may be
    /// repeated. Nothing is ever sent there because some name leads to it.
    #[arg(long, value_name = "ADDRESS")]
    own_address: Vec<IpAddr>,
    /// Pushes to a push service at a given address, which may be a private one, as domain=address:port; may be repeated.
    /// Every client can then have it sent requests.
    #[arg(long, value_name = "DOMAIN=ADDRESS")]
    push_service: Vec<Override>,
    #[command(flatten)]
    registration: PolicyOptions,
    #[command(flatten)]
    push: PushOptions,
    /// The public suffix list (publicsuffix.org), in a file: homeservers below one registrable domain are then issued
    /// tokens as if they were one.
    #[arg(long, value_name = "FILE")]
    public_suffixes: Option<PathBuf>,
    /// Lets clients have users of other homeservers looked up, where they cannot reach those themselves: this one sees
    /// whom they look up then.
    #[arg(long)]
    lookups: bool,
    /// Lets users of other homeservers have queues here, where they can move theirs. Making one then costs a token of this
    /// class, also for users of this homeserver, in place of one that only they can have.
    #[arg(long, value_name = "CLASS")]
    guests: Option<GuestClass>,
    /// For how many hours the last good keys of a homeserver that does not answer stay usable, beyond the one for which
    /// they are not asked for again: up to seven days.
    #[arg(long, value_name = "HOURS", default_value_t = KeyGrace::default().as_secs() / HOUR,
        value_parser = clap::value_parser!(u64).range(0..=KeyGrace::MAX.as_secs() / HOUR))]
    key_grace_hours: u64,
    /// Listens on a Unix socket, which only its owner may use, for what the operator changes while the server runs
    /// (`phoenix-server peers`).
    #[arg(long, value_name = "PATH")]
    admin_socket: Option<PathBuf>,
    /// Appends reports of abuse to this file, one JSON object a line; without it nobody gets to see them.
    #[arg(long, value_name = "FILE")]
    reports: Option<PathBuf>,
    /// Trusts the authorities in this PEM file, in place of those of the web, for other homeservers, for push services
    /// and for the judge of registrations.
    #[arg(long)]
    authority: Option<PathBuf>,
}

/// Tokens that clients of other homeservers can have, too.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum GuestClass {
    Contact,
    Standard,
}

impl From<GuestClass> for Class {
    fn from(class: GuestClass) -> Self {
        match class {
            GuestClass::Contact => Self::Contact,
            GuestClass::Standard => Self::Standard,
        }
    }
}

impl Options {
    /// What calls cost.
    fn costs(&self) -> Costs {
        self.guests.map_or_else(Costs::default, |class| Costs::default().with_guests(class.into()))
    }
}

/// Where a domain is, whatever the name system says.
#[derive(Clone, Debug)]
pub(crate) struct Override {
    pub(crate) domain: Fqdn,
    pub(crate) address: SocketAddr,
}

impl FromStr for Override {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (domain, address) = text.split_once('=').ok_or("it must be written domain=address:port")?;
        let domain = domain.parse().map_err(|_| format!("{domain} is not a domain"))?;
        let address = address.parse().map_err(|_| format!("{address} is not an address with a port"))?;
        Ok(Self { domain, address })
    }
}

/// Serves until the process is asked to end, then lets the calls under way end.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let domain: Fqdn =
        options.domain.parse().map_err(|_| anyhow!("--domain {}: this is not a domain", options.domain))?;
    let tls = certificate(&options)?;
    let listener = bind(options.listen)?;
    let admin_socket = options.admin_socket.as_deref().map(AdminSocket::bind).transpose();
    let admin_socket = admin_socket.context("--admin-socket")?;
    let kept = options.kept.file(&options.db);
    let (home, push_key) = homeserver(domain, &options, &kept).await?;
    // Before anything is handed out that an older copy would not know of.
    kept.write(home.admin().count().await?)?;
    let host = options.public_host.clone();
    let router_options = RouterOptions {
        as_host: host.clone(),
        qs_host: host.clone(),
        ds_host: host,
        push_key,
        ..RouterOptions::default()
    };
    let server = Server::new(listener, tls, phoenix_http::router_with(home.clone(), router_options));
    let working = tokio::spawn(home.clone().run());
    let counting = tokio::spawn(count(home.clone(), kept));
    let administering = admin_socket.map(|socket| tokio::spawn(socket.serve(home.admin())));
    tracing::info!(domain = %home.domain(), address = %options.listen, "serving");
    let mut terminated = signal(SignalKind::terminate()).context("signals cannot be waited for")?;
    let asked_to_end = async {
        tokio::select! {
            _ = terminated.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        tracing::info!("ending");
    };
    server.run(asked_to_end).await.context("the listener failed")?;
    home.drain(DRAIN_MS).await;
    working.abort();
    counting.abort();
    if let Some(administering) = administering {
        administering.abort();
        // The socket is gone when it has ended.
        let _ = administering.await;
    }
    Ok(())
}

/// Counts the database on, and keeps in the file how far it has come: a copy is told from it once it was counted after.
async fn count(home: Homeserver, kept: KeptEra) {
    loop {
        tokio::time::sleep(COUNT_EVERY).await;
        let counted = match home.admin().count().await {
            Ok(era) => {
                let kept = kept.clone();
                let written = tokio::task::spawn_blocking(move || kept.write(era)).await;
                written.map_err(anyhow::Error::from).and_then(|written| written)
            }
            Err(error) => Err(error.into()),
        };
        if let Err(error) = counted {
            tracing::error!("how far the database has come could not be kept: {error:#}");
        }
    }
}

/// Listens on an address, or says in a sentence why not.
pub(crate) fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => anyhow!("{address}: another program listens there already"),
        std::io::ErrorKind::PermissionDenied => {
            anyhow!("{address}: listening there is not allowed to this user")
        }
        std::io::ErrorKind::AddrNotAvailable => anyhow!("{address}: this machine does not have that address"),
        _ => anyhow!("{address}: {error}"),
    })
}

/// The homeserver, and the key that its clients subscribe to pushes with.
async fn homeserver(
    domain: Fqdn,
    options: &Options,
    kept: &KeptEra,
) -> anyhow::Result<(Homeserver, Option<String>)> {
    let mut transport = HttpTransport::builder();
    for Override { domain, address } in &options.resolve {
        transport = transport.resolve(domain.clone(), *address);
    }
    for Override { domain, address } in &options.push_service {
        transport = transport.push_service(domain.clone(), *address);
    }
    for address in &options.own_address {
        transport = transport.own_address(*address);
    }
    // Whatever it listens on, these are its own, and so is where they lead.
    for host in
        [Some(domain.clone()), options.public_host.as_deref().and_then(host_name)].into_iter().flatten()
    {
        transport = transport.own_host(host);
    }
    let authorities = options.authority.as_deref().map(read).transpose()?;
    if let Some(pem) = &authorities {
        transport = transport.authorities(pem.clone());
    }
    let transport = transport.build().context("--authority")?;
    let builder = Homeserver::builder(domain.clone()).store(SqliteStore::open(&options.db)?);
    let (builder, push_key) = options.push.on(builder, &domain, &transport)?;
    let builder = builder.transport(transport);
    let mut builder = options.key.on(builder)?;
    let registration = options.registration.settings()?;
    let suffixes = options.public_suffixes.as_deref().map(suffixes).transpose()?;
    builder = builder.auth_settings(Settings {
        registration,
        suffixes,
        lookups: options.lookups,
        ..Settings::default()
    });
    builder = builder.costs(options.costs());
    if let Some(grace) = KeyGrace::from_secs(options.key_grace_hours.saturating_mul(HOUR)) {
        builder = builder.key_grace(grace);
    }
    if let Some(era) = kept.read()? {
        builder = builder.seen(era);
    }
    if let Some(path) = &options.reports {
        builder = builder.reports(ReportFile::open(path).context("--reports")?);
    }
    if let Some(hook) = options.registration.hook(authorities.as_deref())? {
        builder = builder.policy(hook);
    }
    Ok((builder.build().await?, push_key))
}

/// The name of a host that is written with a port or without.
fn host_name(host: &str) -> Option<Fqdn> {
    host.split(':').next().and_then(|name| name.parse().ok())
}

fn suffixes(path: &Path) -> anyhow::Result<PublicSuffixes> {
    let list = String::from_utf8(read(path)?).ok().and_then(|list| list.parse().ok());
    list.with_context(|| format!("{}: this is not a public suffix list", path.display()))
}

fn certificate(options: &Options) -> anyhow::Result<ServerTls> {
    let (chain, key) = (read(&options.tls_cert)?, read(&options.tls_key)?);
    let (chain_path, key_path) = (options.tls_cert.display(), options.tls_key.display());
    ServerTls::from_pem(&chain, &key).with_context(|| format!("{chain_path} with {key_path}"))
}

pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => anyhow!("{}: there is no such file", path.display()),
        std::io::ErrorKind::PermissionDenied => anyhow!("{}: the file may not be read", path.display()),
        _ => anyhow!("{}: {error}", path.display()),
    })
}

/// How long calls may still run after the listener was closed: as long as the longest, but for long polls, which
/// their clients ask again.
const DRAIN_MS: u64 = 20_000;
/// How often the database is counted on: an older copy of less than that may pass for the database.
const COUNT_EVERY: Duration = Duration::from_mins(1);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::net::TcpListener;

    use clap::Parser;
    use phoenix_core::token::Class;
    use phoenix_homeserver::rules::Costs;

    use super::{Options, Override, bind};

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn told(more: &[&str]) -> Result<Options, clap::Error> {
        let line = ["serve", "--domain", "alpha.test", "--tls-cert", "a.pem", "--tls-key", "a.key"];
        Line::try_parse_from(line.iter().chain(more)).map(|line| line.options)
    }

    #[test]
    fn guests_have_queues_for_a_token_that_they_can_have() {
        assert_eq!(told(&[]).unwrap().costs(), Costs::default());
        for (named, class) in [("contact", Class::Contact), ("standard", Class::Standard)] {
            let costs = told(&["--guests", named]).unwrap().costs();
            assert_eq!(costs, Costs::default().with_guests(class));
        }
        assert!(told(&["--guests", "home"]).is_err());
    }

    #[test]
    fn keys_are_relied_on_for_a_day_or_for_up_to_a_week() {
        assert_eq!(told(&[]).unwrap().key_grace_hours, 24);
        assert_eq!(told(&["--key-grace-hours", "168"]).unwrap().key_grace_hours, 168);
        assert!(told(&["--key-grace-hours", "169"]).is_err());
    }

    #[test]
    fn a_port_in_use_is_told_in_a_sentence() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();

        let error = bind(address).unwrap_err();

        assert_eq!(error.to_string(), format!("{address}: another program listens there already"));
    }

    #[test]
    fn an_override_names_a_domain_and_an_address() {
        assert!("beta.test=127.0.0.1:8443".parse::<Override>().is_ok());
        for text in ["beta.test", "beta=127.0.0.1:1", "beta.test=127.0.0.1"] {
            assert!(text.parse::<Override>().is_err(), "{text}");
        }
    }
}
