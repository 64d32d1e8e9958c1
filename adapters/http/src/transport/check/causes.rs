//! What went wrong in a step, and what an operator does about it.

use std::{error::Error, io, net::IpAddr, time::SystemTime};

use http::StatusCode;
use phoenix_core::{
    Fqdn, Reject, Timestamp,
    api::ServiceName,
    port::TransportError,
    published::{PublishedKeys, longest_valid},
    wire::VERSION,
};
use phoenix_homeserver::GreetError;
use rustls::CertificateError;

use super::{
    super::{
        discovery::{Unread, WELL_KNOWN},
        exchange::Unanswered,
        resolver::AddressRefused,
    },
    StepName,
    report::printable,
};
use crate::well_known::{Document, Host};

/// What came back instead of what should, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    /// The step that it belongs to, where that is another than the one that found it.
    pub(super) step: Option<StepName>,
    pub(super) found: String,
    pub(super) remedy: String,
}

impl Trouble {
    pub(super) fn new(found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { step: None, found: found.into(), remedy: remedy.into() }
    }

    const fn of(mut self, step: StepName) -> Self {
        self.step = Some(step);
        self
    }
}

/// Nothing came in time.
pub(super) fn silence(step: StepName) -> Trouble {
    let remedy = match step {
        StepName::Tls | StepName::ServiceTls => {
            "see that a homeserver, or a proxy that speaks TLS, listens on that port, and that it is not overloaded"
        }
        _ => "see that the homeserver runs and is not overloaded, and that no firewall swallows its answers",
    };
    Trouble::new("no answer in time", remedy)
}

/// The name service told nothing, or the name is this server's own.
pub(super) fn unresolved(error: &(dyn Error + 'static), host: &Host) -> Trouble {
    let name = &host.name;
    if error.is::<AddressRefused>() {
        return Trouble::new("the name is this server's own", "check it from another machine");
    }
    Trouble::new(
        format!("no address: {}", printable(&error.to_string())),
        format!("give {name} an A or AAAA record, or say where it is with --resolve {name}=address:port"),
    )
}

/// The name leads nowhere that one may connect to.
pub(super) fn unconnectable(refused: &[IpAddr], host: &Host) -> Trouble {
    let name = &host.name;
    let remedy = format!(
        "let the name lead to a public address; where it is meant to be a private one, each server that talks to it \
         needs --resolve {name}=address:port"
    );
    match refused {
        [] => Trouble::new("the name has no address", remedy),
        [first, ..] => {
            let (count, own) = (refused.len(), "private, reserved or this server's own");
            Trouble::new(format!("{count} addresses, all {own}, such as {first}"), remedy)
        }
    }
}

/// No address takes connections.
pub(super) fn unreachable(tried: usize, error: &io::Error, host: &Host) -> Trouble {
    let said = printable(&error.to_string());
    Trouble::new(
        format!("none of {tried} addresses takes a connection: {said}"),
        format!("see that the homeserver runs, and that firewalls let TCP port {} through", host.port),
    )
}

/// No TLS came about.
pub(super) fn insecure(error: &io::Error, host: &Host) -> Trouble {
    let name = &host.name;
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    let renew = "renew the certificate, have the server load it, and see why it was not renewed in time";
    match cause {
        Some(rustls::Error::InvalidCertificate(cause)) => match cause {
            CertificateError::Expired => Trouble::new("the certificate has expired", renew),
            CertificateError::ExpiredContext { time, not_after } => {
                let days = time.as_secs().saturating_sub(not_after.as_secs()) / DAY_S;
                Trouble::new(format!("the certificate expired {days} days ago"), renew)
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Trouble::new(
                "the certificate is not valid yet",
                "set the clocks of both machines, or wait until the certificate begins",
            ),
            CertificateError::NotValidForName => other_name(name, ""),
            CertificateError::NotValidForNameContext { presented, .. } => {
                other_name(name, &presented.join(", "))
            }
            // The latter where another authority has the name of one that is trusted.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Trouble::new(
                "the certificate is of an authority that is not trusted here",
                "serve the whole chain with a certificate that browsers trust; an authority of your own needs \
                 --authority FILE on each server that talks to it",
            ),
            other => Trouble::new(
                format!("the certificate is refused: {}", printable(&other.to_string())),
                format!("get a certificate for {name} that browsers accept"),
            ),
        },
        _ => Trouble::new(
            format!("no TLS: {}", printable(&error.to_string())),
            format!("see that port {} speaks TLS 1.3", host.port),
        ),
    }
}

/// The domain did not tell where its services are.
pub(super) fn unread(unread: &Unread, body: &[u8], domain: &Fqdn) -> Trouble {
    let document = serde_json::from_slice::<Document>(body).ok();
    match unread {
        Unread::Status(status) => refused_get(*status, WELL_KNOWN),
        Unread::Document(Reject::UnsupportedVersion) => {
            let versions = document.map(|it| it.versions).unwrap_or_default();
            let spoken: Vec<_> = versions.iter().take(MAX_VERSIONS).map(ToString::to_string).collect();
            let spoken = if spoken.is_empty() { "none".to_owned() } else { spoken.join(", ") };
            let remedy = "run a release on both sides that speaks a common version: update the older one";
            Trouble::new(format!("it speaks version {spoken}; this one speaks {VERSION}"), remedy)
                .of(StepName::Versions)
        }
        Unread::Document(Reject::Malformed("domain")) => {
            let other = document.map(|it| printable(&it.domain)).unwrap_or_default();
            Trouble::new(
                format!("the document is that of {other}"),
                format!(
                    "serve the document of {domain} under its own name: with `serve --domain {domain}`, or a proxy \
                     that tells names apart"
                ),
            )
        }
        Unread::Document(Reject::Malformed("port")) => Trouble::new(
            "a service's port is neither 443 nor one of 1024 and above",
            "name ports that may be used, with --public-host host:port",
        ),
        Unread::Document(_) => Trouble::new(
            "what came is no document of a homeserver",
            format!(
                "let {WELL_KNOWN} come from the homeserver, or answer 404 where services are below the domain"
            ),
        ),
    }
}

/// Nobody answered a request, or too much.
pub(super) fn unanswered(unanswered: &Unanswered) -> Trouble {
    match unanswered.error {
        TransportError::Unreachable | TransportError::Busy => Trouble::new(
            "no answer",
            "see that the homeserver runs behind what answers on that port, and look into its log",
        ),
        TransportError::Refused => Trouble::new(
            "the answer is too long, or of nobody who may be talked to",
            "see that it is the homeserver that answers there",
        ),
    }
}

/// A document was not given.
pub(super) fn refused_get(status: StatusCode, path: &str) -> Trouble {
    let found = format!("the answer is {}", status.as_u16());
    if status.is_redirection() {
        return Trouble::new(
            format!("{found}, a redirect, which is not followed"),
            format!("serve {path} at that very address, without a redirect"),
        );
    }
    Trouble::new(
        found,
        format!("see that the homeserver serves {path} at that host, and that a proxy before it hands it on"),
    )
}

/// A service publishes no keys.
pub(super) fn no_document(status: StatusCode, service: ServiceName) -> Trouble {
    let trouble = refused_get(status, &service.keys_path());
    if status != StatusCode::NOT_FOUND {
        return trouble;
    }
    let name = service.as_str();
    Trouble::new(
        format!("the answer is 404: there is no {} at that host", name.to_uppercase()),
        format!("name the host that runs it as \"{name}\" in {WELL_KNOWN}, or start it there"),
    )
}

/// A service's document is none, or breaks a rule.
pub(super) fn undecoded(reject: &Reject, service: ServiceName) -> Trouble {
    match (reject, service) {
        (Reject::Unauthenticated, ServiceName::As) => Trouble::new(
            "a signature does not verify, or what signs for the domain has ended",
            "run `authority show` there: where the authority has ended, `authority rotate`; see that its clock is right",
        )
        .of(StepName::Chain),
        _ => Trouble::new(
            "what came is no document of this service and domain",
            "see that the homeserver of this domain answers there, in a release that speaks this version",
        ),
    }
}

/// Keys that are in force now, told, or that none are.
pub(super) fn in_force(keys: &PublishedKeys, now: Timestamp) -> Result<String, Trouble> {
    let ended = |what: &str| {
        Trouble::new(
            format!("no {what} key is valid now"),
            "see that its clock is right, and that `serve` runs: it rotates these keys by itself",
        )
    };
    let (verifying, of) = match keys {
        PublishedKeys::As(..) => return Ok("a document of this domain".to_owned()),
        PublishedKeys::Qs(keys) => {
            longest_valid(&keys.queue_config, now).ok_or_else(|| ended("queue config"))?;
            longest_valid(&keys.delivery, now).ok_or_else(|| ended("delivery"))?;
            (&keys.verifying, "the QS")
        }
        PublishedKeys::Ds(keys) => (&keys.verifying, "the DS"),
    };
    let valid = verifying.iter().filter(|key| key.is_valid_at(now)).count();
    if valid == 0 { Err(ended("verifying")) } else { Ok(format!("valid verifying keys of {of}: {valid}")) }
}

/// How far the other clock is off, in seconds, told, or that it is too far. Each answer has a time before, what it says,
/// and a time after.
pub(super) fn clock(answers: &[[SystemTime; 3]]) -> Result<String, Trouble> {
    let off = answers.iter().map(difference_s).max_by_key(|off| off.unsigned_abs()).unwrap_or_default();
    let seconds = off.unsigned_abs();
    let way = if off < 0 { "behind" } else { "ahead of" };
    if seconds > MAX_OFF_S {
        return Err(Trouble::new(
            format!("its clock is {seconds} s {way} this machine's"),
            "let both machines keep time by NTP; one of the two is wrong",
        ));
    }
    Ok(match seconds {
        0 => "no difference".to_owned(),
        _ => format!("{seconds} s {way} this machine's clock"),
    })
}

/// The other side did not take an empty transaction.
pub(super) fn ungreeted(error: GreetError, own: &Fqdn) -> Trouble {
    let remedy = match error {
        GreetError::KeysUnknown => {
            "the homeserver that signs could not have the keys: give it the same --resolve and --authority"
                .to_owned()
        }
        GreetError::Unreachable | GreetError::NoReceipt => {
            "see that a proxy there hands on POST to /v1/qs/, and look into the log there".to_owned()
        }
        GreetError::Refused(_) => format!(
            "there, run `check {own}`: it must reach {own} and find its keys; and see that it does not block {own}"
        ),
    };
    Trouble::new(printable(&error.to_string()), remedy)
}

fn other_name(name: &Fqdn, presented: &str) -> Trouble {
    let names = if presented.is_empty() { "other names".to_owned() } else { printable(presented) };
    Trouble::new(
        format!("the certificate is for {names}"),
        format!(
            "get a certificate for {name}, or have the proxy there choose it by the name that is asked for"
        ),
    )
}

/// By how much a clock is ahead, beyond what the way there and back, and whole seconds, may be.
fn difference_s([before, said, after]: &[SystemTime; 3]) -> i64 {
    let seconds = |later: &SystemTime, earlier: &SystemTime| {
        later
            .duration_since(*earlier)
            .ok()
            .and_then(|it| i64::try_from(it.as_secs()).ok())
            .unwrap_or_default()
    };
    // One of the two is 0.
    seconds(said, after).saturating_sub(seconds(before, said))
}

/// Versions that are told of.
const MAX_VERSIONS: usize = 8;
/// How far clocks may be apart, in seconds: proofs of clients are good for so long (05).
const MAX_OFF_S: u64 = 60;
const DAY_S: u64 = 86_400;

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::clock;

    #[test]
    fn a_clock_is_off_by_what_neither_the_way_nor_whole_seconds_explain() {
        let at = |second: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(second);
        let told = |said| clock(&[[at(1_000), at(said), at(1_002)]]).map_err(|trouble| trouble.found);

        assert_eq!(told(1_001), Ok("no difference".to_owned()));
        assert_eq!(told(1_062), Ok("60 s ahead of this machine's clock".to_owned()));
        assert_eq!(told(1_602), Err("its clock is 600 s ahead of this machine's".to_owned()));
        assert_eq!(told(400), Err("its clock is 600 s behind this machine's".to_owned()));
    }
}
