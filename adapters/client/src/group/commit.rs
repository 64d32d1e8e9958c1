//! Commits: made, sent, and made anew where others were faster (07, "Accepting a commit").

use std::collections::BTreeSet;

use openmls_traits::OpenMlsProvider;
use phoenix_core::{
    Epoch, ErrorCode, ErrorReply, GroupId, LeafIndex, UserId,
    api::{
        Description, Endpoint,
        delivery::{Accepted, AddUsers, ChangeRoles, DeleteGroup, Proposals, RemoveUsers, UpdateClient},
    },
    wire::{Flag, Wire},
};

use super::{Act, Health, Plan, Receipt, Sent, Standing, invite::portions, members::Tell, trust::Effort};
use crate::{
    error::{ClientError, mls},
    event::Event,
    session::Session,
};

/// What became of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was accepted.
    Accepted,
    /// It was not, and will not be: make another.
    Lost,
}

/// Whether a commit may have come to the DS before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Try {
    /// It was made just now.
    First,
    /// It was sent before, and its answer was lost: a refusal may be that of its echo.
    Again,
}

impl Session {
    /// Adds all clients of friends, by as many commits as it takes.
    pub(crate) async fn invite(&mut self, group: &GroupId, users: &[UserId]) -> Result<(), ClientError> {
        self.recover(group).await?;
        // An invitation whose answer was lost may have been accepted.
        self.settle(group, Try::Again).await?;
        self.check_standing(group)?;
        let present: BTreeSet<_> = users.iter().filter(|user| self.is_wholly_in(group, user)).collect();
        let users = users.iter().filter(|user| !present.contains(user)).cloned().collect();
        for portion in portions(self.served(users)) {
            self.add(group, &portion).await?;
        }
        Ok(())
    }

    /// Adds all clients of friends by one commit.
    async fn add(&mut self, group: &GroupId, users: &[UserId]) -> Result<(), ClientError> {
        let mut plan = Plan::Add(self.fetch_invitees(group, users).await?);
        for _ in 0..DUPLICATES {
            match self.commit(group, &plan).await {
                // Keys that are in the group already: a last-resort package was served twice.
                Err(error) if error.code() == Some(ErrorCode::DuplicateKey) => {
                    plan = Plan::Add(self.fetch_invitees(group, users).await?);
                }
                other => return other,
            }
        }
        self.commit(group, &plan).await
    }

    /// Whether all clients of a user that we know of are in a group.
    fn is_wholly_in(&self, group: &GroupId, user: &UserId) -> bool {
        let Ok(record) = self.group(group) else { return false };
        let mut known: Vec<_> = match self.state.friends.get(user) {
            Some(friend) => friend.further.values().chain([&friend.key]).collect(),
            None if *user == self.client().user => self.state.own_clients.values().flatten().collect(),
            None => Vec::new(),
        };
        let members = record.members.values().filter(|it| it.proven.as_ref() == Some(user));
        let faces: Vec<_> = members.filter_map(|it| record.faces.get(&it.face)).collect();
        known.retain(|key| !faces.iter().any(|face| face.key == **key));
        known.is_empty() && !faces.is_empty()
    }

    /// Carries a plan out: makes a commit, sends it, and where another was faster catches up and makes a new one.
    pub(crate) async fn commit(&mut self, group: &GroupId, plan: &Plan) -> Result<(), ClientError> {
        self.recover(group).await?;
        if self.is_done(group, plan).await? {
            return Ok(());
        }
        if let Plan::Remove(users) = plan {
            self.check_present(group, users)?;
        }
        self.replace_config(group, Effort::Patient).await?;
        for _ in 0..self.habits.commits.max(1) {
            self.recover(group).await?;
            let sent = match self.make_commit(group, plan)? {
                Some(sent) => sent,
                None => return Ok(()),
            };
            self.group_mut(group)?.sent = Some(sent);
            if self.settle(group, Try::First).await? == Outcome::Accepted {
                self.group_mut(group)?.done = None;
                return Ok(());
            }
        }
        Err(ClientError::Outrun)
    }

    /// Makes users admins, and others none any more.
    pub(crate) async fn change_roles(
        &mut self,
        group: &GroupId,
        (admins, members): (&[UserId], &[UserId]),
    ) -> Result<(), ClientError> {
        self.check_present(group, admins)?;
        self.check_present(group, members)?;
        self.commit(group, &Plan::Roles(admins.to_vec(), members.to_vec())).await
    }

    /// Whether a plan was carried out by a commit whose answer was lost when it was asked for before.
    async fn is_done(&mut self, group: &GroupId, plan: &Plan) -> Result<bool, ClientError> {
        let wanted = plan.digest();
        let begun = self.group(group)?.sent.as_ref().and_then(|sent| sent.plan);
        let outcome = self.settle(group, Try::Again).await?;
        let done = self.group(group)?.done;
        let is_done = wanted.is_some() && (done == wanted || outcome == Outcome::Accepted && begun == wanted);
        if !is_done {
            // Where it has ended the group, that is for who asks for its end again.
            self.check_standing(group)?;
        }
        self.group_mut(group)?.done = None;
        Ok(is_done)
    }

    pub(super) fn check_present(&self, group: &GroupId, users: &[UserId]) -> Result<(), ClientError> {
        let members = &self.group(group)?.members;
        match users.iter().all(|user| members.values().any(|it| it.proven.as_ref() == Some(user))) {
            true => Ok(()),
            false => Err(ClientError::State("no such member")),
        }
    }

    /// Sends the commit that is on its way, and finds out what became of it. One that was never answered is sent
    /// again as it was: either it is accepted now, or the group has a new epoch, and the queue tells whose.
    pub(super) async fn settle(&mut self, group: &GroupId, tried: Try) -> Result<Outcome, ClientError> {
        let Some(sent) = self.group(group)?.sent.clone() else { return Ok(Outcome::Lost) };
        let error = match self.submit(group, &sent, Effort::Patient).await {
            Ok(_) => {
                self.merge_own(group).await?;
                return Ok(Outcome::Accepted);
            }
            Err(error) => error,
        };
        match &error {
            ClientError::Refused(reply) if reply.code == ErrorCode::Conflict => {
                self.doubt_epoch(group, &error)?;
                if self.group(group)?.health == Health::Doubtful {
                    self.mend(group).await?;
                }
                self.catch_up(group, sent.hash, reply.current_epoch()).await
            }
            ClientError::Refused(reply) if reply.code == ErrorCode::PendingProposals => {
                self.drop_sent(group)?;
                self.take_proposals(group, reply)?;
                Ok(Outcome::Lost)
            }
            error if error.is_transient() => Err(error.clone()),
            _ if (tried == Try::Again || self.uncertain) && self.was_accepted(group, sent.hash).await? => {
                Ok(Outcome::Accepted)
            }
            _ => {
                self.drop_sent(group)?;
                match tried {
                    Try::First => Err(error),
                    // That what was wanted before is refused is no answer to what is wanted now.
                    Try::Again => Ok(Outcome::Lost),
                }
            }
        }
    }

    /// Sends the commits once more whose answers were lost, so that none is carried out long after it was asked for.
    pub(super) async fn repeat_commits(&mut self) {
        let open = self.state.groups.iter().filter(|(_, record)| record.has_open_commit());
        for group in open.map(|(group, _)| group.clone()).collect::<Vec<_>>() {
            let now = self.now();
            if self.repeating.is_resting(&group, now) {
                continue;
            }
            self.repeating.failed(group.clone(), now);
            let Some(sent) = self.state.groups.get(&group).and_then(|record| record.sent.clone()) else {
                continue;
            };
            // What fails on the way is tried again; where others were faster, the queue tells whose commit it was.
            let _ = match self.submit(&group, &sent, Effort::Passing).await {
                Ok(_) => self.merge_own(&group).await,
                Err(error) if is_final(&error) => self.give_up_refused(&group, sent.hash).await,
                Err(error) => Err(error),
            };
        }
    }

    /// A commit that was sent before is refused, and would be each time: it is given up, unless the queue says that an
    /// earlier try was accepted, or may say so still.
    async fn give_up_refused(&mut self, group: &GroupId, hash: [u8; 32]) -> Result<(), ClientError> {
        self.read_queue(0).await?;
        self.process_waiting().await?;
        let mut former = self.state.former.values().map(|it| it.record.client);
        let is_awaited = former.any(|queue| self.unended(&queue).contains(group));
        let is_open = self.group(group)?.sent.as_ref().is_some_and(|sent| sent.hash == hash);
        if is_open && !is_awaited { self.drop_sent(group) } else { Ok(()) }
    }

    async fn submit(
        &mut self,
        group: &GroupId,
        sent: &Sent,
        effort: Effort,
    ) -> Result<Accepted, ClientError> {
        let description: Description = match sent.act {
            Act::Add => AddUsers::DESCRIPTION,
            Act::Remove => RemoveUsers::DESCRIPTION,
            Act::Update => UpdateClient::DESCRIPTION,
            Act::Roles => ChangeRoles::DESCRIPTION,
            Act::Delete => DeleteGroup::DESCRIPTION,
            Act::Resync => return Err(ClientError::State("the group's state is asked for still")),
            Act::Join => return Err(ClientError::State("the group is being joined still")),
        };
        let (route, auth) = (self.group_route(group)?, self.leaf_identity(group)?);
        let reply = self.exchange(&description, (&route, effort), Some(&auth), sent.body.bytes()).await?;
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
            if !matches!(record.health, Health::Sound | Health::Doubtful) {
                return Ok(Outcome::Lost);
            }
            if record.standing == Standing::Removed || (record.sent.is_none() && is_current) {
                return Ok(Outcome::Lost);
            }
        }
        // It stays: when the queue has caught up, it tells what became of it. That may take days behind a cut wire, and
        // what is only late is not missed: who came back now could read none of what is on its way.
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
        let (now, told) = (self.now(), self.profile_version());
        let Some(sent) = self.group_mut(group)?.sent.take() else { return Ok(()) };
        let (mls_group, provider) = self.mls(group)?;
        let left = mls_group.epoch().as_u64();
        mls_group.merge_pending_commit(provider).map_err(mls("merge a commit"))?;
        let own = LeafIndex(mls_group.own_leaf_index().u32());
        let record = self.group_mut(group)?;
        record.merged = sent.hash;
        record.remember_commit(left, sent.hash);
        record.committed_at = now;
        if matches!(sent.act, Act::Remove | Act::Roles | Act::Delete) {
            record.done = sent.plan;
        }
        if let Some(leaf) = sent.leaf {
            let former = record.leaf.credential.pseudonym;
            record.former_name = Some(former).filter(|it| *it != leaf.credential.pseudonym);
            record.leaf = leaf;
            record.next_leaf = None;
            record.is_leaf_shared = Flag::No;
            record.profile_told = told;
        }
        self.refresh_members(group, &sent.fresh, None)?;
        self.know_ourselves(group, own)?;
        let epoch = self.epoch(group)?;
        self.tell(Event::EpochChanged { group: group.clone(), epoch });
        self.mending.succeeded(group);
        self.repeating.succeeded(group);
        self.meet_members(group, now, Tell::Everybody).await?;
        // Nothing is left of the group but us.
        if sent.act == Act::Delete { self.end_membership(group) } else { Ok(()) }
    }

    /// Gives up a commit of ours that was refused.
    pub(crate) fn drop_sent(&mut self, group: &GroupId) -> Result<(), ClientError> {
        self.group_mut(group)?.sent = None;
        self.repeating.succeeded(group);
        let (mls_group, provider) = self.mls(group)?;
        mls_group.clear_pending_commit(provider.storage()).map_err(mls("clear a commit"))
    }

    /// Takes the proposals that our commit must cover.
    fn take_proposals(&mut self, group: &GroupId, reply: &ErrorReply) -> Result<(), ClientError> {
        let proposals = Proposals::decode(&reply.detail)?;
        for proposal in &proposals {
            self.take_proposal(group, proposal, None)?;
        }
        Ok(())
    }

    pub(crate) fn check_standing(&self, group: &GroupId) -> Result<(), ClientError> {
        match self.group(group)?.standing {
            Standing::Member => Ok(()),
            Standing::Joining => Err(ClientError::State("the group is being joined still")),
            Standing::Leaving => Err(ClientError::State("this client has left the group")),
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

/// Whether a commit is refused as it is, whatever others do. A leaf that the DS does not know is no such reason: an earlier
/// try may have replaced it, and the queue says so.
fn is_final(error: &ClientError) -> bool {
    let code = error.code().filter(|_| !error.is_transient());
    let is_open = |code: &ErrorCode| {
        matches!(code, ErrorCode::Conflict | ErrorCode::PendingProposals | ErrorCode::Unauthenticated)
    };
    code.is_some_and(|code| !is_open(&code))
}

/// How often packages are fetched anew where the DS knows their keys already.
const DUPLICATES: usize = 3;
/// How often the queue is read for a commit that was accepted.
const CATCH_UP: usize = 10;
/// How long each of those reads waits, in seconds.
const CATCH_UP_WAIT_S: u8 = 2;
