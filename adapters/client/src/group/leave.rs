//! Leaving a group, and ending one.

use openmls::prelude::MlsMessageOut;
use phoenix_core::{
    ErrorCode, GroupId,
    api::delivery::{SelfRemove, SelfRemoveRequest},
};

use super::{Plan, Standing, commit::Try};
use crate::{
    error::{ClientError, mls},
    mls::{encoding::message, mls_signer},
    session::Session,
};

/// How one proposes to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// By a SelfRemove, where all members know it.
    SelfRemove,
    /// By a Remove of one's own leaf.
    Remove,
}

impl Session {
    /// Proposes that we leave; whoever commits next carries it out. Who is alone ends the group.
    pub(crate) async fn leave(&mut self, group: &GroupId) -> Result<(), ClientError> {
        if self.has_ended(group)? {
            return self.delete_group(group).await;
        }
        self.check_standing(group)?;
        self.mend(group).await?;
        self.check_standing(group)?;
        // A commit of ours that is on its way comes first: it would name a member that is gone.
        self.settle(group, Try::Again).await?;
        if self.group(group)?.members.len() < 2 {
            return self.delete_group(group).await;
        }
        self.propose_to_leave(group).await
    }

    /// As [`Session::leave`], once more: a proposal lasts for one epoch.
    pub(super) async fn propose_to_leave(&mut self, group: &GroupId) -> Result<(), ClientError> {
        for _ in 0..self.habits.commits.max(1) {
            let epoch = self.epoch(group)?;
            let mut proposed = self.propose(group, Way::SelfRemove).await;
            if matches!(proposed.as_ref().map_err(ClientError::code), Err(Some(ErrorCode::Malformed))) {
                proposed = self.propose(group, Way::Remove).await;
            }
            match proposed {
                Ok(()) => {
                    self.group_mut(group)?.standing = Standing::Leaving;
                    self.left_at.insert(group.clone(), epoch);
                    return Ok(());
                }
                // Its epoch has passed: others were faster.
                Err(error) if error.code() == Some(ErrorCode::Conflict) => {
                    self.follow_epoch(group, &error).await?;
                    self.mend(group).await?;
                    if self.group(group)?.standing == Standing::Removed {
                        return Ok(());
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Err(ClientError::Outrun)
    }

    async fn propose(&mut self, group: &GroupId, way: Way) -> Result<(), ClientError> {
        let signer = mls_signer(&self.group(group)?.leaf.key);
        let (mls_group, provider) = self.mls(group)?;
        let made: Result<MlsMessageOut, _> = match way {
            Way::SelfRemove => mls_group.leave_group_via_self_remove(provider, &signer),
            Way::Remove => mls_group.leave_group(provider, &signer),
        };
        let proposal = message(&made.map_err(mls("propose to leave"))?)?;
        let (route, auth) = (self.group_route(group)?, self.leaf_identity(group)?);
        let request = SelfRemoveRequest { access: self.group(group)?.access.clone(), proposal };
        let proposed = self.call::<SelfRemove>(&route, Some(&auth), &request).await;
        // It stays with us where it may have been stored: the commit that takes it along refers to it.
        if proposed.as_ref().is_err_and(|error| !error.is_transient()) {
            self.withdraw_own_removal(group)?;
        }
        proposed.map(|_| ())
    }

    /// Whether we wait to be gone, and an epoch has passed without it.
    pub(super) fn must_leave_again(&mut self, group: &GroupId) -> Result<bool, ClientError> {
        if self.group(group)?.standing != Standing::Leaving || self.check_health(group).is_err() {
            return Ok(false);
        }
        let epoch = self.epoch(group)?;
        Ok(self.left_at.get(group) != Some(&epoch))
    }

    /// Removes everybody else and ends the group, whose id nobody gets again for a while.
    pub(crate) async fn delete_group(&mut self, group: &GroupId) -> Result<(), ClientError> {
        if !self.has_ended(group)? {
            match self.commit(group, &Plan::Delete).await {
                // An echo of a try whose answer was lost.
                Err(error) if self.uncertain && error.code() == Some(ErrorCode::NotFound) => {}
                other => other?,
            }
        }
        self.forget(group);
        Ok(())
    }

    /// Whether a commit of ours has ended the group, and whoever asked for that was not told yet.
    fn has_ended(&self, group: &GroupId) -> Result<bool, ClientError> {
        Ok(self.group(group)?.done == Plan::Delete.digest())
    }
}
