//! The binary, and what it takes.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
};

use phoenix_client::{Client, ClientPorts, Settings, Stretch};
use phoenix_core::{Fqdn, port::Transport};
use phoenix_homeserver::{OsEntropy, SystemClock};
use phoenix_http::HttpTransport;
use rustls::{ClientConfig, RootCertStore, crypto::ring, version};
use tokio::time::sleep;

use crate::{A_MOMENT, booty::Trap, certifier::Certifier};

/// The binary on a port of its own, with what one must know to reach it.
pub(crate) struct Site {
    server: Child,
    pub(crate) address: SocketAddr,
    authority: String,
    pub(crate) tls: Arc<ClientConfig>,
    _folder: tempfile::TempDir,
}

impl Site {
    /// Starts it, with an empty database.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (authority, roots) = certificates(folder.path());
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let at = |name: &str| folder.path().join(name);
        let server = Command::new(env!("CARGO_BIN_EXE_phoenix-server"))
            .args(["serve", "--domain", DOMAIN, "--listen", &address.to_string(), "--db"])
            .arg(at("phoenix.db"))
            .arg("--tls-cert")
            .arg(at("chain.pem"))
            .arg("--tls-key")
            .arg(at("key.pem"))
            .env_remove("RUST_LOG")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self { server, address, authority, tls: Arc::new(tls), _folder: folder }
    }

    /// A client that has registered and can talk.
    pub(crate) async fn client(&self) -> Client {
        self.client_with(Arc::new(self.transport())).await
    }

    /// The same, with calls that go through this.
    pub(crate) async fn client_with(&self, transport: Arc<dyn Transport>) -> Client {
        let settings = Settings { stretch: Stretch::least(), ..Settings::new(domain(), "correct horse") };
        let client = loop {
            let ports = ClientPorts {
                transport: Arc::clone(&transport),
                witness: None,
                clock: Arc::new(SystemClock),
                entropy: Arc::new(OsEntropy),
            };
            // Until the binary listens.
            match Client::register(settings.clone(), ports).await {
                Ok(client) => break client,
                Err(error) => assert!(error.is_transient(), "{error}"),
            }
            sleep(A_MOMENT).await;
        };
        client.set_up().await.unwrap();
        client
    }

    /// What carries a client's calls, and can keep them.
    pub(crate) fn trap(&self) -> Arc<Trap> {
        Trap::new(self.transport())
    }

    fn transport(&self) -> HttpTransport {
        let builder = HttpTransport::builder().of_client().authorities(self.authority.clone());
        builder.resolve(domain(), self.address).build().unwrap()
    }

    /// Waits until so many who attack are connected at once.
    pub(crate) async fn crowded(&self, crowd: usize) {
        while self.hostile_connections() < crowd {
            sleep(A_MOMENT).await;
        }
    }

    /// Connections that the server has taken from those who attack, and that neither side has closed.
    pub(crate) fn hostile_connections(&self) -> usize {
        let (of_server, established) = (format!(":{:04X}", self.address.port()), "01");
        let table = fs::read_to_string("/proc/net/tcp").unwrap();
        let is_hostile = |line: &&str| {
            let fields: Vec<_> = line.split_whitespace().collect();
            let [_, local, remote, state, .., inode] = fields[..10] else { return false };
            // 127.0.1.x, its bytes in the order of the machine; a socket that was not taken yet has no inode.
            let is_of_attack = u32::from_str_radix(&remote[..8], 16)
                .is_ok_and(|it| it.to_ne_bytes()[..3] == HOSTILE_NETWORK);
            local.ends_with(&of_server) && is_of_attack && state == established && inode != "0"
        };
        table.lines().skip(1).filter(is_hostile).count()
    }

    /// Memory that the server has now.
    pub(crate) fn memory_mib(&self) -> usize {
        self.status_mib("VmRSS:")
    }

    /// The most memory that the server had since [`Site::forget_peak`].
    pub(crate) fn peak_mib(&self) -> usize {
        self.status_mib("VmHWM:")
    }

    /// Counts the peak from now on (proc(5), `clear_refs`).
    pub(crate) fn forget_peak(&self) {
        fs::write(format!("/proc/{}/clear_refs", self.server.id()), "5").unwrap();
    }

    fn status_mib(&self, field: &str) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.server.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() >> 10
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Certificates for the binary, in files of this folder; the authority that signed them, in PEM and as roots.
fn certificates(folder: &Path) -> (String, RootCertStore) {
    let certifier = Certifier::new();
    let (certificate, key) = certifier.certify(&[DOMAIN]);
    fs::write(folder.join("chain.pem"), certificate).unwrap();
    fs::write(folder.join("key.pem"), key).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certifier.authority.der().clone()).unwrap();
    (certifier.authority.pem(), roots)
}

/// The server's.
pub(crate) fn domain() -> Fqdn {
    DOMAIN.parse().unwrap()
}

pub(crate) const DOMAIN: &str = "alpha.test";
/// Where those who attack come from.
pub(crate) const HOSTILE_NETWORK: [u8; 3] = [127, 0, 1];
