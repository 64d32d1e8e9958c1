//! Where a call came from.

use std::net::IpAddr;

/// Where a call came from, as the adapter that took it saw it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The caller's address; none inside one process.
    pub address: Option<IpAddr>,
    /// Random, so that an operator can follow one request through a log that names nobody.
    pub request: u64,
}
