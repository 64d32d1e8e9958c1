//! Reports of abuse in a file, one JSON object a line.

use std::{
    fs::{File, OpenOptions},
    io::Write as _,
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

/// In one write, so that lines of two processes do not mix.
fn write(mut file: &File, line: &str) -> std::io::Result<()> {
    if file.metadata()?.len() >= MAX_BYTES {
        return Err(std::io::ErrorKind::StorageFull.into());
    }
    file.write_all(line.as_bytes())
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
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

    use std::os::unix::fs::PermissionsExt as _;

    use phoenix_core::{GroupId, Pseudonym, Timestamp, Uuid};
    use phoenix_homeserver::{
        delivery::{AbuseReport, ReportReason},
        port::Reports as _,
    };
    use serde_json::Value;

    use super::{MAX_BYTES, ReportFile};

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
}
