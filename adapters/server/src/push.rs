//! How clients without an open stream are woken.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use phoenix_homeserver::{Builder, Fqdn, LogPush};
use phoenix_http::{HttpTransport, VapidKey, WebPush};
use zeroize::Zeroizing;

use crate::admin::{hex, secret_in, write_secret};

/// What `serve` is told about pushes. Without any of it, nobody is pushed to.
#[derive(Debug, Args)]
pub(crate) struct PushOptions {
    /// Wakes clients through the push services of the web. The file holds the key that vouches for the server there
    /// (VAPID): 32 bytes, or 64 hexadecimal digits. Where there is no such file, a key is made and written.
    #[arg(long, value_name = "FILE")]
    push_key: Option<PathBuf>,
    /// Whom push services may complain to: a mailto: or https: URI; https://DOMAIN by default.
    #[arg(long, value_name = "URI", requires = "push_key")]
    push_contact: Option<String>,
    /// Pushes to nobody, and says in the log when it would: for development.
    #[arg(long, conflicts_with = "push_key")]
    log_pushes: bool,
}

impl PushOptions {
    /// The homeserver of a domain, with its way to push; and the key that clients subscribe with, where there is one.
    pub(crate) fn on(
        &self,
        builder: Builder,
        domain: &Fqdn,
        transport: &HttpTransport,
    ) -> anyhow::Result<(Builder, Option<String>)> {
        if self.log_pushes {
            return Ok((builder.push(LogPush), None));
        }
        let Some(path) = &self.push_key else { return Ok((builder, None)) };
        let key = kept(path)?;
        let public_key = key.public_key();
        let contact = self.push_contact.clone().unwrap_or_else(|| format!("https://{domain}"));
        let push = WebPush::new(transport, key, &contact).context("--push-contact")?;
        Ok((builder.push(push), Some(public_key)))
    }
}

/// The key in a file; a fresh one, where there is no file yet.
fn kept(path: &Path) -> anyhow::Result<VapidKey> {
    if path.symlink_metadata().is_ok() {
        return in_file(path);
    }
    let key = VapidKey::generate()?;
    write_secret(Zeroizing::new(hex(key.to_secret_bytes().expose())).as_bytes(), path)?;
    Ok(key)
}

fn in_file(path: &Path) -> anyhow::Result<VapidKey> {
    let key = VapidKey::from_secret_bytes(&secret_in(path, "a push key")?.into());
    key.with_context(|| format!("{}: a push key has 32 bytes that are a key of P-256", path.display()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::{fs, os::unix::fs::PermissionsExt};

    use super::kept;

    #[test]
    fn a_push_key_is_made_once_for_its_owners_eyes_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("push.key");

        let made = kept(&path).unwrap();

        assert_eq!(kept(&path).unwrap().public_key(), made.public_key());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&path, made.to_secret_bytes().expose()).unwrap();
        assert_eq!(kept(&path).unwrap().public_key(), made.public_key(), "or as bytes");
    }

    #[test]
    fn what_is_no_push_key_is_said_in_a_sentence_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("push.key");
        for content in [vec![0; 32], vec![7; 31], b"xy".repeat(32), Vec::new()] {
            fs::write(&path, &content).unwrap();

            assert!(kept(&path).unwrap_err().to_string().contains("a push key has 32 bytes"));
            assert_eq!(fs::read(&path).unwrap(), content);
        }
        fs::write(&path, b"ab".repeat(16)).unwrap();
        assert!(kept(&path).unwrap_err().to_string().ends_with("half of a push key"));
        let nowhere = folder.path().join("none").join("push.key");
        assert!(kept(&nowhere).unwrap_err().to_string().contains("the folder does not exist"));
    }
}
