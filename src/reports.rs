//! Reports of abuse, on their way to the operator.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use phoenix_core::{
    GroupId,
    port::{AbuseReport, Reports},
};

use crate::homeserver::Inner;

/// Hands reports to whoever takes them, one after the other, until it is dropped.
pub(crate) async fn hand_on(inner: &Inner) {
    loop {
        inner.reports.take(inner.shared.reports().next().await).await;
    }
}

/// Keeps the latest reports in memory, until the operator fetches them. Of many, those of the group that most are about
/// make room, so that a few who report without end hide nothing.
#[derive(Clone, Default)]
pub(crate) struct ReportBox(Arc<Mutex<VecDeque<AbuseReport>>>);

impl ReportBox {
    /// What came since the last time, in order.
    pub(crate) fn fetch(&self) -> Vec<AbuseReport> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect()
    }
}

#[async_trait]
impl Reports for ReportBox {
    async fn take(&self, report: AbuseReport) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_back(report);
        if kept.len() > MAX_KEPT {
            let mut counts: BTreeMap<&GroupId, usize> = BTreeMap::new();
            for report in kept.iter() {
                let count = counts.entry(&report.group).or_default();
                *count = count.saturating_add(1);
            }
            let most = counts.into_iter().max_by_key(|(_, count)| *count).map(|(group, _)| group.clone());
            let place = kept.iter().position(|report| Some(&report.group) == most.as_ref());
            kept.remove(place.unwrap_or_default());
        }
    }
}

/// Reports kept: as many as a person reads; 4 MiB where all bring as much evidence as they may.
const MAX_KEPT: usize = 256;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use bytes::Bytes;
    use futures::executor::block_on;
    use phoenix_core::{
        GroupId, Pseudonym, Timestamp, Uuid,
        api::delivery::ReportReason,
        port::{AbuseReport, Reports},
    };

    use super::{MAX_KEPT, ReportBox};

    fn report(group: u8, number: u64) -> AbuseReport {
        AbuseReport {
            group: GroupId { uuid: Uuid([group; 16]), domain: "alpha.test".parse().unwrap() },
            accused: Pseudonym([1; 16]),
            reporter: Pseudonym([2; 16]),
            reason: ReportReason::Spam,
            evidence: Bytes::new(),
            reported_at: Timestamp::from_secs(number),
        }
    }

    #[test]
    fn reports_are_fetched_once_in_order() {
        let kept = ReportBox::default();
        for number in 0..3 {
            block_on(kept.take(report(1, number)));
        }

        assert_eq!(kept.fetch(), [0, 1, 2].map(|number| report(1, number)));
        assert!(kept.fetch().is_empty());
    }

    #[test]
    fn a_group_that_is_reported_without_end_hides_no_other() {
        let kept = ReportBox::default();
        block_on(kept.take(report(2, 0)));
        for number in 0..2 * MAX_KEPT as u64 {
            block_on(kept.take(report(1, number)));
        }
        block_on(kept.take(report(3, 0)));

        let fetched = kept.fetch();

        assert_eq!(fetched.len(), MAX_KEPT);
        assert!(fetched.contains(&report(2, 0)) && fetched.contains(&report(3, 0)));
        assert!(fetched.contains(&report(1, 2 * MAX_KEPT as u64 - 1)), "the latest stays");
    }
}
