//! The way from one homeserver to another: cut, nothing passes it, and nobody is told.

use std::{
    io::ErrorKind,
    net::{IpAddr, SocketAddr},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
};

/// Carries connections to one address. While it is cut, what is under way waits, as TCP lets it: whoever waits for an
/// answer gives up when they have waited long enough, and those who did not go on where they were once it is mended.
pub(crate) struct Wire {
    address: SocketAddr,
    whole: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Wire {
    /// From any free port of an address of this machine to another.
    pub(crate) async fn lay(from: IpAddr, to: SocketAddr) -> Self {
        let listener = TcpListener::bind((from, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (whole, state) = watch::channel(true);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(carry(stream, to, state.clone()));
            }
        });
        Self { address, whole, task }
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn cut(&self) {
        self.whole.send_replace(false);
    }

    pub(crate) fn mend(&self) {
        self.whole.send_replace(true);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Carries one connection until one side closes it.
async fn carry(from: TcpStream, to: SocketAddr, mut whole: watch::Receiver<bool>) {
    if whole.wait_for(|whole| *whole).await.is_err() {
        return;
    }
    // Where nobody listens, who connected is told so.
    let Ok(onward) = TcpStream::connect(to).await else { return };
    for stream in [&from, &onward] {
        let _ = stream.set_nodelay(true);
    }
    let ((from_read, from_write), (onward_read, onward_write)) = (from.into_split(), onward.into_split());
    let forth = pass(from_read, onward_write, whole.clone());
    let back = pass(onward_read, from_write, whole);
    let _ = tokio::join!(forth, back);
}

/// Passes on what is read, while the wire is whole.
async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut whole: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let count = from.read(&mut buffer).await;
        whole.wait_for(|whole| *whole).await.map_err(|_| ErrorKind::BrokenPipe)?;
        match count? {
            0 => return to.shutdown().await,
            count => to.write_all(&buffer[..count]).await?,
        }
    }
}
