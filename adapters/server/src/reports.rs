//! Reports of abuse in a file, one JSON object a line.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::Arc,
};

use anyhow::Context as _;
use async_trait::async_trait;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use phoenix_homeserver::{delivery::AbuseReport, port::Reports};
use serde_json::json;

/// Appends reports to a file, which only its owner reads: it shows what members chose to disclose.
pub(crate) struct ReportFile(Arc<File>);

impl ReportFile {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
        Ok(Self(Arc::new(file.with_context(|| format!("{}", path.display()))?)))
    }
}

#[async_trait]
impl Reports for ReportFile {
    async fn take(&self, report: AbuseReport) {
        let (file, line) = (self.0.clone(), line(&report));
        let written = tokio::task::spawn_blocking(move || write(&file, &line)).await;
        if !matches!(written, Ok(Ok(()))) {
            tracing::error!("a report of abuse was lost: its file is full, or cannot be written");
        }
    }
}

/// Writes a line, or nothing: what a full disk took of it is taken back. Other processes wait meanwhile, so that no line
/// of theirs is mixed with it, nor taken back with it.
fn write(file: &File, line: &str) -> io::Result<()> {
    file.lock()?;
    let written = file.metadata().and_then(|found| append(file, found.len(), line, |end| file.set_len(end)));
    file.unlock().and(written)
}

/// Appends a line to what ends here, or cuts it off there again.
fn append(
    mut to: impl Write,
    end: u64,
    line: &str,
    cut: impl FnOnce(u64) -> io::Result<()>,
) -> io::Result<()> {
    if end >= MAX_BYTES {
        return Err(io::ErrorKind::StorageFull.into());
    }
    to.write_all(line.as_bytes()).inspect_err(|_| {
        if cut(end).is_err() {
            tracing::error!("part of a report of abuse stayed in its file, without an end");
        }
    })
}

fn line(report: &AbuseReport) -> String {
    let AbuseReport { group, accused, reporter, reason, evidence, reported_at } = report;
    let base64 = |bytes: &[u8]| BASE64_STANDARD.encode(bytes);
    let object = json!({
        "reported_at": reported_at.as_secs(),
        "group": base64(group.uuid.as_bytes()),
        "accused": base64(accused.as_bytes()),
        "reporter": base64(reporter.as_bytes()),
        "reason": format!("{reason:?}").to_lowercase(),
        "evidence": base64(evidence),
    });
    format!("{object}\n")
}

/// Beyond it no reports are taken until the operator has moved the file away: who reports without end fills no disk.
const MAX_BYTES: u64 = 64 << 20;

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::panic,
        reason = "a test fails by panicking"
    )]

    use std::{
        io::{self, Seek as _, SeekFrom, Write},
        os::unix::fs::PermissionsExt as _,
    };

    use phoenix_core::{GroupId, Pseudonym, Timestamp, Uuid};
    use phoenix_homeserver::{
        delivery::{AbuseReport, ReportReason},
        port::Reports as _,
    };
    use serde_json::Value;

    use super::{MAX_BYTES, ReportFile, append, line};

    fn report(number: u64) -> AbuseReport {
        AbuseReport {
            group: GroupId { uuid: Uuid([1; 16]), domain: "alpha.test".parse().unwrap() },
            accused: Pseudonym([2; 16]),
            reporter: Pseudonym([3; 16]),
            reason: ReportReason::Spam,
            evidence: b"buy\nthis".to_vec().into(),
            reported_at: Timestamp::from_secs(number),
        }
    }

    #[tokio::test]
    async fn each_report_is_a_line_that_only_the_owner_reads() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("reports");
        for number in 0..2 {
            // Also over a restart.
            ReportFile::open(&path).unwrap().take(report(number)).await;
        }

        let lines = std::fs::read_to_string(&path).unwrap();

        let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!((&lines[1]["reported_at"], &lines[1]["reason"]), (&Value::from(1), &Value::from("spam")));
        assert_eq!(lines[0]["evidence"], "YnV5CnRoaXM=");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[tokio::test]
    async fn a_full_file_takes_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("reports");
        let file = ReportFile::open(&path).unwrap();
        std::fs::File::options().write(true).open(&path).unwrap().set_len(MAX_BYTES).unwrap();

        file.take(report(1)).await;

        assert_eq!(std::fs::metadata(&path).unwrap().len(), MAX_BYTES);
    }

    /// A disk that has room for so many bytes, over a real file.
    struct Disk {
        file: std::fs::File,
        room: usize,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.room == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let written = self.file.write(&bytes[..bytes.len().min(self.room)])?;
            self.room -= written;
            Ok(written)
        }

        fn flush(&mut self) -> io::Result<()> {
            self.file.flush()
        }
    }

    #[test]
    fn of_a_line_for_which_the_disk_has_no_room_nothing_stays() {
        let told = line(&report(1));
        for room in [0, 1, told.len() - 1] {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(b"a line\n").unwrap();
            let disk = Disk { file: file.try_clone().unwrap(), room };

            let written = append(disk, 7, &told, |end| file.set_len(end));

            assert_eq!(written.unwrap_err().kind(), io::ErrorKind::StorageFull);
            assert_eq!(io::read_to_string(rewound(&file)).unwrap(), "a line\n");
        }
        let file = tempfile::tempfile().unwrap();
        let disk = Disk { file: file.try_clone().unwrap(), room: told.len() };
        append(disk, 0, &told, |_| panic!("nothing is to be cut")).unwrap();
        assert_eq!(io::read_to_string(rewound(&file)).unwrap(), told);
    }

    fn rewound(mut file: &std::fs::File) -> &std::fs::File {
        file.seek(SeekFrom::Start(0)).unwrap();
        file
    }
}
