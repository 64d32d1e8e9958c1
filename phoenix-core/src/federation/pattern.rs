//! Which homeservers a rule is for.

use std::{fmt, str::FromStr};

use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use crate::{Fqdn, Reject};

/// One homeserver, written `example.com`, or all below a domain, written `*.example.com`: `chat.example.com` and
/// `a.b.example.com`, and not `example.com` itself. What is below a name of one label, `*.com`, is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, TlsSerialize, TlsDeserializeBytes, TlsSize)]
#[repr(u8)]
pub enum DomainPattern {
    /// The homeserver of this domain.
    #[tls_codec(discriminant = 1)]
    Only(Fqdn),
    /// All homeservers below this domain.
    #[tls_codec(discriminant = 2)]
    Below(Fqdn),
}

impl DomainPattern {
    /// The domain that is named.
    #[must_use]
    pub const fn domain(&self) -> &Fqdn {
        match self {
            Self::Only(domain) | Self::Below(domain) => domain,
        }
    }

    /// All patterns that a domain matches, the most specific first: itself, then what is below the longest name that it
    /// is below, and so on.
    pub(super) fn matched_by(domain: &Fqdn) -> impl Iterator<Item = Self> {
        let above = |name: &Fqdn| name.as_str().split_once('.')?.1.parse::<Fqdn>().ok();
        let names = std::iter::successors(above(domain), above);
        std::iter::once(Self::Only(domain.clone())).chain(names.map(Self::Below))
    }
}

impl FromStr for DomainPattern {
    type Err = Reject;

    fn from_str(text: &str) -> Result<Self, Reject> {
        match text.strip_prefix("*.") {
            Some(domain) => domain.parse().map(Self::Below),
            None => text.parse().map(Self::Only),
        }
    }
}

impl fmt::Display for DomainPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Only(domain) => write!(f, "{domain}"),
            Self::Below(domain) => write!(f, "*.{domain}"),
        }
    }
}
