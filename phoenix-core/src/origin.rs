//! Where a call came from.

use std::net::IpAddr;

/// Where a call came from, as the adapter that took it saw it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The caller's address; none inside one process.
    pub address: Option<IpAddr>,
    /// Random, so that an operator can follow one request through a log that names nobody; 0 where there is none.
    pub request: u64,
}

impl Origin {
    /// The request's number as logs and error replies show it: 16 hexadecimal digits.
    #[must_use]
    pub fn request_id(&self) -> Option<String> {
        (self.request != 0).then(|| format!("{:016x}", self.request))
    }

    /// The network that the call came from, as limits count it: an IPv4 address, or the first 64 bits of an IPv6
    /// address (05).
    #[must_use]
    pub fn prefix(&self) -> Option<u64> {
        match self.address?.to_canonical() {
            IpAddr::V4(address) => Some(u64::from(address.to_bits())),
            IpAddr::V6(address) => u64::try_from(address.to_bits() >> 64).ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Origin;

    fn prefix(address: &str) -> Option<u64> {
        Origin { address: address.parse().ok(), request: 0 }.prefix()
    }

    #[test]
    fn addresses_of_one_network_count_together() {
        assert_eq!(prefix("2001:db8:0:1::1"), prefix("2001:db8:0:1:ffff::2"));
        assert_ne!(prefix("2001:db8:0:1::1"), prefix("2001:db8:0:2::1"));
        assert_ne!(prefix("192.0.2.1"), prefix("192.0.2.2"));
        assert_eq!(prefix("192.0.2.1"), prefix("::ffff:192.0.2.1"), "one network, however it is written");
        assert_eq!(Origin::default().prefix(), None);
    }
}
