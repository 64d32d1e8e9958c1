//! Ways to hosts that strangers name, each through a client of the network that it leads into.
//!
//! Names cost nothing, so what is counted by name can be had again under the next one. Addresses cost: what is under way
//! is counted by the network that it goes to, and the client of a network connects into no other.

use std::{
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    num::NonZero,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use lru::LruCache;
use phoenix_core::{Fqdn, port::TransportError};
use reqwest::{
    Client,
    dns::{Addrs, Name, Resolve, Resolving},
};
use tokio::time::Instant;

use super::{
    Parts,
    resolver::{AddressRefused, Resolver},
    turns::{Quota, Turns},
};
pub(crate) use super::{resolver::LOOK_UP_TIME, turns::Zone};
use crate::well_known::{HTTPS, Host};

/// What counts as one owner's: an IPv4 /24, or an IPv6 /48.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Network(IpAddr);

/// Finds the networks of hosts, and keeps a client for each.
pub(crate) struct Networks {
    parts: Arc<Parts>,
    time: Duration,
    directory: Arc<Directory>,
    clients: Mutex<LruCache<Network, Client>>,
}

/// Where hosts are, as far as that was asked lately.
struct Directory {
    resolver: Resolver,
    turns: Turns,
    entries: Mutex<LruCache<Fqdn, Arc<Entry>>>,
}

/// One host. Locked while it is looked up, so that others wait for what is found.
type Entry = tokio::sync::Mutex<Option<Found>>;

struct Found {
    addresses: Result<Vec<SocketAddr>, TransportError>,
    until: Instant,
}

/// Connects to those addresses of a host that are in one network.
struct Within(Network, Arc<Directory>);

impl Network {
    /// The network of an address.
    pub(crate) fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => {
                let [first, second, third, _] = address.octets();
                IpAddr::from([first, second, third, 0])
            }
            IpAddr::V6(address) => {
                let [first, second, third, ..] = address.segments();
                IpAddr::V6(Ipv6Addr::new(first, second, third, 0, 0, 0, 0, 0))
            }
        })
    }
}

impl Networks {
    /// With the transport's authorities and with names as this resolver has them. Each exchange may take so long.
    pub(super) fn new(parts: Arc<Parts>, resolver: Resolver, time: Duration) -> Self {
        let entries = Mutex::new(LruCache::new(MAX_HOSTS));
        let directory = Directory { resolver, turns: Turns::new(LOOK_UPS), entries };
        Self { parts, time, directory: Arc::new(directory), clients: Mutex::new(LruCache::new(MAX_CLIENTS)) }
    }

    /// The networks that a host is in, in the order in which they are to be tried: first that of the address which the
    /// system would try first.
    ///
    /// # Errors
    /// [`TransportError::Refused`] where it must not be connected to, [`TransportError::Unreachable`] where it is not
    /// found, or too many others are being looked up.
    pub(crate) async fn of(&self, host: &Fqdn) -> Result<Vec<Network>, TransportError> {
        let networks = in_order(&self.directory.addresses(host).await?);
        if networks.is_empty() { Err(TransportError::Unreachable) } else { Ok(networks) }
    }

    /// The client of a network, which connects to no address outside it.
    ///
    /// # Errors
    /// [`TransportError::Unreachable`] where none can be made.
    pub(crate) fn client(&self, network: Network) -> Result<Client, TransportError> {
        let within = || Within(network, Arc::clone(&self.directory));
        let client = || self.parts.circuits.client_by(Arc::new(within()), CONNECT_TIME, self.time);
        locked(&self.clients).try_get_or_insert(network, client).cloned()
    }
}

impl Directory {
    async fn addresses(&self, host: &Fqdn) -> Result<Vec<SocketAddr>, TransportError> {
        let entry = Arc::clone(locked(&self.entries).get_or_insert_ref(host, Arc::default));
        let mut found = entry.lock().await;
        if let Some(found) = found.as_ref().filter(|found| Instant::now() < found.until) {
            return found.addresses.clone();
        }
        let Some(_turn) = self.turns.take(host) else {
            // Nothing was learnt of the host, so what was known of it is still the best there is.
            return found.as_ref().map_or(Err(TransportError::Unreachable), |found| found.addresses.clone());
        };
        let host = Host { name: host.clone(), port: HTTPS };
        let addresses = self.resolver.connectable(&host).await;
        let kept = if addresses.is_ok() { FOUND_TIME } else { LOST_TIME };
        *found = Some(Found { addresses: addresses.clone(), until: Instant::now() + kept });
        addresses
    }
}

impl Resolve for Within {
    fn resolve(&self, name: Name) -> Resolving {
        let Self(network, directory) = self;
        let (network, directory) = (*network, Arc::clone(directory));
        Box::pin(async move {
            let host: Fqdn = name.as_str().parse().map_err(|_| AddressRefused)?;
            let found = directory.addresses(&host).await.map_err(|error| match error {
                TransportError::Refused => Box::<dyn std::error::Error + Send + Sync>::from(AddressRefused),
                TransportError::Unreachable | TransportError::Busy => {
                    io::Error::from(io::ErrorKind::HostUnreachable).into()
                }
            })?;
            let inside: Vec<_> = found.into_iter().filter(|it| Network::of(it.ip()) == network).collect();
            // It has moved since it was counted.
            if inside.is_empty() {
                return Err(io::Error::from(io::ErrorKind::HostUnreachable).into());
            }
            let addresses: Addrs = Box::new(inside.into_iter());
            Ok(addresses)
        })
    }
}

/// The networks of these addresses. The first one of the other family comes second: where a network cannot be connected
/// to, mostly its family leads nowhere from here.
fn in_order(addresses: &[SocketAddr]) -> Vec<Network> {
    let mut networks: Vec<Network> = Vec::new();
    for network in addresses.iter().map(|it| Network::of(it.ip())) {
        if !networks.contains(&network) {
            networks.push(network);
        }
    }
    let Some(first) = networks.first().copied() else { return networks };
    let other = networks.iter().position(|it| it.0.is_ipv4() != first.0.is_ipv4());
    if let Some(skipped) = other.and_then(|other| networks.get_mut(1..=other)) {
        skipped.rotate_right(1);
    }
    networks
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long a connection into one network may take: less than half of a push's time, so that there is some for another.
const CONNECT_TIME: Duration = Duration::from_secs(2);
/// Networks that have a client; the one that was used longest ago gives way.
const MAX_CLIENTS: NonZero<usize> = match NonZero::new(128) {
    Some(number) => number,
    None => NonZero::<usize>::MIN,
};
/// Hosts whose addresses are remembered; those asked for longest ago give way.
const MAX_HOSTS: NonZero<usize> = match NonZero::new(1_024) {
    Some(number) => number,
    None => NonZero::<usize>::MIN,
};
/// Hosts that are looked up at the same time: anybody can name as many as they like.
const LOOK_UPS: Quota = Quota { all: 64, of_zone: 8, of_name: 8 };
/// How long addresses are used without asking again,
const FOUND_TIME: Duration = Duration::from_secs(60);
/// and how long it is remembered that a host was not found.
const LOST_TIME: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::{
        collections::HashMap,
        net::SocketAddr,
        sync::{Arc, Mutex},
    };

    use lru::LruCache;
    use phoenix_core::{Fqdn, port::TransportError};
    use reqwest::dns::Resolve;
    use tokio::time::Instant;

    use super::{Directory, LOOK_UPS, MAX_HOSTS, Network, Within, in_order, locked};
    use crate::transport::{names::Everywhere, resolver::Resolver, turns::Turns};

    #[test]
    fn what_one_owner_has_for_little_is_one_network() {
        let of = |address: &str| Network::of(address.parse().unwrap());

        assert_eq!(of("93.184.216.34"), of("93.184.216.99"));
        assert_ne!(of("93.184.216.34"), of("93.184.217.34"));
        assert_eq!(of("::ffff:93.184.216.34"), of("93.184.216.1"));
        assert_eq!(of("2606:4700:1:2::1"), of("2606:4700:1:ffff::9"));
        assert_ne!(of("2606:4700:1:2::1"), of("2606:4700:2:2::1"));
    }

    #[tokio::test]
    async fn t20_a_host_that_is_known_is_found_while_others_take_all_look_ups() {
        // given a host that was found a while ago, and others who take all turns since
        let directory = directory(&["93.184.216.34"]);
        let found = directory.addresses(&host("known.test")).await;
        let entry = locked(&directory.entries).get(&host("known.test")).cloned().unwrap();
        entry.lock().await.as_mut().unwrap().until = Instant::now();
        let _turns: Vec<_> = (0..LOOK_UPS.all)
            .map(|it| directory.turns.take(&host(&format!("z{it}.test"))).unwrap())
            .collect();

        assert_eq!(found.as_ref().map(Vec::len), Ok(1));
        assert_eq!(directory.addresses(&host("known.test")).await, found);
        assert_eq!(directory.addresses(&host("new.test")).await, Err(TransportError::Unreachable));
    }

    #[tokio::test]
    async fn the_client_of_a_network_connects_into_no_other() {
        let directory = Arc::new(directory(&["93.184.216.34", "93.184.217.34"]));
        let connects = |third: u8| {
            let within = Within(Network::of([93, 184, third, 1].into()), Arc::clone(&directory));
            async move {
                let found = within.resolve("moved.test".parse().unwrap()).await;
                found.map(|found| found.map(|it| it.ip().to_string()).collect::<Vec<_>>()).unwrap_or_default()
            }
        };

        assert_eq!(connects(216).await, ["93.184.216.34"]);
        assert_eq!(connects(217).await, ["93.184.217.34"]);
        assert!(connects(218).await.is_empty());
    }

    #[test]
    fn networks_are_tried_as_addresses_are_and_the_other_family_second() {
        let order = |addresses: &[&str]| {
            let addresses: Vec<_> =
                addresses.iter().map(|it| SocketAddr::new(it.parse().unwrap(), 443)).collect();
            in_order(&addresses)
        };
        let of = |address: &str| Network::of(address.parse().unwrap());
        let [v6, other_v6] = ["2606:4700:1::1", "2606:4700:2::1"];
        let [v4, other_v4] = ["93.184.216.34", "93.184.217.34"];

        assert_eq!(order(&[v6, "2606:4700:1::2", v4, "93.184.216.35"]), [of(v6), of(v4)]);
        assert_eq!(order(&[v6, other_v6, v4, other_v4]), [of(v6), of(v4), of(other_v6), of(other_v4)]);
        assert_eq!(order(&[v4, other_v4]), [of(v4), of(other_v4)]);
        assert_eq!(order(&[]), []);
    }

    fn directory(addresses: &[&str]) -> Directory {
        let addresses = addresses.iter().map(|it| it.parse().unwrap()).collect();
        let resolver = Resolver::new(HashMap::new(), Arc::default(), Arc::new(Everywhere(addresses)));
        Directory { resolver, turns: Turns::new(LOOK_UPS), entries: Mutex::new(LruCache::new(MAX_HOSTS)) }
    }

    fn host(name: &str) -> Fqdn {
        name.parse().unwrap()
    }
}
