//! The root of a domain's authority: kept by the operator, away from the running server (03, "Chain").

use std::{fmt, sync::Arc};

use base64::{Engine, prelude::BASE64_STANDARD_NO_PAD};
use phoenix_core::{
    Fault, Fqdn, Reject, Timestamp,
    credential::{AsCredential, ExpirationData},
    crypto::{Chance, Signer, SigningKey, Suite},
    time::{DAY, HOUR},
    wire::{Secret, Wire},
};
use zeroize::Zeroizing;

/// A root that can sign: its certificate, and its key, which may live in an HSM.
#[derive(Clone)]
pub struct Root {
    certificate: AsCredential,
    signer: Arc<dyn Signer>,
}

impl Root {
    /// A new root of a domain, valid for ten years.
    ///
    /// # Errors
    /// [`Fault::Broken`] where the key does not sign.
    pub fn issue(domain: Fqdn, now: Timestamp, signer: Arc<dyn Signer>) -> Result<Self, Fault> {
        // Begins a little in the past, since clients' clocks may be late.
        let not_before = now.as_secs().saturating_sub(HOUR);
        let validity = ExpirationData { not_before, not_after: not_before.saturating_add(ROOT_S) };
        let certificate = AsCredential::issue(domain, validity, signer.as_ref())?;
        Ok(Self { certificate, signer })
    }

    /// A root that was made before.
    ///
    /// # Errors
    /// [`Reject::Malformed`] where the certificate is another key's.
    pub fn new(certificate: AsCredential, signer: Arc<dyn Signer>) -> Result<Self, Reject> {
        if certificate.payload.key != signer.verifying_key() {
            return Err(Reject::Malformed("certificate of another key"));
        }
        Ok(Self { certificate, signer })
    }

    /// What is published of it.
    #[must_use]
    pub const fn certificate(&self) -> &AsCredential {
        &self.certificate
    }

    pub(crate) fn signer(&self) -> &dyn Signer {
        self.signer.as_ref()
    }
}

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Root")
    }
}

/// A root whose key is in memory, as it is between a file of the operator's and its use. Wiped when dropped.
///
/// Its text has a line each for form, domain, suite, fingerprint, certificate and secret: the fingerprint in hexadecimal
/// digits, the last two in base64 (RFC 4648 §4, without padding). Whoever has it can make credentials for the domain: it belongs on a medium that is locked away.
pub struct RootKey {
    certificate: AsCredential,
    key: SigningKey,
}

impl RootKey {
    /// A new root of a domain, valid for ten years.
    ///
    /// # Errors
    /// None in practice: [`Fault::Broken`] where a fresh key does not sign.
    pub fn generate(domain: Fqdn, suite: Suite, now: Timestamp, chance: &mut Chance) -> Result<Self, Fault> {
        let key = SigningKey::generate(suite, &mut chance.child("root"));
        let Root { certificate, signer: _ } = Root::issue(domain, now, Arc::new(key.clone()))?;
        Ok(Self { certificate, key })
    }

    /// What is published of it.
    #[must_use]
    pub const fn certificate(&self) -> &AsCredential {
        &self.certificate
    }

    /// What it is called where roots are listed, in hexadecimal digits.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.certificate.fingerprint().as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The root, to sign with.
    #[must_use]
    pub fn root(&self) -> Root {
        Root { certificate: self.certificate.clone(), signer: Arc::new(self.key.clone()) }
    }

    /// The text for the operator's file.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let secret = self.key.to_secret_bytes();
        let secret = Zeroizing::new(BASE64_STANDARD_NO_PAD.encode(secret.expose()));
        let certificate = BASE64_STANDARD_NO_PAD.encode(self.certificate.encode());
        let (domain, suite) = (&self.certificate.payload.as_domain, suite_name(self.key.suite()));
        let fingerprint = self.fingerprint();
        let lines = [FORM, " ", VERSION, "\ndomain ", domain.as_str(), "\nsuite ", suite];
        let lines = lines.into_iter().chain(["\nfingerprint ", &fingerprint]);
        let lines = lines.chain(["\ncertificate ", &certificate, "\nsecret ", &secret, "\n"]);
        // Never grows, so that nothing is left where it lay before.
        let mut text = Zeroizing::new(String::with_capacity(MAX_TEXT));
        lines.for_each(|line| text.push_str(line));
        text
    }

    /// The root that a text holds.
    ///
    /// # Errors
    /// [`Reject::Malformed`] with the name of the first line that is wrong.
    pub fn from_text(text: &str) -> Result<Self, Reject> {
        let mut lines = text.lines();
        let mut line = |name: &'static str| {
            let rest = lines.next().and_then(|line| line.strip_prefix(name));
            rest.and_then(|rest| rest.strip_prefix(' ')).ok_or(Reject::Malformed(name))
        };
        if line(FORM)? != VERSION {
            return Err(Reject::Malformed(FORM));
        }
        let domain: Fqdn = line("domain")?.parse().map_err(|_| Reject::Malformed("domain"))?;
        let suite = suite_of(line("suite")?).ok_or(Reject::Malformed("suite"))?;
        let fingerprint = line("fingerprint")?;
        let certificate = bytes(line("certificate")?).ok_or(Reject::Malformed("certificate"))?;
        let certificate = AsCredential::decode(&certificate).map_err(|_| Reject::Malformed("certificate"))?;
        let secret = bytes(line("secret")?).ok_or(Reject::Malformed("secret"))?;
        let secret = <[u8; 32]>::try_from(secret.as_slice()).map(Secret::new);
        let secret = secret.map_err(|_| Reject::Malformed("secret"))?;
        let key = SigningKey::from_secret_bytes(suite, &secret).map_err(|_| Reject::Malformed("secret"))?;
        if certificate.payload.key != key.verifying_key() || certificate.payload.as_domain != domain {
            return Err(Reject::Malformed("certificate"));
        }
        let root = Self { certificate, key };
        if root.fingerprint() == fingerprint { Ok(root) } else { Err(Reject::Malformed("fingerprint")) }
    }
}

impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RootKey")
    }
}

fn bytes(line: &str) -> Option<Zeroizing<Vec<u8>>> {
    BASE64_STANDARD_NO_PAD.decode(line.trim_end()).ok().map(Zeroizing::new)
}

const fn suite_name(suite: Suite) -> &'static str {
    match suite {
        Suite::Ed25519 => "ed25519",
        Suite::P256 => "p256",
    }
}

fn suite_of(name: &str) -> Option<Suite> {
    [Suite::Ed25519, Suite::P256].into_iter().find(|suite| suite_name(*suite) == name)
}

/// Validity of a root, in seconds (03): ten years.
const ROOT_S: u64 = 10 * 365 * DAY;
/// How the text begins.
const FORM: &str = "phoenix-root-key";
const VERSION: &str = "1";
/// More bytes than a text has: a domain of 255, a fingerprint of 64, a certificate of 600 and 43 of the secret are the longest in it.
const MAX_TEXT: usize = 2_048;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use phoenix_core::{
        Timestamp,
        crypto::{Chance, Suite},
    };

    use super::{MAX_TEXT, RootKey};

    fn root(suite: Suite) -> RootKey {
        root_of(suite, 1)
    }

    fn root_of(suite: Suite, seed: u8) -> RootKey {
        let domain = "alpha.test".parse().unwrap();
        let now = Timestamp::from_secs(1_700_000_000);
        RootKey::generate(domain, suite, now, &mut Chance::from_seed([seed; 32])).unwrap()
    }

    #[test]
    fn a_root_key_survives_its_text_and_the_text_its_bound() {
        for suite in [Suite::Ed25519, Suite::P256] {
            let root = root(suite);
            let text = root.to_text();

            let read = RootKey::from_text(&text).unwrap();

            assert_eq!(read.certificate(), root.certificate());
            assert!(read.key.to_secret_bytes() == root.key.to_secret_bytes());
            assert!(text.len() < MAX_TEXT && text.capacity() == MAX_TEXT);
        }
    }

    #[test]
    fn a_text_that_was_changed_anywhere_is_refused_by_the_name_of_its_line() {
        let (text, other) = (root(Suite::Ed25519).to_text(), root_of(Suite::Ed25519, 2).to_text());
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let changes = [
            (0, "phoenix-root-key 2".to_owned(), "phoenix-root-key"),
            (1, "domain beta.test".to_owned(), "certificate"),
            (1, "domain alpha".to_owned(), "domain"),
            (2, "suite rsa".to_owned(), "suite"),
            (2, "suite p256".to_owned(), "certificate"),
            (3, lines(&other)[3].clone(), "fingerprint"),
            (4, "certificate AAAA".to_owned(), "certificate"),
            (5, lines(&other)[5].clone(), "certificate"),
            (5, "secret AAAA".to_owned(), "secret"),
        ];
        for (number, line, told) in changes {
            let mut changed = lines(&text);
            changed[number] = line;

            let refused = RootKey::from_text(&changed.join("\n")).unwrap_err();

            assert!(refused.to_string().contains(told), "{refused} for a change of line {number}");
        }
        assert!(RootKey::from_text("").is_err());
    }
}
