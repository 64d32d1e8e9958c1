//! The socket over which an operator changes a running server: a Unix socket that only its owner may use. Over it go JSON
//! objects, one a line: an order there, and what came of it back.

use std::{
    fs,
    io::{self, ErrorKind},
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, bail};
use phoenix_homeserver::Admin;
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    sync::Semaphore,
    time::timeout,
};

use crate::peers::{Order, Outcome};

/// The socket of a server, which is removed when this is dropped.
pub(crate) struct AdminSocket {
    listener: UnixListener,
    path: PathBuf,
    /// The user that the server runs as.
    owner: u32,
}

impl AdminSocket {
    /// Listens at a path, in place of a socket that a server has left there which ended without removing it.
    ///
    /// # Errors
    /// Where something else is there, or a server that answers; or where there can be no socket.
    pub(crate) fn bind(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        match fs::symlink_metadata(path) {
            Ok(found) if !found.file_type().is_socket() => {
                bail!("{shown}: this is something else than a socket")
            }
            Ok(_) if std::os::unix::net::UnixStream::connect(path).is_ok() => {
                bail!("{shown}: another server listens there already")
            }
            Ok(_) => fs::remove_file(path).with_context(|| format!("{shown}"))?,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("{shown}")),
        }
        let listener = UnixListener::bind(path).with_context(|| format!("{shown}"))?;
        let mut socket = Self { listener, path: path.to_owned(), owner: ROOT };
        let made =
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).and_then(|()| fs::metadata(path));
        socket.owner = made.with_context(|| format!("{shown}"))?.uid();
        Ok(socket)
    }

    /// Answers operators, until it is dropped. Each has a connection and a task of its own, so that a slow one is waited
    /// for by nobody else.
    pub(crate) async fn serve(self, admin: Admin) {
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            let Ok((stream, _)) = self.listener.accept().await else {
                // Too many files are open: there may be room in a moment.
                tokio::time::sleep(ACCEPT_REST).await;
                continue;
            };
            // Somebody else may have connected before the file had its mode.
            if !stream.peer_cred().is_ok_and(|peer| [ROOT, self.owner].contains(&peer.uid())) {
                continue;
            }
            let Ok(place) = places.clone().try_acquire_owned() else { continue };
            let admin = admin.clone();
            tokio::spawn(async move {
                // What ends a connection is no news to a server.
                let _ = answer(stream, &admin).await;
                drop(place);
            });
        }
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

async fn answer(stream: UnixStream, admin: &Admin) -> io::Result<()> {
    let (from, mut to) = stream.into_split();
    let mut from = BufReader::new(from);
    loop {
        let Some(order) = timeout(PATIENCE, line(&mut from, MAX_ORDER)).await?? else { return Ok(()) };
        let outcome = carried_out(&order, admin).await;
        let mut said = serde_json::to_vec(&outcome)?;
        said.push(b'\n');
        timeout(PATIENCE, to.write_all(&said)).await??;
    }
}

async fn carried_out(order: &[u8], admin: &Admin) -> Outcome {
    let order: Order = match serde_json::from_slice(order) {
        Ok(order) => order,
        Err(error) => return Outcome::Error(format!("this is no order: {error}")),
    };
    order.carry_out(admin).await.unwrap_or_else(|error| Outcome::Error(format!("{error:#}")))
}

/// An operator's connection to a server.
pub(crate) struct Connection(BufReader<UnixStream>);

impl Connection {
    /// Connects to the server that listens at a path.
    ///
    /// # Errors
    /// Where none does.
    pub(crate) async fn open(path: &Path) -> anyhow::Result<Self> {
        let stream = UnixStream::connect(path).await;
        let stream = stream.with_context(|| format!("{}: no server answers there", path.display()))?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Gives an order, and says what came of it.
    ///
    /// # Errors
    /// Where it is not carried out.
    pub(crate) async fn give(&mut self, order: &Order) -> anyhow::Result<Outcome> {
        let mut said = serde_json::to_vec(order)?;
        said.push(b'\n');
        self.0.write_all(&said).await?;
        let answer = line(&mut self.0, MAX_ANSWER).await?.context("the server has hung up")?;
        match serde_json::from_slice(&answer)? {
            Outcome::Error(error) => bail!("{error}"),
            outcome => Ok(outcome),
        }
    }
}

/// A line without its end; none where the other side has hung up.
async fn line(from: &mut (impl AsyncBufRead + Unpin), most: u64) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    from.take(most).read_until(b'\n', &mut line).await?;
    match line.pop() {
        None => Ok(None),
        Some(b'\n') => Ok(Some(line)),
        Some(_) => Err(ErrorKind::InvalidData.into()),
    }
}

/// The user that may do everything.
const ROOT: u32 = 0;
/// Operators at a time: a few people, and what they have automated.
const MAX_CONNECTIONS: usize = 16;
/// Bytes of an order: several times the longest pattern with all that can be said of it.
const MAX_ORDER: u64 = 4 << 10;
/// Bytes of an answer: as many rules as there may be, at their longest.
const MAX_ANSWER: u64 = 4 << 20;
/// How long a connection may be idle, or take for an answer.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long nobody is let in after accepting has failed.
const ACCEPT_REST: Duration = Duration::from_millis(100);
