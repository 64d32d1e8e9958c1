//! Where names lead, and whether to go there (08; 10, T28).

use std::{
    collections::HashMap,
    error::Error,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use phoenix_core::{Fqdn, port::TransportError};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::time::timeout;

use super::{exchange::reason, names::NameService, own::Own};
use crate::{
    address::is_public,
    well_known::{HTTPS, Host},
};

/// Resolves names to addresses that may be connected to. The connector takes its addresses from here and asks
/// nobody else, so the checked address is the one that is connected to.
pub(super) struct Resolver {
    book: Arc<Book>,
}

/// What the operator says about names and addresses, and who is asked for all others.
struct Book {
    overrides: HashMap<Fqdn, Vec<SocketAddr>>,
    own: Arc<Own>,
    names: Arc<dyn NameService>,
}

/// Where a name leads.
#[derive(Debug, Default)]
pub(super) struct Led {
    /// Addresses that may be connected to; with port 0 where the host's own is meant.
    pub(super) allowed: Vec<SocketAddr>,
    /// Addresses that must not be connected to.
    pub(super) refused: Vec<IpAddr>,
}

/// The name leads only to addresses that must not be connected to.
#[derive(Debug, thiserror::Error)]
#[error("the name leads to an address that must not be connected to")]
pub(super) struct AddressRefused;

impl Resolver {
    /// Asks this name service, but for names that the operator has addresses for.
    pub(super) fn new(
        overrides: HashMap<Fqdn, Vec<SocketAddr>>,
        own: Arc<Own>,
        names: Arc<dyn NameService>,
    ) -> Self {
        Self { book: Arc::new(Book { overrides, own, names }) }
    }

    /// The same with other overrides: for hosts that strangers name, whom no address of a peer's is told.
    pub(super) fn overriding(&self, overrides: HashMap<Fqdn, Vec<SocketAddr>>) -> Self {
        let Book { overrides: _, own, names } = self.book.as_ref();
        Self::new(overrides, Arc::clone(own), Arc::clone(names))
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
        let led = self.survey(host).await.map_err(|error| reason(&*error))?;
        led.connectable().map_err(|_| TransportError::Refused)
    }

    /// Where a host's name leads, with the port to connect to.
    ///
    /// # Errors
    /// Where the name service tells nothing, or [`AddressRefused`] where the name itself is this server's own.
    pub(super) async fn survey(&self, host: &Host) -> Result<Led, Box<dyn Error + Send + Sync>> {
        let mut led = self.book.survey(host.name.as_str()).await?;
        // An override brings its own port.
        for address in led.allowed.iter_mut().filter(|it| it.port() == 0) {
            address.set_port(host.port);
        }
        Ok(led)
    }
}

impl Led {
    /// The addresses that may be connected to, if that is any, or nobody knows one.
    fn connectable(self) -> Result<Vec<SocketAddr>, AddressRefused> {
        if self.allowed.is_empty() && !self.refused.is_empty() {
            Err(AddressRefused)
        } else {
            Ok(self.allowed)
        }
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let book = Arc::clone(&self.book);
        Box::pin(async move {
            let addresses: Addrs = Box::new(book.survey(name.as_str()).await?.connectable()?.into_iter());
            Ok(addresses)
        })
    }
}

impl Book {
    /// The operator's addresses for a host: its own, or those of the nearest name above it.
    fn override_of(&self, host: &str) -> Option<&[SocketAddr]> {
        let mut name = host;
        loop {
            let known = name.parse::<Fqdn>().ok().and_then(|name| self.overrides.get(&name));
            if let Some(addresses) = known {
                return Some(addresses);
            }
            name = name.split_once('.')?.1;
        }
    }

    async fn survey(&self, host: &str) -> Result<Led, Box<dyn Error + Send + Sync>> {
        if let Some(addresses) = self.override_of(host) {
            return Ok(Led { allowed: addresses.to_vec(), ..Led::default() });
        }
        let host: Fqdn = host.parse().map_err(|_| AddressRefused)?;
        if self.own.has_host(&host) {
            return Err(AddressRefused.into());
        }
        let mut found = self.look_up(&host).await?;
        found.truncate(MAX_FOUND);
        let (public, mut refused): (Vec<_>, Vec<_>) = found.into_iter().partition(|it| is_public(*it));
        let own = self.own.among(&public, &self.names).await;
        let allowed = public.into_iter().filter(|it| !own.contains(it));
        // Port 0: the connector takes the one that is written, or 443.
        let allowed = allowed.take(MAX_ADDRESSES).map(|it| SocketAddr::new(it, 0)).collect();
        refused.extend(own);
        Ok(Led { allowed, refused })
    }

    async fn look_up(&self, host: &Fqdn) -> io::Result<Vec<IpAddr>> {
        timeout(LOOK_UP_TIME, self.names.addresses(host)).await?
    }
}

/// Addresses of a host that are tried: both families, some machines each.
const MAX_ADDRESSES: usize = 8;
/// Addresses that are looked at: who has more, has them to keep this server busy.
const MAX_FOUND: usize = 64;
/// How long the name service may take.
pub(crate) const LOOK_UP_TIME: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::{collections::HashMap, net::IpAddr, sync::Arc};

    use super::{AddressRefused, MAX_ADDRESSES, Resolver};
    use crate::{
        transport::{names::Everywhere, own::Own},
        well_known::Host,
    };

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
    async fn t28_this_servers_own_address_is_refused_whoever_names_it() {
        assert!(resolve(&["203.0.114.9"], "evil.example").await.unwrap_err());
    }

    #[tokio::test]
    async fn t6_this_servers_own_name_is_refused_and_leads_to_its_own_addresses() {
        // given a server that knows its name alone
        let own = Own::new(Vec::new(), vec!["gamma.test".parse().unwrap()]);
        let names = Everywhere(vec!["203.0.114.10".parse().unwrap()]);
        let resolver = Resolver::new(HashMap::new(), Arc::new(own), Arc::new(names));

        // when a peer says that it is there, by its name or by its address, then nobody goes there
        for host in ["gamma.test", "evil.example"] {
            let led = resolver.book.survey(host).await;
            assert!(led.and_then(|led| Ok(led.connectable()?)).unwrap_err().is::<AddressRefused>(), "{host}");
        }
    }

    #[tokio::test]
    async fn t23_of_many_addresses_the_first_few_are_tried() {
        let many: Vec<_> = (0..=255).map(|last| format!("93.184.216.{last}")).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();

        let found = resolve(&many, "evil.example").await.unwrap();

        assert_eq!(found.len(), MAX_ADDRESSES);
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
        let overrides =
            HashMap::from([("alpha.test".parse().unwrap(), vec!["127.0.0.1:8443".parse().unwrap()])]);
        let addresses = addresses.iter().map(|it| it.parse::<IpAddr>().unwrap()).collect();
        let own = Own::new(vec!["203.0.114.9".parse().unwrap()], Vec::new());
        Resolver::new(overrides, Arc::new(own), Arc::new(Everywhere(addresses)))
    }

    /// The addresses, or whether they were refused.
    async fn resolve(addresses: &[&str], host: &str) -> Result<Vec<String>, bool> {
        match resolver(addresses).book.survey(host).await.and_then(|led| Ok(led.connectable()?)) {
            Ok(found) => Ok(found.iter().map(ToString::to_string).collect()),
            Err(error) => Err(error.is::<AddressRefused>()),
        }
    }
}
