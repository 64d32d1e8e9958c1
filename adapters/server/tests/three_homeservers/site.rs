//! Three processes of the binary, each with an address, a certificate and a database of its own.

use std::{
    collections::BTreeMap,
    fs,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use phoenix_core::Fqdn;
use phoenix_http::HttpTransport;
use tokio::{net::TcpStream, time::sleep};

use crate::{certifier::Certifier, wire::Wire};

/// The homeservers, and the wires between them.
pub(crate) struct Site {
    homes: Vec<Home>,
    /// From each homeserver, and its users, to each other one.
    wires: BTreeMap<(usize, usize), Wire>,
    authority: String,
    folder: tempfile::TempDir,
}

struct Home {
    domain: Fqdn,
    address: SocketAddr,
    process: Option<Child>,
}

impl Site {
    /// Starts all three.
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = certificates(folder.path());
        let homes: Vec<Home> = DOMAINS.into_iter().zip(ADDRESSES).map(Home::new).collect();
        let mut wires = BTreeMap::new();
        for from in 0..DOMAINS.len() {
            for to in (0..DOMAINS.len()).filter(|to| *to != from) {
                let wire = Wire::lay(homes[from].address.ip(), homes[to].address).await;
                wires.insert((from, to), wire);
            }
        }
        let mut site = Self { homes, wires, authority, folder };
        for home in 0..DOMAINS.len() {
            site.revive(home).await;
        }
        site
    }

    pub(crate) fn domain(&self, home: usize) -> &Fqdn {
        &self.homes[home].domain
    }

    /// How the users of a homeserver reach all three: the others over the wires that it reaches them by itself.
    pub(crate) fn road(&self, of: usize) -> HttpTransport {
        let road = HttpTransport::builder().of_client().authorities(self.authority.clone());
        let road = road.resolve(self.domain(of).clone(), self.homes[of].address);
        let others = self.wires_from(of);
        others
            .fold(road, |road, (to, wire)| road.resolve(self.domain(to).clone(), wire.address()))
            .build()
            .unwrap()
    }

    /// Ends a process at once, wherever it is: `kill -9`.
    pub(crate) fn kill(&mut self, home: usize) {
        let mut process = self.homes[home].process.take().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// Starts a homeserver's process on the database that it has, and waits until it listens.
    pub(crate) async fn revive(&mut self, home: usize) {
        let at = |name: String| self.folder.path().join(name);
        let Home { domain, address, .. } = &self.homes[home];
        let mut command = Command::new(env!("CARGO_BIN_EXE_phoenix-server"));
        command.args(["serve", "--domain", domain.as_str(), "--listen", &address.to_string()]);
        for (option, file) in [
            ("--db", format!("{domain}.db")),
            ("--tls-cert", format!("{domain}.pem")),
            ("--tls-key", format!("{domain}.key")),
            ("--authority", AUTHORITY.to_owned()),
        ] {
            command.arg(option).arg(at(file));
        }
        for (to, wire) in self.wires_from(home) {
            command.args(["--resolve", &format!("{}={}", self.domain(to), wire.address())]);
        }
        let process =
            command.env_remove("RUST_LOG").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let address = *address;
        self.homes[home].process = Some(process);
        while TcpStream::connect(address).await.is_err() {
            sleep(A_MOMENT).await;
        }
    }

    /// Cuts a homeserver and its users off from the others, both ways.
    pub(crate) fn cut(&self, home: usize) {
        self.wires_of(home).for_each(Wire::cut);
    }

    /// Mends what was cut.
    pub(crate) fn mend(&self, home: usize) {
        self.wires_of(home).for_each(Wire::mend);
    }

    fn wires_from(&self, home: usize) -> impl Iterator<Item = (usize, &Wire)> {
        self.wires.iter().filter(move |((from, _), _)| *from == home).map(|((_, to), wire)| (*to, wire))
    }

    fn wires_of(&self, home: usize) -> impl Iterator<Item = &Wire> {
        self.wires.iter().filter(move |((from, to), _)| [*from, *to].contains(&home)).map(|(_, wire)| wire)
    }
}

impl Home {
    fn new((domain, address): (&str, &str)) -> Self {
        // Another program may take the port before the homeserver does: then nothing here comes to pass.
        let listener = TcpListener::bind((address, 0)).unwrap();
        Self { domain: domain.parse().unwrap(), address: listener.local_addr().unwrap(), process: None }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// A certificate and its key for each domain, and the authority that signed them, in files of this folder; gives the
/// authority, in PEM.
fn certificates(folder: &Path) -> String {
    let certifier = Certifier::new();
    let authority = certifier.authority.pem();
    let write = |name: String, text: String| fs::write(folder.join(name), text).unwrap();
    for domain in DOMAINS {
        let (certificate, key) = certifier.certify(&[domain]);
        write(format!("{domain}.pem"), certificate);
        write(format!("{domain}.key"), key);
    }
    write(AUTHORITY.to_owned(), authority.clone());
    authority
}

const DOMAINS: [&str; 3] = ["alpha.test", "beta.test", "gamma.test"];
const ADDRESSES: [&str; 3] = ["127.0.0.1", "127.0.0.2", "127.0.0.3"];
const AUTHORITY: &str = "authority.pem";
const A_MOMENT: Duration = Duration::from_millis(20);
