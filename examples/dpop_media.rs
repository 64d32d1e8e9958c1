//! A media endpoint beside one homeserver that serves the users of another: they show who they are with a DPoP token of
//! their own homeserver's (RFC 9449).
//!
//! `cargo run --example dpop_media` plays all parts in one process: the homeserver alpha.test over HTTPS, with a user; the
//! homeserver beta.test, with an API that knows whose files are whose; and a thief.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::{
    collections::BTreeMap,
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, ensure};
use axum::{
    Router,
    body::Bytes,
    extract::{FromRef, Path, State},
    http::StatusCode,
    routing::put,
};
use phoenix_client::{Client, ClientPorts, DpopToken, Settings};
use phoenix_core::{UserId, store::MemoryStore};
use phoenix_homeserver::{Homeserver, OsEntropy, SystemClock};
use phoenix_http::{Dpop, DpopCaller, DpopOptions, HttpTransport, Server, ServerTls};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let certificates = Certificates::new()?;
    let alpha_at = TcpListener::bind("127.0.0.1:0")?;
    // Names lead nowhere in an example: both sides are told where alpha.test is, and whom to trust.
    let transport = HttpTransport::builder()
        .authorities(certificates.authority.clone())
        .resolve("alpha.test".parse()?, alpha_at.local_addr()?)
        .build()?;
    alpha(alpha_at, &certificates, &transport).await?;
    let media_at = beta(&transport).await?;

    let ports = ClientPorts {
        transport: Arc::new(transport),
        witness: None,
        clock: Arc::new(SystemClock),
        entropy: Arc::new(OsEntropy),
    };
    let anna = Client::register(Settings::new("alpha.test".parse()?, "correct horse battery staple"), ports);
    let anna = anna.await?;
    let token = anna.dpop_token(&["beta.test".parse()?]).await?;

    let stored =
        ask(media_at, "PUT", "cat.png", &token.authorization(), &proof(&token, "PUT"), "a cat").await?;
    ensure!(stored.0 == 201, "it was not stored: {stored:?}");
    let read_proof = proof(&token, "GET");
    let read = ask(media_at, "GET", "cat.png", &token.authorization(), &read_proof, "").await?;
    ensure!(read == (200, "a cat".to_owned()), "it was not read: {read:?}");
    println!("beta.test keeps a file for {}, of another homeserver", anna.user());

    let replayed = ask(media_at, "GET", "cat.png", &token.authorization(), &read_proof, "").await?;
    ensure!(replayed.0 == 401, "a proof was good twice: {replayed:?}");
    let stolen = ask(media_at, "GET", "cat.png", &token.authorization(), "", "").await?;
    ensure!(stolen.0 == 401, "a stolen token was good: {stolen:?}");
    println!("a thief with the token, and with a proof that was used, is shown nothing");
    Ok(())
}

/// The homeserver of the user.
async fn alpha(
    listener: TcpListener,
    certificates: &Certificates,
    transport: &HttpTransport,
) -> anyhow::Result<()> {
    let home = Homeserver::builder("alpha.test".parse()?)
        .store(MemoryStore::new())
        .transport(transport.clone())
        .build()
        .await?;
    tokio::spawn(home.clone().run());
    let tls = ServerTls::from_pem(certificates.chain.as_bytes(), certificates.key.as_bytes())?;
    let server = Server::new(listener, tls, phoenix_http::router(home));
    tokio::spawn(server.run(std::future::pending()));
    Ok(())
}

/// The other homeserver, with an API of its embedder's. A proxy that speaks TLS for `media.beta.test` is to stand before it.
async fn beta(transport: &HttpTransport) -> anyhow::Result<SocketAddr> {
    let home = Homeserver::builder("beta.test".parse()?)
        .store(MemoryStore::new())
        .transport(transport.clone())
        .build()
        .await?;
    tokio::spawn(home.clone().run());
    let options = DpopOptions::new("https://media.beta.test".parse()?);
    let dpop = Dpop::new(home, transport.clone(), options);
    let media = Media { dpop, files: Arc::default() };
    let app = Router::new().route("/{name}", put(store).get(read)).with_state(media);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await
    });
    Ok(address)
}

/// Files of each user. What a user may do here is this program's own business.
#[derive(Clone)]
struct Media {
    dpop: Dpop,
    files: Arc<Mutex<BTreeMap<(UserId, String), Bytes>>>,
}

impl FromRef<Media> for Dpop {
    fn from_ref(media: &Media) -> Self {
        media.dpop.clone()
    }
}

async fn store(
    DpopCaller(visit): DpopCaller,
    State(media): State<Media>,
    Path(name): Path<String>,
    content: Bytes,
) -> StatusCode {
    let mut files = media.files.lock().unwrap_or_else(PoisonError::into_inner);
    files.insert((visit.identity.user, name), content);
    StatusCode::CREATED
}

async fn read(
    DpopCaller(visit): DpopCaller,
    State(media): State<Media>,
    Path(name): Path<String>,
) -> Result<Bytes, StatusCode> {
    let files = media.files.lock().unwrap_or_else(PoisonError::into_inner);
    files.get(&(visit.identity.user, name)).cloned().ok_or(StatusCode::NOT_FOUND)
}

fn proof(token: &DpopToken, method: &str) -> String {
    token.proof(method, "https://media.beta.test/cat.png", None)
}

/// What the API answers: its status and its body.
async fn ask(
    address: SocketAddr,
    method: &str,
    name: &str,
    authorization: &str,
    proof: &str,
    body: &str,
) -> anyhow::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address).await?;
    let proof = if proof.is_empty() { String::new() } else { format!("DPoP: {proof}\r\n") };
    let request = format!(
        "{method} /{name} HTTP/1.1\r\nHost: media.beta.test\r\nConnection: close\r\nAuthorization: {authorization}\r\n\
         {proof}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").context("an answer without an end")?;
    let status = head.split(' ').nth(1).context("an answer without a status")?;
    Ok((status.parse()?, body.to_owned()))
}

/// An authority for as long as the example runs, and what it certifies for alpha.test. All in PEM.
struct Certificates {
    authority: String,
    chain: String,
    key: String,
}

impl Certificates {
    fn new() -> anyhow::Result<Self> {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate()?;
        let authority = parameters.self_signed(&key)?.pem();
        let issuer = Issuer::new(parameters, key);
        let key = KeyPair::generate()?;
        let chain = CertificateParams::new(vec!["alpha.test".to_owned()])?.signed_by(&key, &issuer)?.pem();
        Ok(Self { authority, chain, key: key.serialize_pem() })
    }
}
