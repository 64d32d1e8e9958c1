//! How clients without an open stream are woken.

use std::{
    fs::OpenOptions,
    io::{ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow};
use clap::Args;
use phoenix_homeserver::{Builder, Fqdn, LogPush};
use phoenix_http::{HttpTransport, VapidKey, WebPush};
use zeroize::Zeroizing;

use crate::admin::{hex, read_secret, unhex};

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
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(mut file) => {
            let key = VapidKey::generate()?;
            let digits = Zeroizing::new(hex(key.to_secret_bytes().expose()));
            let written = file.write_all(digits.as_bytes()).and_then(|()| file.sync_all());
            written.map_err(|error| {
                // Half a key is none.
                let _ = std::fs::remove_file(path);
                anyhow!("{}: {error}", path.display())
            })?;
            Ok(key)
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => in_file(path),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err(anyhow!("{}: the folder does not exist", path.display()))
        }
        Err(error) => Err(anyhow!("{}: {error}", path.display())),
    }
}

fn in_file(path: &Path) -> anyhow::Result<VapidKey> {
    let content = read_secret(path)?;
    let bytes = <[u8; 32]>::try_from(content.as_slice()).ok().or_else(|| unhex(content.trim_ascii()));
    let key = bytes.and_then(|bytes| VapidKey::from_secret_bytes(&bytes.into()).ok());
    key.with_context(|| {
        format!("{}: a push key has 32 bytes, or 64 hexadecimal digits, and is one of P-256", path.display())
    })
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
        let nowhere = folder.path().join("none").join("push.key");
        assert!(kept(&nowhere).unwrap_err().to_string().contains("the folder does not exist"));
    }
}
