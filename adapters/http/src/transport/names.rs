//! Who knows the addresses of names (08, "Discovery").

use std::{io, net::IpAddr};

use async_trait::async_trait;
use phoenix_core::Fqdn;
use tokio::net::lookup_host;

/// Tells the addresses of hosts: the system's resolver, or another in its place.
///
/// It decides nothing: which of the addresses may be connected to is decided by who asked, on the very address that the
/// connection then goes to.
#[async_trait]
pub trait NameService: Send + Sync + 'static {
    /// The addresses of a host, in the order in which they are to be tried; none where it has none. It has five seconds.
    ///
    /// # Errors
    /// Where the name is not known, or nobody answers.
    async fn addresses(&self, host: &Fqdn) -> io::Result<Vec<IpAddr>>;
}

/// The system's resolver.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemNames;

#[async_trait]
impl NameService for SystemNames {
    async fn addresses(&self, host: &Fqdn) -> io::Result<Vec<IpAddr>> {
        let found = lookup_host((host.as_str(), 0)).await?;
        Ok(found.map(|address| address.ip()).collect())
    }
}

/// A world where every name has these addresses.
#[cfg(test)]
pub(crate) struct Everywhere(pub(crate) Vec<IpAddr>);

#[cfg(test)]
#[async_trait]
impl NameService for Everywhere {
    async fn addresses(&self, _: &Fqdn) -> io::Result<Vec<IpAddr>> {
        Ok(self.0.clone())
    }
}
