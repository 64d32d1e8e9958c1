//! Which addresses belong to the public internet (08, "Discovery"; 10, T28).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether a stranger's name may lead this server to an address: not into its own machine or network.
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// What counts as one caller: an IPv4 address, or an IPv6 /64 (05, "Other limits").
pub(crate) fn source_prefix(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from(network))
        }
        address @ IpAddr::V4(_) => address,
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let special = address.is_unspecified()
        || address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
        || address.is_documentation();
    // The special-purpose blocks (RFC 6890) that the library does not know yet.
    let reserved = match address.octets() {
        [0, ..] | [192, 0, 0, _] | [198, 18 | 19, ..] | [240..=255, ..] => true,
        [100, second, ..] => (64..128).contains(&second),
        _ => false,
    };
    !special && !reserved
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    // Global unicast is 2000::/3 (RFC 4291): what is outside, as loopback, local, mapped and multicast, is not.
    match address.segments() {
        [0x2001, 0..0x200, ..] | [0x2001, 0xdb8, ..] | [0x2002, ..] | [0x3fff, 0..0x1000, ..] => false,
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::net::IpAddr;

    use super::{is_public, source_prefix};

    #[test]
    fn public_addresses_are_public() {
        for address in
            ["1.1.1.1", "93.184.216.34", "100.63.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450::1"]
        {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn t28_addresses_of_inner_networks_are_not_public() {
        let v4 = [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.8.8.8",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
        ];
        let v6 = [
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:1.1.1.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:2::1",
            "2001:10::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "fc00::1",
            "fd00::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "5f00::1",
        ];
        for address in v4.into_iter().chain(v6) {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn a_caller_is_an_address_or_a_network_of_64_bits() {
        let prefix = |text: &str| source_prefix(text.parse().unwrap());

        assert_eq!(prefix("2606:4700:1:2:3:4:5:6"), prefix("2606:4700:1:2::"));
        assert_ne!(prefix("2606:4700:1:2::"), prefix("2606:4700:1:3::"));
        assert_eq!(prefix("::ffff:1.2.3.4"), "1.2.3.4".parse::<IpAddr>().unwrap());
        assert_ne!(prefix("1.2.3.4"), prefix("1.2.3.5"));
    }
}
