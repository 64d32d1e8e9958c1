//! What those who attack do.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::SinkExt;
use phoenix_core::wire::{Call, Wire};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::sleep,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_tungstenite::{
    client_async,
    tungstenite::{Message, client::IntoClientRequest},
};

use crate::{
    A_MOMENT,
    booty::Booty,
    http::{answer, head, request_with},
    site::{DOMAIN, Site},
};

/// What one who attacks does on a connection, and when the server cuts it off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Attack {
    /// Says nothing: until a handshake should have been made.
    Silence,
    /// Begins a handshake, and leaves it: as long.
    HalfHandshake,
    /// Shakes hands, and says nothing: until headers should have come.
    Handshake,
    /// Sends headers, a byte at a time: as long.
    SlowHeaders,
    /// Sends headers without end: at the bound of headers.
    HeaderFlood,
    /// Announces a body, sends half of it, and waits: until the body should have come, or where there is no memory for
    /// it.
    HalfBody,
    /// Announces a body over every bound, and sends it: at once.
    Oversize,
    /// Announces a piece of a body that never ends, and sends it: at the endpoint's bound.
    EndlessChunk,
    /// Sends calls of many endpoints whose vectors claim to be longer than they are: each is answered.
    LyingLengths,
    /// Creates groups with deep, huge and lying trees, signed and paid: each is answered.
    DeepTree,
    /// Asks for what is long, again and again, and reads none of it: when no piece of a reply was taken for long.
    SlowReader,
    /// Opens a stream of a full queue, and takes nothing: when a message was not taken for long, or another opens that
    /// queue's stream.
    StreamReader,
    /// Reads a full queue, a little at a time: refused where there is no memory for the reply.
    SlowDequeue,
    /// Reads a full queue, again and again: refused in the same way.
    Dequeue,
}

impl Attack {
    pub(crate) const ALL: [Self; 14] = [
        Self::Silence,
        Self::HalfHandshake,
        Self::Handshake,
        Self::SlowHeaders,
        Self::HeaderFlood,
        Self::HalfBody,
        Self::Oversize,
        Self::EndlessChunk,
        Self::LyingLengths,
        Self::DeepTree,
        Self::SlowReader,
        Self::StreamReader,
        Self::SlowDequeue,
        Self::Dequeue,
    ];
}

/// Those who attack.
pub(crate) struct Attackers {
    server: SocketAddr,
    tls: Arc<ClientConfig>,
    booty: Arc<Booty>,
    /// What each kind was told, by status, and how often.
    told: Mutex<BTreeMap<(Attack, u16), usize>>,
}

impl Attackers {
    pub(crate) fn new(site: &Site, booty: Arc<Booty>) -> Self {
        Self { server: site.address, tls: site.tls.clone(), booty, told: Mutex::default() }
    }

    /// One who comes again and again, from an address that it shares with a few, and does the same each time.
    pub(crate) async fn go_on(self: Arc<Self>, attack: Attack, number: usize) {
        loop {
            if let Some(stream) = connect(self.server, attack, number).await {
                let _ = self.carry_out(attack, number, stream).await;
            }
            sleep(A_MOMENT).await;
        }
    }

    /// What a kind was told so far.
    pub(crate) fn told(&self, attack: Attack) -> String {
        let told = self.told.lock().unwrap();
        let of_it = told.iter().filter(|((of, _), _)| *of == attack);
        let words: Vec<_> = of_it.map(|((_, status), count)| format!("{status}: {count}")).collect();
        format!("answers: {}", if words.is_empty() { "none".to_owned() } else { words.join(", ") })
    }

    /// Whether each who waits for answers got those that show how far it came.
    pub(crate) fn examine(&self) {
        let told = self.told.lock().unwrap();
        for (attack, status) in [
            (Attack::LyingLengths, 400),
            // By its shape, and by its length.
            (Attack::DeepTree, 400),
            (Attack::DeepTree, 413),
            (Attack::StreamReader, 101),
            (Attack::Dequeue, 200),
            (Attack::SlowDequeue, 200),
        ] {
            assert!(told.contains_key(&(attack, status)), "{attack:?} was never told {status}");
        }
    }

    /// Goes on until the server has enough.
    async fn carry_out(&self, attack: Attack, number: usize, mut stream: TcpStream) -> std::io::Result<()> {
        if attack == Attack::HalfHandshake {
            stream.write_all(&[22, 3, 1, 2, 0, 1]).await?;
        }
        if matches!(attack, Attack::Silence | Attack::HalfHandshake) {
            return listen(&mut stream).await;
        }
        let name = ServerName::try_from(DOMAIN).unwrap();
        let mut stream = TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream).await?;
        match attack {
            Attack::Silence | Attack::HalfHandshake | Attack::Handshake => {}
            Attack::SlowHeaders => {
                stream.write_all(b"POST /v1/qs/dequeue HTTP/1.1\r\nx: ").await?;
                while stream.write_all(b"y").await.is_ok() {
                    stream.flush().await?;
                    sleep(A_MOMENT).await;
                }
            }
            Attack::HeaderFlood => {
                stream.write_all(b"POST /v1/qs/dequeue HTTP/1.1\r\n").await?;
                while stream.write_all(&[b"x: ", [b'y'; 1_000].as_slice(), b"\r\n"].concat()).await.is_ok() {}
            }
            Attack::HalfBody => {
                stream.write_all(&announcement(number, "content-length: 204800\r\n\r\n")).await?;
                stream.write_all(&[0; 100 << 10]).await?;
            }
            Attack::Oversize => {
                stream.write_all(&announcement(number, "content-length: 1099511627776\r\n\r\n")).await?;
                while stream.write_all(&[0; 16 << 10]).await.is_ok() {}
            }
            Attack::EndlessChunk => {
                let chunk = "transfer-encoding: chunked\r\n\r\nfffffffffffffff\r\n";
                stream.write_all(&announcement(number, chunk)).await?;
                while stream.write_all(&[0; 16 << 10]).await.is_ok() {}
            }
            Attack::LyingLengths => self.lie(number, &mut stream).await?,
            Attack::DeepTree => self.ask(attack, &[self.booty.tree()], 0, &mut stream).await?,
            Attack::Dequeue => self.ask(attack, &self.booty.reads, number, &mut stream).await?,
            Attack::SlowReader => {
                let request = format!("GET /.well-known/phoenix/as-keys HTTP/1.1\r\nhost: {DOMAIN}\r\n\r\n");
                while stream.write_all(request.as_bytes()).await.is_ok() {}
                return Ok(());
            }
            Attack::StreamReader => return self.open_stream(stream).await,
            Attack::SlowDequeue => {
                stream.write_all(&self.booty.reads[number % self.booty.reads.len()]).await?;
                let mut status = [0; 12];
                stream.read_exact(&mut status).await?;
                self.note(attack, std::str::from_utf8(&status[9..]).unwrap().parse().unwrap());
                while stream.read(&mut [0; 4 << 10]).await? > 0 {
                    sleep(A_MOMENT).await;
                }
            }
        }
        listen(&mut stream).await
    }

    fn note(&self, attack: Attack, status: u16) {
        *self.told.lock().unwrap().entry((attack, status)).or_default() += 1;
    }

    /// Makes calls of one kind, one after the other.
    async fn ask(
        &self,
        attack: Attack,
        requests: &[Vec<u8>],
        number: usize,
        stream: &mut TlsStream<TcpStream>,
    ) -> std::io::Result<()> {
        for request in requests.iter().cycle().skip(number % requests.len()) {
            stream.write_all(request).await?;
            let Some(status) = answer(stream).await else { break };
            self.note(attack, status);
            sleep(A_MOMENT).await;
        }
        Ok(())
    }

    /// Sends calls that were once right: in each, some bytes claim a vector that there is not.
    async fn lie(&self, number: usize, stream: &mut TlsStream<TcpStream>) -> std::io::Result<()> {
        for step in 0_usize.. {
            // Steps that meet other calls and other places for each who lies.
            let it = &self.booty.calls[(number + step * 7) % self.booty.calls.len()];
            let mut body = Call { token: None, ..it.call.clone() }.encode().to_vec();
            let (lie, place) = (LIES[step % LIES.len()], (number * 31 + step * 5) % body.len().min(NEAR));
            let end = body.len().min(place + lie.len());
            body[place..end].copy_from_slice(&lie[..end - place]);
            stream.write_all(&request_with(it, &body)).await?;
            let Some(status) = answer(stream).await else { break };
            self.note(Attack::LyingLengths, status);
            sleep(A_MOMENT).await;
        }
        Ok(())
    }

    /// Opens a stream and takes nothing of it; where it has no call for it, it says nothing.
    async fn open_stream(&self, stream: TlsStream<TcpStream>) -> std::io::Result<()> {
        let request = format!("wss://{DOMAIN}/v1/qs/stream").into_client_request().unwrap();
        let Ok((mut socket, response)) = client_async(request, stream).await else { return Ok(()) };
        self.note(Attack::StreamReader, response.status().as_u16());
        if let Some(call) = self.booty.stream() {
            let _ = socket.send(Message::binary(call)).await;
        }
        sleep(HOLD).await;
        Ok(())
    }
}

/// The head of a call of one of many endpoints, with what it says of its body.
fn announcement(number: usize, body: &str) -> Vec<u8> {
    (head(PATHS[number % PATHS.len()]) + body).into_bytes()
}

/// Waits until the other side has closed.
async fn listen(stream: &mut (impl AsyncReadExt + Unpin)) -> std::io::Result<()> {
    let mut buffer = [0; 1 << 10];
    while stream.read(&mut buffer).await? > 0 {}
    Ok(())
}

async fn connect(server: SocketAddr, attack: Attack, number: usize) -> Option<TcpStream> {
    let socket = TcpSocket::new_v4().ok()?;
    if matches!(attack, Attack::SlowReader | Attack::StreamReader | Attack::SlowDequeue) {
        // So that what is not read stays with the server.
        socket.set_recv_buffer_size(4 << 10).ok()?;
    }
    // No more connections of one address than the server gives it, so that bounds farther in are tried, too.
    let source = Ipv4Addr::new(127, 0, 1, u8::try_from(number % SOURCES).ok()?);
    socket.bind(SocketAddr::from((source, 0))).ok()?;
    socket.connect(server).await.ok()
}

/// Endpoints of each service, with small bodies and large ones.
const PATHS: [&str; 5] =
    ["as/register_init", "qs/create_user", "qs/federated_enqueue", "ds/create_group", "ds/send_message"];
/// Lengths of a gigabyte, of 64 KiB less one, not minimal, and of a kind that there is not (RFC 9420 §2.1.2).
const LIES: [&[u8]; 5] =
    [&[0xbf, 0xff, 0xff, 0xff], &[0x80, 0x00, 0xff, 0xff], &[0x7f, 0xff], &[0x40, 0x01], &[0xff]];
/// Bytes of a call, from its beginning, among which lies stand.
const NEAR: usize = 2 << 10;
/// Addresses that connections come from.
const SOURCES: usize = 16;
/// For how long a stream is held of which nothing is read.
const HOLD: Duration = Duration::from_secs(10);
