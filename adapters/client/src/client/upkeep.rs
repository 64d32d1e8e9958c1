//! What is done now and then.

use crate::{error::ClientError, event::Event, group::Tell, session::Session};

impl Session {
    /// The events so far; or the error, where there are none.
    pub(super) fn told(&mut self, result: Result<(), ClientError>) -> Result<Vec<Event>, ClientError> {
        if self.events.is_empty() {
            result?;
        }
        Ok(std::mem::take(&mut self.events).into())
    }

    pub(super) async fn maintain(&mut self) -> Result<(), ClientError> {
        self.top_up().await?;
        if self.state.record.is_some() && self.packages_low {
            self.publish_add_packages().await?;
            self.packages_low = false;
        }
        let now = self.now();
        for group in self.state.groups.keys().cloned().collect::<Vec<_>>() {
            self.verify_members(&group, now, Tell::Everybody).await?;
        }
        Ok(())
    }
}
