//! Commits: made, sent, and made anew where others were faster (07, "Accepting a commit").

use openmls_traits::OpenMlsProvider;
use phoenix_core::{
    Epoch, ErrorCode, ErrorReply, GroupId, LeafIndex, Timestamp, UserId,
    api::{
        Description, Endpoint,
        delivery::{Accepted, AddUsers, MAX_PROPOSALS, Mls, RemoveUsers, UpdateClient},
    },
    wire::{Flag, List, Wire},
};

use super::{Act, Plan, Receipt, Sent, Standing, members::Tell};
use crate::{
    error::{ClientError, mls},
    event::Event,
    session::Session,
};

/// What became of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    /// It was accepted.
    Accepted,
    /// It was not, and will not be: make another.
    Lost,
}

impl Session {
    /// Adds all clients of friends.
    pub(crate) async fn invite(&mut self, group: &GroupId, users: &[UserId]) -> Result<(), ClientError> {
        self.check_standing(group)?;
        // An invitation whose answer was lost may have been accepted.
        self.settle(group).await?;
        let members = &self.group(group)?.members;
        let is_member = |user: &&UserId| members.values().any(|it| it.proven.as_ref() == Some(*user));
        let (present, absent): (Vec<_>, Vec<_>) = users.iter().partition(is_member);
        if absent.is_empty() && !present.is_empty() {
            return Ok(());
        }
        let users: Vec<_> = absent.into_iter().cloned().collect();
        let mut plan = Plan::Add(self.fetch_invitees(group, &users).await?);
        for _ in 0..DUPLICATES {
            match self.commit(group, &plan).await {
                // Keys that are in the group already: a last-resort package was served twice.
                Err(error) if error.code() == Some(ErrorCode::DuplicateKey) => {
                    plan = Plan::Add(self.fetch_invitees(group, &users).await?);
                }
                other => return other,
            }
        }
        self.commit(group, &plan).await
    }

    /// Carries a plan out: makes a commit, sends it, and where another was faster catches up and makes a new one.
    pub(crate) async fn commit(&mut self, group: &GroupId, plan: &Plan) -> Result<(), ClientError> {
        self.check_standing(group)?;
        if self.is_done(group, plan).await? {
            return Ok(());
        }
        if let Plan::Remove(users) = plan {
            self.check_present(group, users)?;
        }
        self.replace_config(group).await?;
        for _ in 0..self.habits.commits.max(1) {
            self.check_standing(group)?;
            let sent = match self.make_commit(group, plan)? {
                Some(sent) => sent,
                None => return Ok(()),
            };
            self.group_mut(group)?.sent = Some(sent);
            if self.settle(group).await? == Outcome::Accepted {
                self.group_mut(group)?.done = None;
                return Ok(());
            }
        }
        Err(ClientError::Outrun)
    }

    /// Whether a plan was carried out by a commit whose answer was lost when it was asked for before.
    async fn is_done(&mut self, group: &GroupId, plan: &Plan) -> Result<bool, ClientError> {
        let wanted = plan.digest();
        let begun = self.group(group)?.sent.as_ref().and_then(|sent| sent.plan);
        let outcome = self.settle(group).await?;
        let done = self.group_mut(group)?.done.take();
        Ok(wanted.is_some() && (done == wanted || outcome == Outcome::Accepted && begun == wanted))
    }

    fn check_present(&self, group: &GroupId, users: &[UserId]) -> Result<(), ClientError> {
        let members = &self.group(group)?.members;
        match users.iter().all(|user| members.values().any(|it| it.proven.as_ref() == Some(user))) {
            true => Ok(()),
            false => Err(ClientError::State("no such member")),
        }
    }

    /// Sends the commit that is on its way, and finds out what became of it. One that was never answered is sent
    /// again as it was: either it is accepted now, or the group has a new epoch, and the queue tells whose.
    async fn settle(&mut self, group: &GroupId) -> Result<Outcome, ClientError> {
        let Some(sent) = self.group(group)?.sent.clone() else { return Ok(Outcome::Lost) };
        let error = match self.submit(group, &sent).await {
            Ok(_) => {
                self.merge_own(group).await?;
                return Ok(Outcome::Accepted);
            }
            Err(error) => error,
        };
        match &error {
            ClientError::Refused(reply) if reply.code == ErrorCode::Conflict => {
                self.catch_up(group, sent.hash, reply.current_epoch()).await
            }
            ClientError::Refused(reply) if reply.code == ErrorCode::PendingProposals => {
                self.drop_sent(group)?;
                self.take_proposals(group, reply)?;
                Ok(Outcome::Lost)
            }
            error if error.is_transient() => Err(error.clone()),
            _ if self.uncertain && self.was_accepted(group, sent.hash).await? => Ok(Outcome::Accepted),
            _ => {
                self.drop_sent(group)?;
                Err(error)
            }
        }
    }

    async fn submit(&mut self, group: &GroupId, sent: &Sent) -> Result<Accepted, ClientError> {
        let description: Description = match sent.act {
            Act::Add => AddUsers::DESCRIPTION,
            Act::Remove => RemoveUsers::DESCRIPTION,
            Act::Update => UpdateClient::DESCRIPTION,
            Act::Join => return Err(ClientError::State("the group is being joined still")),
        };
        let (route, auth) = (self.group_route(group)?, self.leaf_identity(group)?);
        let reply = self.exchange(&description, &route, Some(&auth), sent.body.bytes()).await?;
        Accepted::decode(&reply).map_err(|_| ClientError::Unexpected(description.name))
    }

    /// Another commit was accepted for the epoch, or ours on a try whose answer was lost: reads the queue up to the
    /// group's current epoch.
    async fn catch_up(
        &mut self,
        group: &GroupId,
        hash: [u8; 32],
        current: Option<u64>,
    ) -> Result<Outcome, ClientError> {
        for round in 0..CATCH_UP {
            self.read_queue(if round == 0 { 0 } else { CATCH_UP_WAIT_S }).await?;
            self.process_waiting().await?;
            let epoch = self.epoch(group)?;
            let record = self.group(group)?;
            if record.merged == hash {
                return Ok(Outcome::Accepted);
            }
            let is_current = current.is_none_or(|current| epoch >= Epoch(current));
            if record.standing == Standing::Removed || (record.sent.is_none() && is_current) {
                return Ok(Outcome::Lost);
            }
        }
        // It stays: when the queue has caught up, it tells what became of it.
        Err(ClientError::Outrun)
    }

    /// Whether our queue says that a commit of ours was accepted.
    pub(crate) async fn was_accepted(
        &mut self,
        group: &GroupId,
        hash: [u8; 32],
    ) -> Result<bool, ClientError> {
        for _ in 0..CATCH_UP {
            self.read_queue(CATCH_UP_WAIT_S).await?;
            self.process_waiting().await?;
            let Some(record) = self.state.groups.get(group) else { return Ok(false) };
            if record.merged == hash {
                return Ok(true);
            }
            if record.sent.is_none() {
                return Ok(false);
            }
        }
        Ok(false)
    }

    /// Our commit was accepted: the group is in the epoch that it leads to.
    pub(crate) async fn merge_own(&mut self, group: &GroupId) -> Result<(), ClientError> {
        let Some(sent) = self.group_mut(group)?.sent.take() else { return Ok(()) };
        let (mls_group, provider) = self.mls(group)?;
        mls_group.merge_pending_commit(provider).map_err(mls("merge a commit"))?;
        let own = LeafIndex(mls_group.own_leaf_index().u32());
        let record = self.group_mut(group)?;
        record.merged = sent.hash;
        if sent.act == Act::Remove {
            record.done = sent.plan;
        }
        if let Some(leaf) = sent.leaf {
            record.leaf = leaf;
            record.is_leaf_shared = Flag::No;
        }
        self.refresh_members(group, &sent.fresh, None)?;
        self.know_ourselves(group, own)?;
        let epoch = self.epoch(group)?;
        self.tell(Event::EpochChanged { group: group.clone(), epoch });
        let now: Timestamp = self.now();
        self.meet_members(group, now, Tell::Everybody).await
    }

    /// Gives up a commit of ours that was refused.
    pub(crate) fn drop_sent(&mut self, group: &GroupId) -> Result<(), ClientError> {
        self.group_mut(group)?.sent = None;
        let (mls_group, provider) = self.mls(group)?;
        mls_group.clear_pending_commit(provider.storage()).map_err(mls("clear a commit"))
    }

    /// Takes the proposals that our commit must cover.
    fn take_proposals(&mut self, group: &GroupId, reply: &ErrorReply) -> Result<(), ClientError> {
        let proposals = List::<Mls, MAX_PROPOSALS>::decode(&reply.detail)?;
        for proposal in &proposals {
            self.take_proposal(group, proposal)?;
        }
        Ok(())
    }

    pub(crate) fn check_standing(&self, group: &GroupId) -> Result<(), ClientError> {
        match self.group(group)?.standing {
            Standing::Member => Ok(()),
            Standing::Joining => Err(ClientError::State("the group is being joined still")),
            Standing::Removed => Err(ClientError::State("not a member any more")),
        }
    }
}

impl From<Accepted> for Receipt {
    fn from(accepted: Accepted) -> Self {
        let delayed = accepted.delayed.into_iter().map(|it| (it.domain, it.since)).collect();
        Self { epoch: accepted.epoch, delayed }
    }
}

/// How often packages are fetched anew where the DS knows their keys already.
const DUPLICATES: usize = 3;
/// How often the queue is read for a commit that was accepted.
const CATCH_UP: usize = 10;
/// How long each of those reads waits, in seconds.
const CATCH_UP_WAIT_S: u8 = 2;
