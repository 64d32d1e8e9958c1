//! The file beside the database that tells whether the database is an older copy.

use std::{
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::Args;
use phoenix_homeserver::Era;

use crate::admin::folder;

/// Where the file is.
#[derive(Clone, Debug, Args)]
pub(crate) struct KeptOptions {
    /// Keeps how far the database has come, so that an older copy of it is told from it: a file that must not be backed
    /// up or brought back with the database. By default it has the database's name with .generation behind it.
    #[arg(long, value_name = "FILE")]
    generation_file: Option<PathBuf>,
}

/// The file.
#[derive(Clone, Debug)]
pub(crate) struct KeptEra(PathBuf);

impl KeptOptions {
    /// The file of a database.
    pub(crate) fn file(&self, db: &Path) -> KeptEra {
        let beside = || {
            let mut path = db.as_os_str().to_owned();
            path.push(".generation");
            path.into()
        };
        KeptEra(self.generation_file.clone().unwrap_or_else(beside))
    }
}

impl KeptEra {
    /// The latest era that was kept; none where there is no file yet.
    pub(crate) fn read(&self) -> anyhow::Result<Option<Era>> {
        let path = self.0.display();
        match fs::read_to_string(&self.0) {
            Ok(text) => {
                let era = text.trim_end().parse();
                era.map(Some).with_context(|| format!("{path}: this is no file that `serve` wrote"))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| path.to_string()),
        }
    }

    /// Keeps a later era: once this returned, it outlives a power cut.
    pub(crate) fn write(&self, era: Era) -> anyhow::Result<()> {
        self.replace(era).with_context(|| self.0.display().to_string())
    }

    fn replace(&self, era: Era) -> std::io::Result<()> {
        let mut new = self.0.as_os_str().to_owned();
        new.push(".new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        writeln!(file, "{era}")?;
        file.sync_all()?;
        fs::rename(&new, &self.0)?;
        File::open(folder(&self.0))?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use phoenix_homeserver::Era;

    use super::{KeptEra, KeptOptions};

    #[test]
    fn what_was_kept_last_is_read_and_what_nobody_wrote_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let db = folder.path().join("phoenix.db");
        let file = KeptOptions { generation_file: None }.file(&db);
        assert_eq!(file.read().unwrap(), None);

        for age in [1, 2] {
            file.write(Era { generation: 0, age }).unwrap();
        }

        assert_eq!(file.read().unwrap(), Some(Era { generation: 0, age: 2 }));
        assert!(folder.path().join("phoenix.db.generation").exists());
        std::fs::write(folder.path().join("other"), "two").unwrap();
        let refused = KeptEra(folder.path().join("other")).read().unwrap_err();
        assert!(refused.to_string().ends_with("this is no file that `serve` wrote"), "{refused}");
    }
}
