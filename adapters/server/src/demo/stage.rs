//! Three homeservers in one process, and the wire between two of them.

use std::{
    io::{ErrorKind, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, anyhow, bail};
use phoenix_core::{
    Fqdn,
    costs::Costs,
    port::{Entropy, Store, Transport},
    token::Class,
};
use phoenix_homeserver::{Homeserver, OperatorKey, OsEntropy, SystemClock};
use phoenix_http::{HttpTransport, RouterOptions, Server, ServerLimits};
use phoenix_sqlite::SqliteStore;
use tempfile::TempDir;
use tokio::{sync::oneshot, task::JoinHandle};

use super::{
    authority::Authority,
    options::Options,
    parts::{Parts, Side},
    watch::{Log, Watched},
    wire::Relay,
};
use crate::serve::bind;

/// Everything that the players play on.
pub(crate) struct Stage {
    pub(crate) alpha: House,
    pub(crate) beta: House,
    pub(crate) gamma: House,
    /// The wire between alpha and beta, in both directions.
    wire: [Relay; 2],
    /// How clients reach the servers, and what they say to them.
    pub(crate) road: Arc<dyn Transport>,
    pub(crate) road_log: Log,
    authority: String,
    /// Goes last: the databases lie in it.
    folder: Folder,
}

/// A homeserver that is being served.
pub(crate) struct House {
    pub(crate) domain: Fqdn,
    pub(crate) home: Homeserver,
    pub(crate) address: SocketAddr,
    /// How it reaches the other homeservers, with nothing in between.
    pub(crate) reach: HttpTransport,
    /// Its database.
    pub(crate) file: PathBuf,
    /// What it says to the other homeservers.
    pub(crate) log: Log,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<std::io::Result<()>>,
    working: JoinHandle<()>,
}

/// Where the databases lie.
enum Folder {
    Temporary(TempDir),
    Given(PathBuf),
}

impl Stage {
    /// Sets the homeservers up.
    pub(crate) async fn open(options: &Options, parts: &Arc<dyn Parts>) -> anyhow::Result<Self> {
        let folder = Folder::open(options.folder.as_deref())?;
        let authority = Authority::new().context("the throw-away authority could not be made")?;
        let (alpha, beta) = (Site::new(Side::Alpha, options.alpha)?, Site::new(Side::Beta, options.beta)?);
        let gamma = Site::new(Side::Gamma, options.gamma)?;
        let to_alpha = Relay::start(alpha.address).await.context("the wire could not be laid")?;
        let to_beta = Relay::start(beta.address).await.context("the wire could not be laid")?;
        let road = HttpTransport::builder()
            .of_client()
            .authorities(authority.pem())
            .resolve(alpha.domain.clone(), alpha.address)
            .resolve(beta.domain.clone(), beta.address)
            .resolve(gamma.domain.clone(), gamma.address)
            .build()?;
        let reaching = |peers: [(&Site, SocketAddr); 2]| {
            let transport = HttpTransport::builder().authorities(authority.pem());
            peers.into_iter().fold(transport, |it, (peer, at)| it.resolve(peer.domain.clone(), at)).build()
        };
        let road_log = Log::default();
        let road = Watched::new(parts.road(Arc::new(road)), road_log.clone());
        let alpha_wire = reaching([(&beta, to_beta.address()), (&gamma, gamma.address)])?;
        let beta_wire = reaching([(&alpha, to_alpha.address()), (&gamma, gamma.address)])?;
        let gamma_wire = reaching([(&alpha, alpha.address), (&beta, beta.address)])?;
        Ok(Self {
            alpha: alpha.open(&folder, &authority, alpha_wire, parts.as_ref()).await?,
            beta: beta.open(&folder, &authority, beta_wire, parts.as_ref()).await?,
            gamma: gamma.open(&folder, &authority, gamma_wire, parts.as_ref()).await?,
            wire: [to_alpha, to_beta],
            road: Arc::new(road),
            road_log,
            authority: authority.pem(),
            folder,
        })
    }

    /// All homeservers.
    pub(crate) const fn houses(&self) -> [&House; 3] {
        [&self.alpha, &self.beta, &self.gamma]
    }

    /// Cuts the wire between alpha and beta, in both directions.
    pub(crate) fn cut(&self) {
        self.wire.iter().for_each(Relay::cut);
    }

    /// Mends it.
    pub(crate) fn mend(&self) {
        self.wire.iter().for_each(Relay::mend);
    }

    /// Writes the certificate that everyone here trusts into a file.
    pub(crate) fn authority_file(&self) -> std::io::Result<PathBuf> {
        let path = self.folder.path().join("authority.pem");
        std::fs::write(&path, &self.authority)?;
        Ok(path)
    }

    /// Fails where the disk is full: then no step can tell anything but that.
    pub(crate) fn check_room(&self) -> anyhow::Result<()> {
        let folder = self.folder.path();
        let probe = tempfile::NamedTempFile::new_in(folder).and_then(|mut file| file.write_all(&[0; ROOM]));
        match probe {
            Err(error) if error.kind() == ErrorKind::StorageFull => {
                bail!("{}: the disk is full", folder.display())
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Takes all homeservers down.
    pub(crate) async fn close(self) {
        let Self { alpha, beta, gamma, .. } = self;
        futures::join!(alpha.close(), beta.close(), gamma.close());
    }
}

impl House {
    async fn close(self) {
        drop(self.stop);
        self.working.abort();
        // The process ends, or the test does: whatever still ran has failed its step already.
        let _ = tokio::time::timeout(std::time::Duration::from_secs(2), self.serving).await;
    }
}

/// Where a homeserver will be.
struct Site {
    side: Side,
    domain: Fqdn,
    listener: std::net::TcpListener,
    address: SocketAddr,
}

impl Site {
    fn new(side: Side, at: SocketAddr) -> anyhow::Result<Self> {
        let name = match side {
            Side::Alpha => "alpha.test",
            Side::Beta => "beta.test",
            Side::Gamma => "gamma.test",
        };
        let domain = name.parse().map_err(|_| anyhow!("{name} is not a domain"))?;
        let listener = bind(at)?;
        let address = listener.local_addr()?;
        Ok(Self { side, domain, listener, address })
    }

    async fn open(
        self,
        folder: &Folder,
        authority: &Authority,
        wire: HttpTransport,
        parts: &dyn Parts,
    ) -> anyhow::Result<House> {
        let Self { side, domain, listener, address } = self;
        let file = folder.path().join(format!("{domain}.db"));
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&file)?);
        let mut key = [0; 32];
        OsEntropy.fill(&mut key);
        let log = Log::default();
        let reach = wire.clone();
        let wire = Watched::new(parts.wire(side, Arc::new(wire)), log.clone());
        let costs = match side {
            Side::Alpha | Side::Beta => Costs::default(),
            Side::Gamma => Costs::default().with_guests(Class::Contact),
        };
        let home = Homeserver::builder(domain.clone())
            .costs(costs)
            .store(parts.store(side, store))
            .transport(wire)
            .clock(SystemClock)
            .operator_key(OperatorKey::new(key))
            .build()
            .await?;
        let host = Some(format!("{domain}:{}", address.port()));
        let hosts = RouterOptions {
            as_host: host.clone(),
            qs_host: host.clone(),
            ds_host: host,
            ..RouterOptions::default()
        };
        // All clients of the play have one address.
        let limits = ServerLimits { connections_per_address: 4_096, ..ServerLimits::default() };
        let router = phoenix_http::router_with(home.clone(), hosts);
        let server = Server::new(listener, authority.certify(&domain)?, router).limits(limits);
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(server.run(async { drop(stopped.await) }));
        let working = tokio::spawn(home.clone().run());
        Ok(House { domain, home, address, reach, file, log, stop, serving, working })
    }
}

impl Folder {
    fn open(given: Option<&Path>) -> anyhow::Result<Self> {
        match given {
            Some(path) => Ok(Self::Given(path.to_owned())),
            None => Ok(Self::Temporary(tempfile::tempdir().context("no temporary folder could be made")?)),
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::Temporary(folder) => folder.path(),
            Self::Given(path) => path,
        }
    }
}

/// Bytes that the databases need to grow by, now and then.
const ROOM: usize = 256 << 10;
