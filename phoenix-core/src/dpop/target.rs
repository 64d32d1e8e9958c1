//! What a proof is for: the URI of a request, without query and fragment (RFC 9449 §4.2, `htu`).

use std::str::FromStr;

use crate::{
    Fqdn, Reject,
    api::{Endpoint, tokens::DpopToken},
};

/// How callers name a server: `https://host`, with a port where it is another than 443.
///
/// It is said by whoever runs the server, and never taken from a request: `Host` is a header like any other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpOrigin(String);

impl HttpOrigin {
    /// The URI of a path of this server. None where it is no path.
    #[must_use]
    pub fn target(&self, path: &str) -> Option<String> {
        path.starts_with('/').then(|| normal(&format!("{}{path}", self.0))).flatten()
    }
}

impl FromStr for HttpOrigin {
    type Err = Reject;

    fn from_str(origin: &str) -> Result<Self, Reject> {
        let normal = normal(origin).ok_or(Reject::Malformed("origin"))?;
        let name = normal.strip_suffix('/').filter(|name| name.matches('/').count() == 2);
        let is_whole = name.is_some() && !origin.contains(['?', '#']);
        name.filter(|_| is_whole).map(|name| Self(name.to_owned())).ok_or(Reject::Malformed("origin"))
    }
}

/// The URI for which a client that asks its AS for a token makes its proof (05): that of the domain itself, wherever
/// discovery leads.
#[must_use]
pub fn token_target(domain: &Fqdn) -> String {
    let endpoint = DpopToken::DESCRIPTION;
    format!("https://{domain}{}", endpoint.service.path(endpoint.name))
}

/// A URI in the form in which it is compared (RFC 9449 §4.3; RFC 3986 §6.2.2, §6.2.3): scheme and host in small letters,
/// without port 443, query and fragment; with a path, in which nothing is escaped that need not be. Dots stay: whoever
/// sends a request has resolved them. None where it is not one of HTTPS.
pub(super) fn normal(uri: &str) -> Option<String> {
    let (scheme, rest) = uri.split_once("://")?;
    if !scheme.eq_ignore_ascii_case("https") {
        return None;
    }
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    let authority = authority.to_ascii_lowercase();
    let authority = authority.strip_suffix(":443").or(authority.strip_suffix(':')).unwrap_or(&authority);
    if authority.is_empty() || !authority.bytes().all(is_of_authority) {
        return None;
    }
    Some(format!("https://{authority}{}", unescaped(path)?))
}

/// A name, an address or a port; nobody's name and password.
const fn is_of_authority(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b':' | b'[' | b']')
}

/// A path without needless escapes, the others in capital digits. None where it holds what no path does.
fn unescaped(path: &str) -> Option<String> {
    let mut normal = String::with_capacity(path.len());
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            if !byte.is_ascii_graphic() {
                return None;
            }
            normal.push(char::from(byte));
            continue;
        }
        let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
        let escaped = (high << 4) | low;
        match escaped {
            b'-' | b'.' | b'_' | b'~' => normal.push(char::from(escaped)),
            _ if escaped.is_ascii_alphanumeric() => normal.push(char::from(escaped)),
            _ => normal.push_str(&format!("%{escaped:02X}")),
        }
    }
    Some(normal)
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::{HttpOrigin, normal};

    #[test]
    fn uris_that_mean_the_same_are_the_same() {
        let same = [
            ("https://media.beta.test", "https://media.beta.test/"),
            ("HTTPS://Media.Beta.Test:443/a", "https://media.beta.test/a"),
            ("https://media.beta.test:/a?b=c#d", "https://media.beta.test/a"),
            ("https://media.beta.test/%7ea%2fb%41", "https://media.beta.test/~a%2FbA"),
            ("https://[::1]:8443/a", "https://[::1]:8443/a"),
        ];
        for (one, other) in same {
            assert_eq!(normal(one).as_deref(), Some(other));
        }
    }

    #[test]
    fn what_is_no_uri_of_https_is_refused() {
        for uri in [
            "http://media.beta.test/",
            "media.beta.test/",
            "https:///a",
            "https://u:p@media.beta.test/",
            "https://media.beta.test/%zz",
            "https://media.beta.test/%4",
            "https://media.beta.test/a b",
            "https://media.beta.test/\u{e4}",
            "",
        ] {
            assert_eq!(normal(uri), None, "{uri}");
        }
    }

    #[test]
    fn an_origin_is_no_more_than_a_server() {
        let origin: HttpOrigin = "https://Media.beta.test:443".parse().unwrap();

        assert_eq!(origin.target("/a?b").as_deref(), Some("https://media.beta.test/a"));
        assert_eq!(origin.target("*"), None);
        assert_eq!("https://media.beta.test/".parse(), Ok(origin));
        for other in ["https://media.beta.test/a", "https://media.beta.test?a", "http://a.test", "a.test"] {
            assert!(other.parse::<HttpOrigin>().is_err(), "{other}");
        }
    }
}
