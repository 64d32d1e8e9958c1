//! The file in which an operator keeps a root's key.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{anyhow, bail};
use clap::{Args, Subcommand};
use phoenix_core::{
    Fqdn, Reject,
    crypto::Chance,
    port::{Clock, Entropy},
};
use phoenix_homeserver::{
    OsEntropy, SystemClock,
    auth::{RootKey, Suite},
};
use zeroize::Zeroizing;

use super::{SuiteName, exists, folder, read_secret, write_secret};

/// What `root` is told.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Makes a root, on a machine that need not be the server, for `init` or `authority new-root` to take.
    Make {
        /// The domain that it will sign for, such as chat.example.org.
        #[arg(long)]
        domain: String,
        /// Where its key is written.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Its ciphersuite.
        #[arg(long, value_enum, default_value = "ed25519")]
        suite: SuiteName,
    },
}

/// Does what the operator asks for.
pub(crate) fn run(options: Options) -> anyhow::Result<String> {
    let Command::Make { domain, out, suite } = options.command;
    let domain = domain.parse().map_err(|_| anyhow!("--domain {domain}: this is not a domain"))?;
    let root = generate(domain, suite.into())?;
    write(&root, &out)?;
    Ok(format!("{} holds the root {}", out.display(), root.fingerprint()))
}

/// The root that is to be published: one that was made before, or one that is made now.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Choice {
    /// Where the key of a root is written that is made now, which signs for the domain for ten years: keep it away
    /// from the server.
    #[arg(long, value_name = "FILE")]
    root_key_out: Option<PathBuf>,
    /// The file with the key of a root that was made before, with `root make`.
    #[arg(long, value_name = "FILE")]
    root_key: Option<PathBuf>,
}

impl Choice {
    /// The root, not yet written where it is new. Nothing is changed where its file is not as it must be.
    pub(crate) fn root(&self, domain: &Fqdn, suite: Suite) -> anyhow::Result<RootKey> {
        match (&self.root_key, &self.root_key_out) {
            (Some(path), _) => {
                let root = load(path)?;
                if root.certificate().payload.as_domain != *domain {
                    bail!("{}: this is the root of another domain than {domain}", path.display());
                }
                Ok(root)
            }
            (None, Some(path)) if path.symlink_metadata().is_ok() => Err(exists(path)),
            (None, Some(path)) if !folder(path).is_dir() => {
                bail!("{}: the folder does not exist", path.display())
            }
            (None, _) => generate(domain.clone(), suite),
        }
    }

    /// Writes a root that is new.
    pub(crate) fn keep(&self, root: &RootKey) -> anyhow::Result<()> {
        self.root_key_out.as_deref().map_or(Ok(()), |path| write(root, path))
    }

    /// Takes back what was written, where it is certain that the root is in no use; else says what to look at.
    pub(crate) fn undo(&self, error: anyhow::Error, is_certain: bool) -> anyhow::Error {
        let Some(path) = &self.root_key_out else { return error };
        if is_certain && fs::remove_file(path).is_ok() {
            return error;
        }
        error.context(format!("{} was written, but may be in no use: authority show tells", path.display()))
    }

    /// Where the root's key is.
    pub(crate) fn path(&self) -> String {
        let path = self.root_key_out.as_ref().or(self.root_key.as_ref());
        path.map(|path| path.display().to_string()).unwrap_or_default()
    }
}

fn generate(domain: Fqdn, suite: Suite) -> anyhow::Result<RootKey> {
    let mut seed = Zeroizing::new([0; 32]);
    OsEntropy.fill(&mut *seed);
    Ok(RootKey::generate(domain, suite, SystemClock.now(), &mut Chance::from_seed(*seed))?)
}

fn write(root: &RootKey, path: &Path) -> anyhow::Result<()> {
    write_secret(root.to_text().as_bytes(), path)
}

/// The root in a file.
pub(crate) fn load(path: &Path) -> anyhow::Result<RootKey> {
    let content = read_secret(path)?;
    let text =
        std::str::from_utf8(&content).map_err(|_| anyhow!("{}: this is no root key", path.display()))?;
    RootKey::from_text(text).map_err(|error| match error {
        Reject::Malformed(line) => {
            anyhow!("{}: this is no root key: its line {line} is not right", path.display())
        }
        _ => anyhow!("{}: this is no root key", path.display()),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::os::unix::fs::PermissionsExt;

    use phoenix_homeserver::auth::Suite;

    use super::{generate, load, write};

    #[test]
    fn a_root_is_written_for_its_owner_only_and_over_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("root");
        let made = generate("alpha.test".parse().unwrap(), Suite::P256).unwrap();

        write(&made, &path).unwrap();

        assert_eq!(load(&path).unwrap().certificate(), made.certificate());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(std::fs::read_to_string(&path).unwrap().contains(&made.fingerprint()));
        let again = write(&made, &path).unwrap_err();
        assert!(again.to_string().contains("there is a file already"));
        assert_eq!(load(&path).unwrap().certificate(), made.certificate());
        let text = made.to_text().replace("suite p256", "suite rsa");
        std::fs::write(&path, text).unwrap();
        assert!(load(&path).unwrap_err().to_string().ends_with("its line suite is not right"));
    }
}
