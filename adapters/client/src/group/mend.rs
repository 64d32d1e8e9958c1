//! What becomes of a group whose state we cannot rely on: a member that fell behind, or cannot process what was
//! accepted, comes back by itself (03, 07); where the DS went back or split the group, it is given up (09).

use openmls::prelude::{ProtocolMessage, Sender as MlsSender};
use phoenix_core::{ErrorCode, GroupId, LeafIndex, crypto::sha256};

use super::{Act, GroupRecord, Health, Plan, Sent, Standing};
use crate::{
    error::ClientError,
    event::{Distrust, Event},
    mls::encoding::group_info,
    session::Session,
};

impl Session {
    /// Does for all groups what the client does by itself: comes back where it fell behind, removes members that do
    /// not prove who they are, carries out what others propose. What does not succeed is tried again later.
    pub(crate) async fn tend_groups(&mut self) {
        self.mend_groups().await;
        self.repeat_commits().await;
        self.expel_unverified().await;
        self.carry_out_proposals().await;
    }

    /// Comes back into the groups that we fell behind in. Each rests in between, for longer each time, until a commit
    /// of a member was processed: whoever makes us fall behind on purpose does not keep us busy.
    async fn mend_groups(&mut self) {
        let unsound = self.state.groups.iter().filter(|(_, record)| record.is_unsound());
        for group in unsound.map(|(group, _)| group.clone()).collect::<Vec<_>>() {
            let now = self.now();
            if !self.mending.is_resting(&group, now) {
                self.mending.failed(group.clone(), now);
                let _ = self.mend(&group).await;
            }
        }
    }

    /// Comes back where that is needed: after it we are a member, and have a state to go on from.
    ///
    /// # Errors
    /// [`ClientError::State`] where that is not so; else as [`Session::mend`].
    pub(super) async fn recover(&mut self, group: &GroupId) -> Result<(), ClientError> {
        self.check_standing(group)?;
        self.mend(group).await?;
        self.check_standing(group)?;
        self.check_health(group)
    }

    /// Comes back into one group, if that is needed.
    ///
    /// # Errors
    /// [`ClientError::Outrun`] where others were faster each time, and transient ones: it is to be tried again. Others
    /// where what the DS answers is no state to go on from.
    pub(crate) async fn mend(&mut self, group: &GroupId) -> Result<(), ClientError> {
        for _ in 0..self.habits.commits.max(1) {
            if !self.group(group)?.is_unsound() {
                return Ok(());
            }
            match self.try_to_mend(group).await {
                Err(error) if error.code() == Some(ErrorCode::Conflict) => {}
                other => return other,
            }
        }
        Err(ClientError::Outrun)
    }

    async fn try_to_mend(&mut self, group: &GroupId) -> Result<(), ClientError> {
        if self.is_resyncing(group) {
            return self.send_resync(group).await;
        }
        if self.group(group)?.health == Health::Doubtful {
            self.read_queue(0).await?;
            self.process_waiting().await?;
        }
        let info = match self.ask_for_state(group).await {
            Err(error) if is_expelled(&error) => return self.end_membership(group),
            asked => asked?,
        };
        let (theirs, own) = (group_info(&info.group_info)?, self.group(group)?.reached);
        let (epoch, context) = (theirs.epoch().as_u64(), theirs.group_context().clone());
        if epoch < own {
            return self.give_up(group, Distrust::WentBack);
        }
        if epoch > own || self.epoch(group)?.0 != own {
            self.group_mut(group)?.health = Health::Lost;
            return self.resync(group, &info).await;
        }
        let (mls_group, _) = self.mls(group)?;
        if *mls_group.public_group().group_context() != context {
            return self.give_up(group, Distrust::Forked);
        }
        self.group_mut(group)?.health = Health::Sound;
        Ok(())
    }

    /// Entries of our queue are gone: any group may have gone on without us.
    pub(crate) fn doubt_all(&mut self) {
        for record in self.state.groups.values_mut() {
            if record.health == Health::Sound && record.standing.is_inside() {
                record.health = Health::Doubtful;
            }
        }
    }

    /// Something does not fit what we have of a group: it is compared with what the DS has.
    pub(crate) fn doubt(&mut self, group: &GroupId) -> Result<(), ClientError> {
        let record = self.group_mut(group)?;
        if record.health == Health::Sound {
            record.health = Health::Doubtful;
        }
        Ok(())
    }

    /// A commit came for an epoch that we have left. Where it is not the one that we left it by, somebody is shown
    /// another history.
    pub(super) fn compare_with_history(
        &mut self,
        group: &GroupId,
        epoch: u64,
        commit: &[u8],
    ) -> Result<(), ClientError> {
        let merged = self.group(group)?.history.get(&epoch).copied();
        match merged.is_some_and(|merged| merged != sha256(commit)) {
            true => self.doubt(group),
            false => Ok(()),
        }
    }

    /// The DS refused for another epoch than that of what we sent. Where it names one before what we saw accepted, it went
    /// back perhaps, and what it has is looked at.
    pub(super) fn doubt_epoch(&mut self, group: &GroupId, error: &ClientError) -> Result<(), ClientError> {
        let ClientError::Refused(reply) = error else { return Ok(()) };
        let reached = self.group(group)?.reached;
        match reply.current_epoch().is_some_and(|current| current < reached) {
            true => self.doubt(group),
            false => Ok(()),
        }
    }

    /// The DS refused for another epoch than that of what we sent: reads what led there.
    pub(super) async fn follow_epoch(
        &mut self,
        group: &GroupId,
        error: &ClientError,
    ) -> Result<(), ClientError> {
        self.doubt_epoch(group, error)?;
        self.read_queue(1).await?;
        self.process_waiting().await
    }

    /// We missed something of a group, or cannot go on from what we have.
    pub(crate) fn lose(&mut self, group: &GroupId) -> Result<(), ClientError> {
        let record = self.group_mut(group)?;
        if record.health != Health::GivenUp {
            record.health = Health::Lost;
        }
        Ok(())
    }

    /// A commit for the epoch that we are in could not be processed. It counts against the leaf that the DS names,
    /// where the commit itself names no other.
    pub(super) fn blame(
        &mut self,
        group: &GroupId,
        leaf: LeafIndex,
        claimed: Option<LeafIndex>,
    ) -> Result<(), ClientError> {
        let record = self.group_mut(group)?;
        let member = record.members.get(&leaf).filter(|_| claimed == Some(leaf));
        if let Some(pseudonym) = member.map(|member| member.pseudonym) {
            let failed = record.failed.entry(pseudonym).or_insert(0);
            *failed = failed.saturating_add(1);
        }
        self.lose(group)
    }

    /// The DS let happen what it must not, or forgot what it had accepted: nothing is sent to the group any more.
    pub(crate) fn give_up(&mut self, group: &GroupId, cause: Distrust) -> Result<(), ClientError> {
        let record = self.group_mut(group)?;
        if record.health != Health::GivenUp {
            record.health = Health::GivenUp;
            record.sent = None;
            self.tell(Event::GivenUp { group: group.clone(), cause });
        }
        Ok(())
    }

    /// We are no member any more.
    pub(super) fn end_membership(&mut self, group: &GroupId) -> Result<(), ClientError> {
        let record = self.group_mut(group)?;
        record.sent = None;
        if record.standing != Standing::Removed {
            record.standing = Standing::Removed;
            self.tell(Event::Removed { group: group.clone() });
        }
        Ok(())
    }

    /// Commits what others propose where that falls to us; and proposes once more that we leave, where an epoch has
    /// passed without it.
    async fn carry_out_proposals(&mut self) {
        for group in self.state.groups.keys().cloned().collect::<Vec<_>>() {
            if self.falls_to_us(&group).unwrap_or(false) {
                let _ = self.commit(&group, &Plan::Update).await;
            }
            if self.must_leave_again(&group).unwrap_or(false) {
                let _ = self.propose_to_leave(&group).await;
            }
        }
    }

    /// Once in each epoch, as with [`Session::expel_unverified`].
    fn falls_to_us(&mut self, group: &GroupId) -> Result<bool, ClientError> {
        if self.group(group)?.health != Health::Sound || !self.must_cover(group)? {
            return Ok(false);
        }
        if !self.is_first_admin(group)? {
            return Ok(false);
        }
        let epoch = self.epoch(group)?;
        Ok(self.covered.insert(group.clone(), epoch) != Some(epoch))
    }

    /// Whether all is well enough for us to send.
    pub(crate) fn check_health(&self, group: &GroupId) -> Result<(), ClientError> {
        match self.group(group)?.health {
            Health::Sound | Health::Doubtful => Ok(()),
            Health::Lost => Err(ClientError::State("the group's state is not known; it is asked for")),
            Health::GivenUp => Err(ClientError::State("the group's homeserver is not to be trusted with it")),
        }
    }
}

impl GroupRecord {
    /// Keeps by which commit an epoch was left.
    pub(super) fn remember_commit(&mut self, left: u64, commit: [u8; 32]) {
        self.history.insert(left, commit);
        while self.history.len() > HISTORY {
            self.history.pop_first();
        }
    }

    fn is_unsound(&self) -> bool {
        matches!(self.health, Health::Doubtful | Health::Lost) && self.standing.is_inside()
    }

    /// Whether a commit of ours was sent that was not answered.
    pub(super) fn has_open_commit(&self) -> bool {
        let is_commit = |sent: &Sent| !matches!(sent.act, Act::Join | Act::Resync);
        self.health == Health::Sound
            && self.standing == Standing::Member
            && self.sent.as_ref().is_some_and(is_commit)
    }

    /// The leaves that have no business in a group (any more): nobody proves to be behind them, or they broke it for
    /// us twice (03).
    pub(super) fn unwanted(&self) -> Vec<LeafIndex> {
        self.leaves_where(|it| {
            it.trust.is_bad() || self.failed.get(&it.pseudonym).is_some_and(|failed| *failed >= MAX_FAILED)
        })
    }
}

/// The leaf that a commit names as its sender, in clear.
pub(super) fn claimed_sender(message: &ProtocolMessage) -> Option<LeafIndex> {
    match message {
        ProtocolMessage::PublicMessage(message) => match message.sender() {
            MlsSender::Member(leaf) => Some(LeafIndex(leaf.u32())),
            _ => None,
        },
        ProtocolMessage::PrivateMessage(_) => None,
    }
}

/// Whether a DS says that our leaf, or the group, is not there.
fn is_expelled(error: &ClientError) -> bool {
    matches!(error.code(), Some(ErrorCode::Unauthenticated | ErrorCode::Forbidden | ErrorCode::NotFound))
}

/// Epochs of which it is remembered how we left them.
const HISTORY: usize = 64;
/// Accepted commits of one leaf that we could not process, after which it is removed (03).
const MAX_FAILED: u8 = 2;
