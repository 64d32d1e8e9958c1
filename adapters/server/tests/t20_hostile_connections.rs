//! T20 against the real binary: a thousand connections that want to use it up, while an honest client goes on.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and reports"
)]

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use phoenix_client::{Client, ClientPorts, Event, Settings, Stretch};
use phoenix_core::{Fqdn, GroupId};
use phoenix_homeserver::{OsEntropy, SystemClock};
use phoenix_http::HttpTransport;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName, version};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::sleep,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

#[tokio::test(flavor = "multi_thread")]
async fn t20_a_thousand_hostile_connections_take_bounded_memory_and_an_honest_client_goes_on() {
    let site = Site::start();
    let [anna, bert] = [site.client().await, site.client().await];
    let group = connected(&anna, &bert).await;

    // Each that is cut off comes back, as long as the honest talk.
    let hostile: Vec<_> = (0..HOSTILE).map(|number| tokio::spawn(site.attack(number))).collect();
    let connections = site.crowded().await;
    let mut arrived = 0;
    for number in 0..MESSAGES {
        anna.send(&group, format!("{number}")).await.unwrap();
        arrived += read(&bert).await;
    }
    while arrived < MESSAGES {
        arrived += read(&bert).await;
    }
    for task in hostile {
        task.abort();
    }

    let peak = site.peak_mib();
    println!(
        "{arrived} of {MESSAGES} messages arrived beside {HOSTILE} who attack, {connections} of them connected at the beginning; peak {peak} MiB"
    );
    assert_eq!(arrived, MESSAGES);
    assert!(peak < MOST_MIB, "{peak} MiB");
}

/// The binary on a port of its own, with what one must know to reach it.
struct Site {
    server: Child,
    address: SocketAddr,
    authority: String,
    tls: Arc<ClientConfig>,
    _folder: tempfile::TempDir,
}

impl Site {
    fn start() -> Self {
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
    async fn client(&self) -> Client {
        let domain: Fqdn = DOMAIN.parse().unwrap();
        let transport = HttpTransport::builder()
            .authorities(self.authority.clone())
            .resolve(domain.clone(), self.address)
            .build()
            .unwrap();
        let settings = Settings { stretch: Stretch::least(), ..Settings::new(domain, "correct horse") };
        let client = loop {
            let ports = ClientPorts {
                transport: Arc::new(transport.clone()),
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

    /// One who comes again and again, from an address that it shares with a few, and does the same each time.
    fn attack(&self, number: usize) -> impl Future<Output = ()> + Send + 'static {
        let (address, tls) = (self.address, self.tls.clone());
        async move {
            loop {
                if let Some(stream) = connect(address, number).await {
                    let _ = Attack::of(number).carry_out(stream, &tls).await;
                }
                sleep(WAIT).await;
            }
        }
    }

    /// Waits until most who attack are connected at once, and says how many.
    async fn crowded(&self) -> usize {
        loop {
            let connections = self.connections();
            if connections >= CROWD {
                return connections;
            }
            sleep(A_MOMENT).await;
        }
    }

    /// Sockets that the server holds.
    fn connections(&self) -> usize {
        let open = fs::read_dir(format!("/proc/{}/fd", self.server.id())).unwrap();
        let link = |entry: fs::DirEntry| fs::read_link(entry.path()).ok();
        let links = open.filter_map(Result::ok).filter_map(link);
        links.filter(|link| link.to_string_lossy().starts_with("socket:")).count()
    }

    /// The most memory that the server ever had.
    fn peak_mib(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.server.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() >> 10
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// What one who attacks does on a connection.
#[derive(Clone, Copy, Debug)]
enum Attack {
    /// Says nothing.
    Silence,
    /// Begins a handshake, and leaves it.
    HalfHandshake,
    /// Shakes hands, and says nothing.
    Handshake,
    /// Sends headers, a byte at a time.
    SlowHeaders,
    /// Sends headers without end.
    HeaderFlood,
    /// Announces a body, sends half of it, and waits.
    HalfBody,
    /// Announces a body over every bound, and sends it.
    Oversize,
    /// Sends calls whose vectors claim to be longer than they are.
    LyingLengths,
    /// Asks for what is long, again and again, and reads none of it.
    SlowReader,
}

impl Attack {
    const ALL: [Self; 9] = [
        Self::Silence,
        Self::HalfHandshake,
        Self::Handshake,
        Self::SlowHeaders,
        Self::HeaderFlood,
        Self::HalfBody,
        Self::Oversize,
        Self::LyingLengths,
        Self::SlowReader,
    ];

    const fn of(number: usize) -> Self {
        Self::ALL[number % Self::ALL.len()]
    }

    /// Goes on until the server has enough.
    async fn carry_out(self, mut stream: TcpStream, tls: &Arc<ClientConfig>) -> std::io::Result<()> {
        if matches!(self, Self::HalfHandshake) {
            stream.write_all(&[22, 3, 1, 2, 0, 1]).await?;
        }
        if matches!(self, Self::Silence | Self::HalfHandshake) {
            return listen(&mut stream).await;
        }
        let name = ServerName::try_from(DOMAIN).unwrap();
        let mut stream = TlsConnector::from(Arc::clone(tls)).connect(name, stream).await?;
        match self {
            Self::Silence | Self::HalfHandshake | Self::Handshake => {}
            Self::SlowHeaders => {
                stream.write_all(b"POST /v1/qs/dequeue HTTP/1.1\r\nx: ").await?;
                while stream.write_all(b"y").await.is_ok() {
                    stream.flush().await?;
                    sleep(A_MOMENT).await;
                }
            }
            Self::HeaderFlood => {
                stream.write_all(b"POST /v1/qs/dequeue HTTP/1.1\r\n").await?;
                while stream.write_all(&[b"x: ", [b'y'; 1_000].as_slice(), b"\r\n"].concat()).await.is_ok() {}
            }
            Self::HalfBody => {
                stream.write_all(&head(200 << 10)).await?;
                stream.write_all(&[0; 100 << 10]).await?;
            }
            Self::Oversize => {
                stream.write_all(&head(1 << 40)).await?;
                while stream.write_all(&[0; 16 << 10]).await.is_ok() {}
            }
            Self::LyingLengths => lie(&mut stream).await?,
            Self::SlowReader => {
                let request = format!("GET /.well-known/phoenix/as-keys HTTP/1.1\r\nhost: {DOMAIN}\r\n\r\n");
                while stream.write_all(request.as_bytes()).await.is_ok() {}
                return Ok(());
            }
        }
        listen(&mut stream).await
    }
}

/// Sends calls that are not: each claims a vector of a gigabyte, at another place.
async fn lie(stream: &mut TlsStream<TcpStream>) -> std::io::Result<()> {
    let claim = [0xbf, 0xff, 0xff, 0xff];
    for place in 0.. {
        let mut body = vec![0, 1, 2, 2];
        body.resize(4 + place % 256, 1);
        body.extend(claim);
        stream.write_all(&head(body.len())).await?;
        stream.write_all(&body).await?;
        let mut answer = [0; 4 << 10];
        if stream.read(&mut answer).await? == 0 {
            break;
        }
    }
    Ok(())
}

fn head(length: usize) -> Vec<u8> {
    let head = format!(
        "POST /v1/qs/create_user HTTP/1.1\r\nhost: {DOMAIN}\r\ncontent-type: {MEDIA_TYPE}\r\n\
         content-length: {length}\r\n\r\n"
    );
    head.into_bytes()
}

/// Waits until the other side has closed.
async fn listen(stream: &mut (impl AsyncReadExt + Unpin)) -> std::io::Result<()> {
    let mut buffer = [0; 1 << 10];
    while stream.read(&mut buffer).await? > 0 {}
    Ok(())
}

async fn connect(server: SocketAddr, number: usize) -> Option<TcpStream> {
    let socket = TcpSocket::new_v4().ok()?;
    // No more connections of one address than the server gives it, so that bounds farther in are tried, too.
    let source = Ipv4Addr::new(127, 0, 1, u8::try_from(number % SOURCES).ok()?);
    socket.bind(SocketAddr::from((source, 0))).ok()?;
    socket.connect(server).await.ok()
}

/// Two clients of one server that have a connection, and its group.
async fn connected(anna: &Client, bert: &Client) -> GroupId {
    let group = anna.connect(bert.user()).await.unwrap();
    loop {
        for event in bert.sync(WAIT).await.unwrap() {
            if let Event::Offer { offer, .. } = event {
                bert.accept(offer).await.unwrap();
            }
        }
        let events = anna.sync(WAIT).await.unwrap();
        if events.iter().any(|event| matches!(event, Event::Connected { .. })) {
            return group;
        }
    }
}

/// Messages that have come.
async fn read(client: &Client) -> usize {
    let events = client.sync(Duration::from_secs(1)).await.unwrap();
    events.iter().filter(|event| matches!(event, Event::Message(_))).count()
}

/// Certificates for the binary, in files of this folder; the authority that signed them, in PEM and as roots.
fn certificates(folder: &Path) -> (String, RootCertStore) {
    let mut parameters = CertificateParams::default();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let authority = parameters.self_signed(&key).unwrap();
    let issuer = Issuer::new(parameters, key);
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new([DOMAIN.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    fs::write(folder.join("chain.pem"), certificate.pem()).unwrap();
    fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();
    (authority.pem(), roots)
}

const DOMAIN: &str = "alpha.test";
const MEDIA_TYPE: &str = "application/vnd.phoenix.v1";
/// Connections that attack at once,
const HOSTILE: usize = 1_000;
/// from so many addresses.
const SOURCES: usize = 8;
/// Sockets of the server that show that they are there: some are always cut off and about to come again.
const CROWD: usize = 500;
/// Messages that the honest exchange.
const MESSAGES: usize = 20;
/// What the server's process may take at its peak.
const MOST_MIB: usize = 256;
const WAIT: Duration = Duration::from_secs(1);
const A_MOMENT: Duration = Duration::from_millis(100);
