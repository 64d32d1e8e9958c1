//! The document that tells where a domain's services are (08, "Discovery").

use std::{fmt, str::FromStr, time::Duration};

use phoenix_core::{Fqdn, Reject, api::ServiceName, wire::VERSION};
use serde::{Deserialize, Serialize};

/// `/.well-known/phoenix`, as it travels.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Document {
    /// Whose services these are.
    pub(crate) domain: String,
    /// Versions of the protocol that they speak.
    pub(crate) versions: Vec<u16>,
    /// Where the authentication service is: `host[:port]`, as the others.
    #[serde(rename = "as")]
    pub(crate) auth: String,
    /// Where the delivery service is.
    pub(crate) ds: String,
    /// Where the queuing service is.
    pub(crate) qs: String,
    /// How long this may be kept.
    pub(crate) max_age_s: u64,
    /// The key that clients subscribe to push services with (RFC 8292), in base64url; where the homeserver pushes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) push_key: Option<String>,
}

/// Where a domain's services are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hosts {
    auth: Host,
    queue: Host,
    delivery: Host,
}

/// A host that may be talked to: a domain name, and port 443 or one of 1024 and above.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Host {
    /// Its name; never an address.
    pub(crate) name: Fqdn,
    /// Its port.
    pub(crate) port: u16,
}

impl Hosts {
    /// Reads the document of a domain; gives also how long it may be kept.
    ///
    /// # Errors
    /// [`Reject::Malformed`] when it is of another domain or breaks a rule, [`Reject::UnsupportedVersion`] when
    /// the domain does not speak ours.
    pub(crate) fn read(document: &[u8], domain: &Fqdn) -> Result<(Self, Duration), Reject> {
        let document: Document =
            serde_json::from_slice(document).map_err(|_| Reject::Malformed("well-known"))?;
        if document.domain != domain.as_str() {
            return Err(Reject::Malformed("domain"));
        }
        if !document.versions.contains(&VERSION) {
            return Err(Reject::UnsupportedVersion);
        }
        let hosts = Self {
            auth: document.auth.parse()?,
            queue: document.qs.parse()?,
            delivery: document.ds.parse()?,
        };
        Ok((hosts, Duration::from_secs(document.max_age_s.clamp(MIN_AGE_S, MAX_AGE_S))))
    }

    /// Where the services are of a domain that publishes no document.
    ///
    /// # Errors
    /// [`Reject::Malformed`] when the domain is too long for names below it.
    pub(crate) fn fallback(domain: &Fqdn) -> Result<Self, Reject> {
        let host = |service: ServiceName| format!("{}.{domain}", service.as_str()).parse();
        Ok(Self {
            auth: host(ServiceName::As)?,
            queue: host(ServiceName::Qs)?,
            delivery: host(ServiceName::Ds)?,
        })
    }

    /// Where one service is.
    pub(crate) const fn host(&self, service: ServiceName) -> &Host {
        match service {
            ServiceName::As => &self.auth,
            ServiceName::Qs => &self.queue,
            ServiceName::Ds => &self.delivery,
        }
    }
}

impl FromStr for Host {
    type Err = Reject;

    fn from_str(text: &str) -> Result<Self, Reject> {
        let (name, port) = text.split_once(':').unwrap_or((text, "443"));
        if !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Reject::Malformed("port"));
        }
        match port.parse() {
            Ok(port @ (HTTPS | FIRST_FREE_PORT..)) => Ok(Self { name: name.parse()?, port }),
            _ => Err(Reject::Malformed("port")),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.port)
    }
}

/// The port of HTTPS.
pub(crate) const HTTPS: u16 = 443;
/// Ports below belong to other protocols, which must not be spoken to in this server's name.
const FIRST_FREE_PORT: u16 = 1024;
/// A document is kept at least a minute, so that nobody can make this server ask all the time (08),
const MIN_AGE_S: u64 = 60;
/// and at most a week (08).
const MAX_AGE_S: u64 = 7 * 24 * 3_600;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::time::Duration;

    use phoenix_core::{Fqdn, Reject, api::ServiceName};

    use super::{Host, Hosts};

    #[test]
    fn a_document_tells_where_each_service_is() {
        let (hosts, age) = Hosts::read(&document("alpha.test", 1, "ds.example:8443", 600), &alpha()).unwrap();

        assert_eq!(hosts.host(ServiceName::As).to_string(), "alpha.test:443");
        assert_eq!(hosts.host(ServiceName::Ds).to_string(), "ds.example:8443");
        assert_eq!(hosts.host(ServiceName::Qs).to_string(), "alpha.test:443");
        assert_eq!(age, Duration::from_secs(600));
    }

    #[test]
    fn it_is_kept_for_a_minute_at_least_and_a_week_at_most() {
        let age =
            |told| Hosts::read(&document("alpha.test", 1, "alpha.test", told), &alpha()).unwrap().1.as_secs();

        assert_eq!((age(0), age(u64::MAX)), (60, 604_800));
    }

    #[test]
    fn a_document_of_another_domain_or_version_is_refused() {
        let read =
            |domain, version| Hosts::read(&document(domain, version, "alpha.test", 60), &alpha()).err();

        assert_eq!(read("beta.test", 1), Some(Reject::Malformed("domain")));
        assert_eq!(read("alpha.test", 2), Some(Reject::UnsupportedVersion));
        assert!(Hosts::read(b"<html>", &alpha()).is_err());
    }

    #[test]
    fn hosts_are_domain_names_with_port_443_or_a_free_one() {
        for host in ["a.test", "a.test:443", "a.test:1024", "a.test:65535"] {
            assert!(host.parse::<Host>().is_ok(), "{host}");
        }
        let bad_ports =
            ["a.test:22", "a.test:80", "a.test:1023", "a.test:65536", "a.test:", "a.test:+443", "a.test:4:4"];
        let bad_names =
            ["127.0.0.1", "[::1]:443", "localhost", "u@a.test", "a.test/x", "a.test?x", "", "2130706433"];
        for host in bad_ports.into_iter().chain(bad_names) {
            assert!(host.parse::<Host>().is_err(), "{host}");
        }
    }

    fn alpha() -> Fqdn {
        "alpha.test".parse().unwrap()
    }

    fn document(domain: &str, version: u16, ds: &str, max_age_s: u64) -> Vec<u8> {
        let json = serde_json::json!({
            "domain": domain, "versions": [version], "as": "alpha.test", "ds": ds, "qs": "alpha.test",
            "max_age_s": max_age_s,
        });
        json.to_string().into_bytes()
    }
}
