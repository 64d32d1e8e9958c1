//! The domain of a homeserver.

use std::{fmt, io, str::FromStr, sync::Arc};

use tls_codec::{DeserializeBytes, Error, Serialize, Size, VLByteSlice};

use crate::{Reject, wire::content};

/// A fully qualified domain name, in the only form that the protocol knows (01): lower-case ASCII letters,
/// digits, hyphens and dots; 1 to 253 bytes; at least two labels of 1 to 63 bytes that neither begin nor end
/// with a hyphen, the last beginning with a letter. Whoever holds one holds a valid one.
///
/// A last label that began with a digit could be read as a number, and the name as an IPv4 address: `127.0x1` is
/// 127.0.0.1 to a URL parser (WHATWG URL, "ends in a number"). No top-level domain begins with one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fqdn(Arc<str>);

impl Fqdn {
    /// The name, as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// So many of its last labels, or all where it has fewer. Names below the last two cost nothing, or below the last
    /// three where people register them below a suffix of two, as co.uk: roughly, these tell whose it is.
    #[must_use]
    pub fn last_labels(&self, count: usize) -> &str {
        let before = count.checked_sub(1).and_then(|skipped| self.0.rmatch_indices('.').nth(skipped));
        before.and_then(|(dot, _)| self.0.get(dot.saturating_add(1)..)).unwrap_or(&self.0)
    }
}

impl FromStr for Fqdn {
    type Err = Reject;

    fn from_str(name: &str) -> Result<Self, Reject> {
        if is_domain(name.as_bytes()) { Ok(Self(name.into())) } else { Err(Reject::Malformed("domain")) }
    }
}

fn is_domain(name: &[u8]) -> bool {
    let mut labels = name.split(|byte| *byte == b'.');
    name.len() <= MAX_NAME
        && labels.clone().all(is_label)
        && labels.next_back().and_then(<[u8]>::first).is_some_and(u8::is_ascii_lowercase)
        && labels.next_back().is_some()
}

fn is_label(label: &[u8]) -> bool {
    (1..=MAX_LABEL).contains(&label.len())
        && label.iter().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        && label.first() != Some(&b'-')
        && label.last() != Some(&b'-')
}

impl fmt::Display for Fqdn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Fqdn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Size for Fqdn {
    fn tls_serialized_len(&self) -> usize {
        VLByteSlice(self.0.as_bytes()).tls_serialized_len()
    }
}

impl Serialize for Fqdn {
    fn tls_serialize<W: io::Write>(&self, writer: &mut W) -> Result<usize, Error> {
        VLByteSlice(self.0.as_bytes()).tls_serialize(writer)
    }
}

impl DeserializeBytes for Fqdn {
    fn tls_deserialize_bytes(input: &[u8]) -> Result<(Self, &[u8]), Error> {
        let (bytes, rest) = content(input)?;
        let name = std::str::from_utf8(bytes).map_err(|_| Error::InvalidInput)?;
        Ok((name.parse().map_err(|_| Error::InvalidInput)?, rest))
    }
}

/// Longest name of the domain name system (RFC 1035 §2.3.4), without the trailing dot.
const MAX_NAME: usize = 253;
/// Longest label (RFC 1035 §2.3.4).
const MAX_LABEL: usize = 63;

#[cfg(test)]
mod tests {
    use super::Fqdn;

    #[test]
    fn a_name_of_two_or_more_labels_is_a_domain() {
        for name in ["alpha.test", "a.b", "xn--bcher-kva.example", "1.2.3.example", "a-b.c0"] {
            assert!(name.parse::<Fqdn>().is_ok(), "{name}");
        }
    }

    #[test]
    fn what_is_not_a_plain_lower_case_domain_is_refused() {
        let long_label = format!("{}.test", "a".repeat(64));
        let long_name = format!("{}test", "abc.".repeat(63));
        let names =
            ["", "test", "alpha.test.", ".test", "a..b", "Alpha.test", "-a.test", "a-.test", "127.0.0.1"];
        let more = ["a.1", "a_b.test", "alpha.test:443", "bücher.example", "[::1]", &long_label, &long_name];
        for name in names.into_iter().chain(more) {
            assert!(name.parse::<Fqdn>().is_err(), "{name}");
        }
    }

    #[test]
    fn nothing_that_a_url_parser_takes_for_an_address_is_a_domain() {
        for name in ["127.0x1", "a.0x7f000001", "a.0x", "0x7f.1", "127.0.0.0x1", "a.1x", "10.0.017"] {
            assert!(name.parse::<Fqdn>().is_err(), "{name}");
        }
    }
}
