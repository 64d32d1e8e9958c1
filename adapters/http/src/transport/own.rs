//! What is this server's own: it must not be made to talk to itself (08, "Discovery"; 10, T28).

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::Duration,
};

use phoenix_core::Fqdn;
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

use super::{names::NameService, resolver::LOOK_UP_TIME};

/// The server's own hosts and addresses.
#[derive(Default)]
pub(super) struct Own {
    addresses: Vec<IpAddr>,
    hosts: Vec<Fqdn>,
    /// Where its hosts lead, as far as that was asked lately: behind a translation of addresses, no interface tells.
    led_to: Mutex<Option<LedTo>>,
}

struct LedTo {
    addresses: Vec<IpAddr>,
    until: Instant,
}

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
    pub(super) async fn among(&self, addresses: &[IpAddr], names: &dyn NameService) -> Vec<IpAddr> {
        let led_to = self.led_to(names).await;
        let is_own = |address: &IpAddr| {
            self.addresses.contains(address) || led_to.contains(address) || is_of_this_machine(*address)
        };
        addresses.iter().copied().filter(is_own).collect()
    }

    /// The addresses of the server's own names. What they were is kept while they cannot be asked for.
    async fn led_to(&self, names: &dyn NameService) -> Vec<IpAddr> {
        let mut led_to = self.led_to.lock().await;
        if let Some(fresh) = led_to.as_ref().filter(|it| Instant::now() < it.until) {
            return fresh.addresses.clone();
        }
        let mut addresses = Vec::new();
        for host in &self.hosts {
            let found = timeout(LOOK_UP_TIME, names.addresses(host)).await;
            addresses.extend(found.into_iter().flatten().flatten());
        }
        if addresses.is_empty() {
            addresses = led_to.take().map(|it| it.addresses).unwrap_or_default();
        }
        *led_to = Some(LedTo { addresses: addresses.clone(), until: Instant::now() + KEPT_TIME });
        addresses
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
        io,
        net::{IpAddr, Ipv4Addr, UdpSocket},
        sync::atomic::{AtomicUsize, Ordering},
    };

    use async_trait::async_trait;
    use phoenix_core::Fqdn;
    use tokio::time::Instant;

    use super::{LedTo, Own, is_of_this_machine};
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
        let own = Own::new(Vec::new(), vec!["alpha.test".parse().unwrap()]);
        let (ours, other): (IpAddr, IpAddr) =
            ("93.184.216.34".parse().unwrap(), "93.184.216.35".parse().unwrap());
        let names = Once::default();

        assert_eq!(own.among(&[ours, other], &names).await, [ours]);
        assert_eq!(own.among(&[ours, other], &names).await, [ours]);
        assert_eq!(names.0.load(Ordering::Relaxed), 1, "what is known is not asked for");

        let LedTo { addresses, .. } = own.led_to.lock().await.take().unwrap();
        *own.led_to.lock().await = Some(LedTo { addresses, until: Instant::now() });
        assert_eq!(own.among(&[ours, other], &names).await, [ours]);
        assert_eq!(names.0.load(Ordering::Relaxed), 2);
    }

    /// Tells an address once, and then nothing any more.
    #[derive(Default)]
    struct Once(AtomicUsize);

    #[async_trait]
    impl NameService for Once {
        async fn addresses(&self, _: &Fqdn) -> io::Result<Vec<IpAddr>> {
            match self.0.fetch_add(1, Ordering::Relaxed) {
                0 => Ok(vec!["93.184.216.34".parse().map_err(io::Error::other)?]),
                _ => Err(io::ErrorKind::TimedOut.into()),
            }
        }
    }
}
