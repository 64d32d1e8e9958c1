//! What is this server's own: it must not be made to talk to itself (08, "Discovery"; 10, T28).

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{
    FutureExt,
    future::{BoxFuture, Shared, join_all},
};
use phoenix_core::Fqdn;
use tokio::time::{Instant, timeout};

use super::{names::NameService, resolver::LOOK_UP_TIME};

/// The server's own hosts and addresses.
#[derive(Default)]
pub(super) struct Own {
    addresses: Vec<IpAddr>,
    hosts: Vec<Fqdn>,
    /// Where its hosts lead: behind a translation of addresses, no interface tells.
    led_to: Mutex<LedTo>,
}

#[derive(Default)]
struct LedTo {
    /// As far as that could be found out, the last time that it could.
    addresses: Vec<IpAddr>,
    /// When it is asked for again.
    until: Option<Instant>,
    /// The first time that it is asked for: until then nobody can tell.
    first: Option<Asking>,
}

/// A look-up that runs by itself.
type Asking = Shared<BoxFuture<'static, ()>>;

impl Own {
    /// With what the operator says, whose addresses are in their shortest form.
    pub(super) fn new(addresses: Vec<IpAddr>, hosts: Vec<Fqdn>) -> Self {
        Self { addresses, hosts, led_to: Mutex::default() }
    }

    /// Whether this is one of the server's own names.
    pub(super) fn has_host(&self, host: &Fqdn) -> bool {
        self.hosts.contains(host)
    }

    /// Those of the addresses that are the server's own.
    pub(super) async fn among(
        self: &Arc<Self>,
        addresses: &[IpAddr],
        names: &Arc<dyn NameService>,
    ) -> Vec<IpAddr> {
        let led_to = self.led_to(names).await;
        let is_own = |address: &IpAddr| {
            self.addresses.contains(address) || led_to.contains(address) || is_of_this_machine(*address)
        };
        addresses.iter().copied().filter(is_own).collect()
    }

    /// The addresses of the server's own names. They are asked for beside, so that a name service that hangs holds up no
    /// connection but the first ones; what they were is kept while they cannot be found out.
    async fn led_to(self: &Arc<Self>, names: &Arc<dyn NameService>) -> Vec<IpAddr> {
        if self.hosts.is_empty() {
            return Vec::new();
        }
        let first = {
            let (mut led_to, now) = (self.lock(), Instant::now());
            if led_to.until.is_none_or(|until| until <= now) {
                led_to.until = Some(now + KEPT_TIME);
                let asking = self.asking(names);
                led_to.first.get_or_insert(asking);
            }
            led_to.first.clone()
        };
        // Whoever waits may hang up; the next one waits for the same look-up.
        if let Some(first) = first {
            first.await;
        }
        self.lock().addresses.clone()
    }

    fn asking(self: &Arc<Self>, names: &Arc<dyn NameService>) -> Asking {
        let (own, names) = (Arc::clone(self), Arc::clone(names));
        let task = tokio::spawn(async move {
            let each = own.hosts.iter().map(|host| timeout(LOOK_UP_TIME, names.addresses(host)));
            let found: Vec<IpAddr> = join_all(each).await.into_iter().flatten().flatten().flatten().collect();
            if !found.is_empty() {
                own.lock().addresses = found;
            }
        });
        task.map(drop).boxed().shared()
    }

    fn lock(&self) -> MutexGuard<'_, LedTo> {
        self.led_to.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether an address is one of this machine's interfaces: it would then be talked to from itself. Nothing is sent.
fn is_of_this_machine(address: IpAddr) -> bool {
    let source = || -> io::Result<IpAddr> {
        let any = match address {
            IpAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            IpAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        let socket = UdpSocket::bind(any)?;
        socket.connect((address, DISCARD))?;
        Ok(socket.local_addr()?.ip())
    };
    // Where there is no way to it, nobody will connect to it.
    source().is_ok_and(|source| source == address)
}

/// A port, since one must be named.
const DISCARD: u16 = 9;
/// How long it is remembered where the server's own names lead: they seldom move.
const KEPT_TIME: Duration = Duration::from_mins(5);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::{
        future::pending,
        io,
        net::{IpAddr, Ipv4Addr, UdpSocket},
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        time::Duration,
    };

    use async_trait::async_trait;
    use phoenix_core::Fqdn;
    use tokio::time::{Instant, sleep, timeout};

    use super::{Own, is_of_this_machine};
    use crate::transport::names::NameService;

    #[test]
    fn t28_an_address_of_this_machine_is_found_out_without_being_told() {
        assert!(is_of_this_machine(Ipv4Addr::LOCALHOST.into()));
        assert!(!is_of_this_machine("93.184.216.34".parse().unwrap()));

        // where the machine has another address than the loopback's, that one, too
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        if socket.connect("93.184.216.34:9").is_ok() {
            assert!(is_of_this_machine(socket.local_addr().unwrap().ip()));
        }
    }

    #[tokio::test]
    async fn t28_where_the_servers_own_names_lead_is_its_own_also_while_nobody_can_tell() {
        for then in [Then::Fails, Then::Hangs] {
            // given names that were asked for once
            let own = Arc::new(Own::new(Vec::new(), vec!["alpha.test".parse().unwrap()]));
            let (ours, other): (IpAddr, IpAddr) =
                ("93.184.216.34".parse().unwrap(), "93.184.216.35".parse().unwrap());
            let once = Arc::new(Once { asked: AtomicUsize::new(0), then });
            let names: Arc<dyn NameService> = once.clone();
            assert_eq!(own.among(&[ours, other], &names).await, [ours]);
            assert_eq!(own.among(&[ours, other], &names).await, [ours]);
            assert_eq!(once.asked.load(Ordering::Relaxed), 1, "what is known is not asked for");

            // when it is time to ask again, and that fails or never ends
            own.lock().until = Some(Instant::now());

            // then what is known holds, and nobody waits
            let answer = timeout(Duration::from_secs(2), own.among(&[ours, other], &names)).await;
            assert_eq!(answer, Ok(vec![ours]), "{then:?}");
            while once.asked.load(Ordering::Relaxed) < 2 {
                sleep(Duration::from_millis(1)).await;
            }
            assert_eq!(own.among(&[ours, other], &names).await, [ours]);
            assert_eq!(once.asked.load(Ordering::Relaxed), 2, "not again at once");
        }
    }

    #[tokio::test]
    async fn t28_who_hangs_up_while_the_servers_own_names_are_asked_for_first_has_nobody_ask_again() {
        let own = Arc::new(Own::new(Vec::new(), vec!["alpha.test".parse().unwrap()]));
        let silent = Arc::new(Once { asked: AtomicUsize::new(1), then: Then::Hangs });
        let names: Arc<dyn NameService> = silent.clone();

        for _ in 0..3 {
            let waited = timeout(Duration::from_millis(20), own.among(&[], &names)).await;
            assert!(waited.is_err(), "nobody can tell yet");
        }

        assert_eq!(silent.asked.load(Ordering::Relaxed), 2);
    }

    /// Tells an address once, and then nothing any more.
    struct Once {
        asked: AtomicUsize,
        then: Then,
    }

    #[derive(Clone, Copy, Debug)]
    enum Then {
        Fails,
        Hangs,
    }

    #[async_trait]
    impl NameService for Once {
        async fn addresses(&self, _: &Fqdn) -> io::Result<Vec<IpAddr>> {
            match (self.asked.fetch_add(1, Ordering::Relaxed), self.then) {
                (0, _) => Ok(vec!["93.184.216.34".parse().map_err(io::Error::other)?]),
                (_, Then::Fails) => Err(io::ErrorKind::TimedOut.into()),
                (_, Then::Hangs) => pending().await,
            }
        }
    }
}
