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
        let mut first = self.check_authorities().await;
        first = first.and(self.keep_account().await);
        first = first.and(self.keep_aliases().await);
        first = first.and(self.top_up().await);
        self.compare_token_keys().await;
        first = first.and(self.become_further().await);
        first = first.and(self.refill_packages().await);
        first = first.and(self.block_retired().await);
        first = first.and(self.renew_a_config().await);
        first = first.and(self.void_former_configs().await);
        first = first.and(self.leave_queues().await);
        let now = self.now();
        for group in self.state.groups.keys().cloned().collect::<Vec<_>>() {
            first = first.and(self.verify_members(&group, now, (Tell::Everybody, Effort::Passing)).await);
        }
        self.tend_groups().await;
        first = first.and(self.renew_a_leaf().await);
        first = first.and(self.show_activity().await);
        first = first.and(self.renew_senders().await);
        first = first.and(self.share_a_profile().await);
        first.and(self.tell_friends().await)
    }

    /// Asks whether our own AS or those of people that we know have revoked anyone. One that does not answer now is
    /// asked again.
    async fn check_authorities(&mut self) -> Result<(), ClientError> {
        let mut first = Ok(());
        for domain in self.concerned_domains() {
            match self.check_authority(&domain, Effort::Passing).await {
                Err(error) if !error.is_transient() => first = first.and(Err(error)),
                Ok(()) | Err(_) => {}
            }
        }
        first
    }

    async fn refill_packages(&mut self) -> Result<(), ClientError> {
        match &self.state.record {
            Some(record) if record.is_low.is_set() => self.refill_add_packages().await,
            _ => Ok(()),
        }
    }

    /// Renews the credential in time, and what carries it.
    async fn keep_account(&mut self) -> Result<(), ClientError> {
        if self.is_renewal_due() {
            return self.renew_credential().await;
        }
        self.replace_packages().await
    }
}
