//! T30 over sockets: people talk over HTTPS while every crate logs at its finest level.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails by panicking, and reports")]

mod certifier;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::TcpListener,
    process::Command,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use phoenix_client::{Client, ClientPorts, Event, Settings, Stretch};
use phoenix_conformance::world::{Logged, Searched, capture_all, captured_of_all};
use phoenix_core::{
    ErrorReply, Fqdn,
    api::ServiceName,
    port::{Outgoing, Transport, TransportError},
    store::MemoryStore,
    wire::Wire,
};
use phoenix_homeserver::{Homeserver, OsEntropy, SystemClock};
use phoenix_http::{HttpTransport, Server, ServerTls, router};

use certifier::Certifier;

#[tokio::test(flavor = "multi_thread")]
async fn t30_over_https_no_crate_but_those_that_the_binary_bars_logs_what_is_sent_or_where_from() {
    capture_all();
    let domain: Fqdn = "alpha.test".parse().unwrap();
    let transport = serve(&domain).await;
    let canaries = Canaries::default();
    let [anna, bert] = [(); 2].map(|()| register(&domain, &transport, &canaries));
    let (anna, bert) = (anna.await, bert.await);
    let group = anna.connect(bert.user()).await.unwrap();
    for event in bert.sync(Duration::ZERO).await.unwrap() {
        if let Event::Offer { offer, .. } = event {
            bert.accept(offer).await.unwrap();
        }
    }
    anna.sync(Duration::from_secs(5)).await.unwrap();
    anna.send(&group, TEXT).await.unwrap();
    canaries.add("message", TEXT);
    canaries.add("group id", group.uuid.as_bytes());
    canaries.add("address", "127.0.0.1");

    let (log, canaries) = (captured_of_all(), canaries.0.lock().unwrap().clone());
    let mut showing = BTreeSet::new();
    for (name, lines) in by_crate(&log) {
        let searched = Searched::new(lines.iter().copied());
        let shown: BTreeSet<_> =
            canaries.iter().filter(|(_, bytes)| searched.shows(bytes)).map(|(kind, _)| kind).collect();
        println!("{name}: {} lines, shows {shown:?}", lines.len());
        if !shown.is_empty() {
            showing.insert(name);
        }
    }

    assert!(!showing.iter().any(|name| name.starts_with("phoenix")), "{showing:?}");
    assert!(by_crate(&log).keys().any(|name| name.starts_with("phoenix")), "nothing of ours was captured");
    assert!(
        !showing.is_empty(),
        "the search finds nothing where something is: reqwest tells where it connects"
    );
}

#[test]
fn t30_the_binary_logs_what_is_ours_alone_whatever_it_is_told_to() {
    let output = Command::new(env!("CARGO_BIN_EXE_phoenix-server"))
        .args(["demo", "--until", "3", "--json"])
        .env("RUST_LOG", "trace,h2=trace,openmls=trace")
        .output()
        .unwrap();

    assert_eq!(output.status.code(), Some(0));
    let printed = String::from_utf8(output.stderr).unwrap();
    assert!(printed.contains("phoenix_core::work"), "{printed}");
    for barred in ["hyper", "h2::", "reqwest", "rustls", "openmls", "mio::", "tower"] {
        assert!(!printed.contains(&format!(" {barred}")), "{barred}");
    }
}

async fn serve(domain: &Fqdn) -> HttpTransport {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let certifier = Certifier::new();
    let (certificate, key) = certifier.certify(&[domain.as_str(), &format!("*.{domain}")]);
    let tls = ServerTls::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap();
    let transport = || {
        let builder = HttpTransport::builder().authorities(certifier.authority.pem());
        builder.resolve(domain.clone(), address).build().unwrap()
    };
    let home = Homeserver::builder(domain.clone()).store(MemoryStore::new()).transport(transport());
    let home = home.build().await.unwrap();
    tokio::spawn(home.clone().run());
    tokio::spawn(Server::new(listener, tls, router(home)).run(std::future::pending()));
    transport()
}

async fn register(domain: &Fqdn, transport: &HttpTransport, canaries: &Canaries) -> Client {
    let ports = ClientPorts {
        transport: Arc::new(Tap { inner: transport.clone(), canaries: canaries.clone() }),
        witness: None,
        clock: Arc::new(SystemClock),
        entropy: Arc::new(OsEntropy),
    };
    let settings = Settings { stretch: Stretch::least(), ..Settings::new(domain.clone(), PASSWORD) };
    let client = Client::register(settings, ports).await.unwrap();
    client.set_up().await.unwrap();
    canaries.add("password", PASSWORD);
    canaries.add("user id", client.user().uuid.as_bytes());
    canaries.add("user id in words", client.user().uuid.to_string());
    client
}

/// What must not be logged, by kind.
#[derive(Clone, Default)]
struct Canaries(Arc<Mutex<Vec<Canary>>>);

/// Its kind, and what is sought.
type Canary = (String, Vec<u8>);

impl Canaries {
    fn add(&self, kind: &str, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        // Fewer are no secret, and occur by chance.
        if bytes.len() >= "127.0.0.1".len() {
            self.0.lock().unwrap().push((kind.to_owned(), bytes.to_vec()));
        }
    }
}

/// A transport that notes all that passes.
struct Tap {
    inner: HttpTransport,
    canaries: Canaries,
}

#[async_trait]
impl Transport for Tap {
    async fn send(&self, to: &Fqdn, outgoing: Outgoing) -> Result<Result<Bytes, ErrorReply>, TransportError> {
        let (name, call) = (outgoing.name, outgoing.call.clone());
        if let Some(token) = &call.token {
            self.canaries.add("token", token.nonce);
        }
        if let Some(frame) = &call.auth {
            self.canaries.add("sender", frame.sender.encode());
        }
        self.canaries.add(&format!("call of {name}"), call.encode());
        let answer = self.inner.send(to, outgoing).await?;
        if let Ok(answer) = &answer {
            self.canaries.add(&format!("answer of {name}"), answer);
        }
        Ok(answer)
    }

    async fn fetch(&self, from: &Fqdn, service: ServiceName) -> Result<Bytes, TransportError> {
        self.inner.fetch(from, service).await
    }
}

fn by_crate(log: &[Logged]) -> BTreeMap<&str, Vec<&Logged>> {
    let mut lines: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for logged in log {
        lines.entry(logged.target.split(':').next().unwrap_or_default()).or_default().push(logged);
    }
    lines
}

const TEXT: &str = "a text that only two people in the world may read";
const PASSWORD: &str = "a password that nobody else has ever thought of";
