//! Where names lead, and whether to go there (08; 10, T28).

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use phoenix_core::{Fqdn, port::TransportError};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::{net::lookup_host, time::timeout};

use super::exchange::reason;
use crate::{
    address::is_public,
    well_known::{HTTPS, Host},
};

/// Resolves names to addresses that may be connected to. The connector takes its addresses from here and asks
/// nobody else, so the checked address is the one that is connected to.
pub(super) struct Resolver {
    book: Arc<Book>,
}

/// What the operator says about names and addresses.
struct Book {
    overrides: HashMap<Fqdn, SocketAddr>,
    own: Vec<IpAddr>,
    names: Names,
}

/// Who knows the addresses of names.
#[derive(Clone)]
enum Names {
    System,
    #[cfg(test)]
    Fixed(Vec<IpAddr>),
}

/// The name leads only to addresses that must not be connected to.
#[derive(Debug, thiserror::Error)]
#[error("the name leads to an address that must not be connected to")]
pub(super) struct AddressRefused;

impl Resolver {
    /// Asks the system, but for names that the operator has addresses for.
    pub(super) fn new(overrides: HashMap<Fqdn, SocketAddr>, own: Vec<IpAddr>) -> Self {
        Self { book: Arc::new(Book { overrides, own, names: Names::System }) }
    }

    /// The same, in a world where every name has these addresses.
    #[cfg(test)]
    pub(super) fn fixed(
        overrides: HashMap<Fqdn, SocketAddr>,
        own: Vec<IpAddr>,
        addresses: Vec<IpAddr>,
    ) -> Self {
        Self { book: Arc::new(Book { overrides, own, names: Names::Fixed(addresses) }) }
    }

    /// The same with other overrides: for hosts that strangers name, whom no address of a peer's is told.
    pub(super) fn overriding(&self, overrides: HashMap<Fqdn, SocketAddr>) -> Self {
        let (own, names) = (self.book.own.clone(), self.book.names.clone());
        Self { book: Arc::new(Book { overrides, own, names }) }
    }

    /// How a host is written into an address of the web. An override brings its own port, which the connector
    /// takes where none is written.
    pub(super) fn authority(&self, host: &Host) -> String {
        match self.book.override_of(host.name.as_str()) {
            Some(_) => host.name.to_string(),
            None if host.port == HTTPS => host.name.to_string(),
            None => host.to_string(),
        }
    }

    /// The addresses of a host that may be connected to, for who connects by itself.
    pub(super) async fn connectable(&self, host: &Host) -> Result<Vec<SocketAddr>, TransportError> {
        let found = self.book.addresses(host.name.as_str()).await.map_err(|error| reason(&*error))?;
        // An override brings its own port.
        let port = |mut address: SocketAddr| {
            if address.port() == 0 {
                address.set_port(host.port);
            }
            address
        };
        Ok(found.into_iter().map(port).collect())
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let book = Arc::clone(&self.book);
        Box::pin(async move {
            let addresses: Addrs = Box::new(book.addresses(name.as_str()).await?.into_iter());
            Ok(addresses)
        })
    }
}

impl Book {
    /// The operator's address for a host: its own, or that of the nearest name above it.
    fn override_of(&self, host: &str) -> Option<SocketAddr> {
        let mut name = host;
        loop {
            let known = name.parse::<Fqdn>().ok().and_then(|name| self.overrides.get(&name));
            if let Some(address) = known {
                return Some(*address);
            }
            name = name.split_once('.')?.1;
        }
    }

    async fn addresses(
        &self,
        host: &str,
    ) -> Result<Vec<SocketAddr>, Box<dyn std::error::Error + Send + Sync>> {
        if let Some(address) = self.override_of(host) {
            return Ok(vec![address]);
        }
        let found = self.look_up(host).await?;
        let mut allowed = found.iter().copied().filter(|it| self.allows(*it)).peekable();
        if allowed.peek().is_none() && !found.is_empty() {
            return Err(AddressRefused.into());
        }
        // Port 0: the connector takes the one that is written, or 443.
        Ok(allowed.take(MAX_ADDRESSES).map(|address| SocketAddr::new(address, 0)).collect())
    }

    fn allows(&self, address: IpAddr) -> bool {
        is_public(address) && !self.own.contains(&address)
    }

    async fn look_up(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        match &self.names {
            Names::System => {
                let found = timeout(LOOK_UP_TIME, lookup_host((host, 0))).await??;
                Ok(found.map(|address| address.ip()).collect())
            }
            #[cfg(test)]
            Names::Fixed(addresses) => Ok(addresses.clone()),
        }
    }
}

/// Addresses of a host that are tried: both families, some machines each.
const MAX_ADDRESSES: usize = 8;
/// How long the system's resolver may take.
pub(crate) const LOOK_UP_TIME: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::{collections::HashMap, net::IpAddr};

    use super::{AddressRefused, Resolver};
    use crate::well_known::Host;

    #[tokio::test]
    async fn t28_only_public_addresses_of_a_name_are_connected_to() {
        let found = resolve(&["10.0.0.1", "93.184.216.34", "::1"], "evil.example").await;

        assert_eq!(found.unwrap(), ["93.184.216.34:0"]);
    }

    #[tokio::test]
    async fn t28_a_name_with_none_but_inner_addresses_is_refused() {
        for address in ["127.0.0.1", "169.254.169.254", "::ffff:10.0.0.1", "fd00::1"] {
            assert!(resolve(&[address], "evil.example").await.unwrap_err(), "{address}");
        }
    }

    #[tokio::test]
    async fn this_servers_own_address_is_refused() {
        assert!(resolve(&["203.0.114.9"], "evil.example").await.unwrap_err());
    }

    #[tokio::test]
    async fn an_override_holds_for_its_name_and_the_names_below() {
        assert_eq!(resolve(&["10.0.0.1"], "alpha.test").await.unwrap(), ["127.0.0.1:8443"]);
        assert_eq!(resolve(&["10.0.0.1"], "qs.alpha.test").await.unwrap(), ["127.0.0.1:8443"]);
        assert!(resolve(&["10.0.0.1"], "notalpha.test").await.unwrap_err());
    }

    #[test]
    fn an_overrides_port_replaces_the_published_one() {
        let authority = |host: &str| resolver(&[]).authority(&host.parse::<Host>().unwrap());

        assert_eq!(authority("alpha.test:9000"), "alpha.test");
        assert_eq!(authority("beta.test:9000"), "beta.test:9000");
        assert_eq!(authority("beta.test"), "beta.test");
    }

    fn resolver(addresses: &[&str]) -> Resolver {
        let overrides = HashMap::from([("alpha.test".parse().unwrap(), "127.0.0.1:8443".parse().unwrap())]);
        let addresses = addresses.iter().map(|it| it.parse::<IpAddr>().unwrap()).collect();
        Resolver::fixed(overrides, vec!["203.0.114.9".parse().unwrap()], addresses)
    }

    /// The addresses, or whether they were refused.
    async fn resolve(addresses: &[&str], host: &str) -> Result<Vec<String>, bool> {
        match resolver(addresses).book.addresses(host).await {
            Ok(found) => Ok(found.iter().map(ToString::to_string).collect()),
            Err(error) => Err(error.is::<AddressRefused>()),
        }
    }
}
