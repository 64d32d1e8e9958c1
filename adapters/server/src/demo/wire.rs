//! The wire between two servers: a relay for each direction, so that cutting it is real.

use std::{io, net::SocketAddr};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// Carries connections to one server, while it is whole.
pub(crate) struct Relay {
    address: SocketAddr,
    whole: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Relay {
    /// Begins to carry connections to `to`, from any free port of this machine.
    pub(crate) async fn start(to: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (whole, state) = watch::channel(true);
        let task = tokio::spawn(async move {
            // An error is one connection's; the next may do better.
            loop {
                if let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(carry(stream, to, state.clone()));
                }
            }
        });
        Ok(Self { address, whole, task })
    }

    /// Where the relay takes connections.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Drops all connections, and each new one at once.
    pub(crate) fn cut(&self) {
        self.whole.send_replace(false);
    }

    /// Carries connections again.
    pub(crate) fn mend(&self) {
        self.whole.send_replace(true);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Carries one connection until it ends, or the wire is cut.
async fn carry(mut from: TcpStream, to: SocketAddr, mut whole: watch::Receiver<bool>) {
    if !*whole.borrow_and_update() {
        return;
    }
    let Ok(mut onward) = TcpStream::connect(to).await else { return };
    for stream in [&from, &onward] {
        // Delays of Nagle's algorithm are nobody's latency; where it cannot be switched off, they are.
        let _ = stream.set_nodelay(true);
    }
    tokio::select! {
        _ = copy_bidirectional(&mut from, &mut onward) => {}
        _ = whole.wait_for(|whole| !whole) => {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
    };

    use super::Relay;

    #[tokio::test]
    async fn a_cut_wire_drops_what_is_on_it_and_carries_nothing_until_it_is_mended() {
        let echo = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let relay = Relay::start(echo.local_addr().unwrap()).await.unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = echo.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    tokio::io::copy(&mut read, &mut write).await
                });
            }
        });
        let mut standing = TcpStream::connect(relay.address()).await.unwrap();
        assert!(answers(&mut standing).await);

        relay.cut();
        assert!(!answers(&mut standing).await);
        assert!(!answers(&mut TcpStream::connect(relay.address()).await.unwrap()).await);

        relay.mend();
        assert!(answers(&mut TcpStream::connect(relay.address()).await.unwrap()).await);
    }

    async fn answers(stream: &mut TcpStream) -> bool {
        let mut answer = [0];
        stream.write_all(&[7]).await.is_ok() && matches!(stream.read(&mut answer).await, Ok(1))
    }
}
