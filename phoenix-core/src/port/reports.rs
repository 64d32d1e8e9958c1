//! The port to whoever looks after abuse.

use async_trait::async_trait;
use bytes::Bytes;

use crate::{GroupId, Pseudonym, Timestamp, api::delivery::ReportReason};

/// Takes reports of abuse, for the operator (07, `report`). It is told; no answer of it changes anything.
///
/// Reports are handed on one after the other, outside the calls that brought them. A sink that is slow loses some:
/// only so many wait for it.
#[async_trait]
pub trait Reports: Send + Sync + 'static {
    /// Takes a report.
    async fn take(&self, report: AbuseReport);
}

/// A report of a member about another. It may be made up: nothing but that a member of the group sent it is proven.
#[derive(Clone, PartialEq, Eq)]
pub struct AbuseReport {
    /// The group.
    pub group: GroupId,
    /// Who is reported.
    pub accused: Pseudonym,
    /// Who reports: who reports others again and again can be told by it.
    pub reporter: Pseudonym,
    /// What for.
    pub reason: ReportReason,
    /// What the reporter chose to disclose.
    pub evidence: Bytes,
    /// When it came in.
    pub reported_at: Timestamp,
}

// What a report says is for the operator, and nobody's business in a log.
impl std::fmt::Debug for AbuseReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AbuseReport").field("reason", &self.reason).finish_non_exhaustive()
    }
}
