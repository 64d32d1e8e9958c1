//! Which domains are one registrant's (05, "Issuance").

use std::{fmt, str::FromStr, sync::Arc};

use phoenix_core::{Fqdn, Reject};
use publicsuffix::{List, Psl};

/// The public suffix list (publicsuffix.org), as text: with it, all homeservers below one registrable domain are
/// counted as one, so that nobody becomes many by making names below a domain of their own.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicSuffixes(Arc<List>);

impl PublicSuffixes {
    /// The registrable domain that a name is below; the name itself where it is a public suffix.
    pub(crate) fn registrable(&self, name: &Fqdn) -> Fqdn {
        let domain = self.0.domain(name.as_str().as_bytes());
        let domain = domain.and_then(|domain| std::str::from_utf8(domain.as_bytes()).ok()?.parse().ok());
        domain.unwrap_or_else(|| name.clone())
    }
}

impl FromStr for PublicSuffixes {
    type Err = Reject;

    fn from_str(list: &str) -> Result<Self, Reject> {
        list.parse().map(|list| Self(Arc::new(list))).map_err(|_| Reject::Malformed("public suffix list"))
    }
}

impl fmt::Debug for PublicSuffixes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublicSuffixes(…)")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::PublicSuffixes;

    #[test]
    fn a_name_is_counted_with_its_registrable_domain() {
        let list = "// ===BEGIN ICANN DOMAINS===\nexample\nco.example\n*.wild.example\n!own.wild.example\nрф\n\
                    // ===END ICANN DOMAINS===\n// ===BEGIN PRIVATE DOMAINS===\npages.host.example\n\
                    // ===END PRIVATE DOMAINS===\n";
        let suffixes: PublicSuffixes = list.parse().unwrap();

        for (name, registrable) in [
            ("a.b.c.example", "c.example"),
            ("c.example", "c.example"),
            ("chat.shop.co.example", "shop.co.example"),
            ("co.example", "co.example"),
            ("x.y.z.wild.example", "y.z.wild.example"),
            ("x.own.wild.example", "own.wild.example"),
            ("chat.alice.pages.host.example", "alice.pages.host.example"),
            ("www.host.example", "host.example"),
            ("a.b.xn--p1ai", "b.xn--p1ai"),
            ("a.b.unlisted", "b.unlisted"),
        ] {
            assert_eq!(suffixes.registrable(&name.parse().unwrap()).as_str(), registrable, "{name}");
        }
        assert!("".parse::<PublicSuffixes>().is_err());
    }
}
