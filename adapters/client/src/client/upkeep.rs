//! What is done now and then.

use crate::{
    error::ClientError,
    event::Event,
    group::{Effort, Tell},
    session::Session,
};

impl Session {
    /// The events so far; or the error, where there are none.
    pub(super) fn told(&mut self, result: Result<(), ClientError>) -> Result<Vec<Event>, ClientError> {
        if !self.state.outbox.has_news() {
            result?;
        }
        Ok(self.state.outbox.hand_out())
    }

    pub(super) async fn maintain(&mut self) -> Result<(), ClientError> {
        self.top_up().await?;
        if self.state.record.is_some() && self.packages_low {
            self.publish_add_packages().await?;
            self.packages_low = false;
        }
        let now = self.now();
        let mut first = Ok(());
        for group in self.state.groups.keys().cloned().collect::<Vec<_>>() {
            first = first.and(self.verify_members(&group, now, (Tell::Everybody, Effort::Passing)).await);
        }
        self.expel_unverified().await;
        first
    }
}
