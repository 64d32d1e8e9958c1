//! Coming back into a group whose state we do not have any more (07, `resync`).

use std::sync::Arc;

use phoenix_core::{
    ErrorCode, GroupId, LeafIndex,
    api::{
        Endpoint,
        delivery::{
            CommitAad, CommitRequest, ExternalCommitInfo, ExternalCommitInfoReply, ExternalCommitInfoRequest,
            Resync,
        },
    },
    crypto::sha256,
    wire::{Flag, Opaque, Sender, Wire},
};

use super::{
    Act, Health, Sent, Standing,
    accept::leaves,
    external::External,
    members::{Tell, roster_keys},
    trust::Effort,
};
use crate::{
    call::Auth,
    error::ClientError,
    event::Event,
    mls::{encoding::group_info, leaf::OwnLeaf, provider::Blob},
    session::Session,
};

impl Session {
    /// What the DS has of a group that we are a member of.
    pub(crate) async fn ask_for_state(
        &mut self,
        group: &GroupId,
    ) -> Result<ExternalCommitInfoReply, ClientError> {
        let auth = self.lasting_identity(group)?;
        let refused = match self.ask_as(group, &auth).await {
            Err(error) if error.code() == Some(ErrorCode::Unauthenticated) => error,
            asked => return asked,
        };
        // A state from before our last commit goes on: then the DS knows us by the leaf that was prepared for that.
        let record = self.group(group)?;
        let Some(next) = record.next_leaf.clone() else { return Err(refused) };
        let (index, reached) = (self.lasting_leaf(group)?, record.reached);
        let auth = Auth::new(Sender::Leaf(group.clone(), index), Arc::new(next.key.clone()));
        let info = self.ask_as(group, &auth).await?;
        // We have that leaf in no epoch that we know.
        if group_info(&info.group_info)?.epoch().as_u64() > reached {
            self.take_next_leaf(group, index, next)?;
        }
        Ok(info)
    }

    async fn ask_as(&mut self, group: &GroupId, auth: &Auth) -> Result<ExternalCommitInfoReply, ClientError> {
        let route = self.group_route(group)?;
        let request =
            ExternalCommitInfoRequest { access: self.group(group)?.access.clone(), join_code: None };
        self.call::<ExternalCommitInfo>(&route, Some(auth), &request).await
    }

    /// The leaf that was prepared is ours already.
    fn take_next_leaf(
        &mut self,
        group: &GroupId,
        index: LeafIndex,
        next: OwnLeaf,
    ) -> Result<(), ClientError> {
        let record = self.group_mut(group)?;
        if let Some(member) = record.members.get_mut(&index) {
            member.leaf_key = Blob(next.key.verifying_key().key.to_vec());
        }
        let former = record.leaf.credential.pseudonym;
        record.former_name = Some(former).filter(|it| *it != next.credential.pseudonym);
        (record.leaf, record.next_leaf, record.is_leaf_shared) = (next, None, Flag::No);
        Ok(())
    }

    /// Puts our leaf in its own place again, by external commit on what the DS has.
    pub(super) async fn resync(
        &mut self,
        group: &GroupId,
        info: &ExternalCommitInfoReply,
    ) -> Result<(), ClientError> {
        let leaf = self.group(group)?.leaf.clone();
        // The credential is the one that the tree has: it brings no new keys.
        let External { mls_group, commit, group_info } =
            self.external_commit(group, info, &leaf, &CommitAad::default())?;
        let fresh = roster_keys(&info.roster, leaves(&mls_group));
        self.keep(group.clone(), mls_group);
        let access = self.group(group)?.access.clone();
        let hash = sha256(&commit);
        let body = Opaque::new(CommitRequest { access, commit, group_info }.encode())?;
        let sent = Sent { act: Act::Resync, plan: None, hash, body, fresh, leaf: None };
        self.group_mut(group)?.sent = Some(sent);
        self.send_resync(group).await
    }

    /// Sends the external commit that is on its way, and finds out what became of it. One that was not accepted is
    /// given up.
    pub(super) async fn send_resync(&mut self, group: &GroupId) -> Result<(), ClientError> {
        let Some(sent) = self.group(group)?.sent.clone() else { return Ok(()) };
        let (route, auth) = (self.group_route(group)?, self.lasting_identity(group)?);
        let error = match self
            .exchange(&Resync::DESCRIPTION, (&route, Effort::Patient), Some(&auth), sent.body.bytes())
            .await
        {
            Ok(_) => return self.finish_resync(group).await,
            Err(error) => error,
        };
        if error.is_transient() {
            return Err(error);
        }
        // Whoever was faster is told by `conflict`; else it may be the echo of a try whose answer was lost, of an
        // earlier call perhaps: then our queue says so.
        let is_lost = error.code() == Some(ErrorCode::Conflict) && !self.uncertain;
        if !is_lost && self.was_accepted(group, sent.hash).await? {
            return Ok(());
        }
        self.group_mut(group)?.sent = None;
        Err(error)
    }

    /// The DS accepted it: the group is ours again.
    pub(super) async fn finish_resync(&mut self, group: &GroupId) -> Result<(), ClientError> {
        let now = self.now();
        let record = self.group_mut(group)?;
        let Some(sent) = record.sent.take() else { return Ok(()) };
        record.merged = sent.hash;
        record.health = Health::Sound;
        record.committed_at = now;
        // Who wanted to leave says so again: the proposal went with the epoch.
        record.standing =
            if record.standing == Standing::Removed { Standing::Member } else { record.standing };
        self.refresh_members(group, &sent.fresh, None)?;
        let own = LeafIndex(self.mls(group)?.0.own_leaf_index().u32());
        self.know_ourselves(group, own)?;
        let epoch = self.epoch(group)?;
        self.tell(Event::Resynced { group: group.clone(), epoch });
        self.meet_members(group, now, Tell::Everybody).await
    }

    /// Signs as the leaf that the DS knows us by, whatever we hold of the group now.
    fn lasting_identity(&self, group: &GroupId) -> Result<Auth, ClientError> {
        let leaf = self.lasting_leaf(group)?;
        let key = self.group(group)?.leaf.key.clone();
        Ok(Auth::new(Sender::Leaf(group.clone(), leaf), Arc::new(key)))
    }

    /// Where our leaf stood when we knew the group last.
    fn lasting_leaf(&self, group: &GroupId) -> Result<LeafIndex, ClientError> {
        let own = self.own_leaf_key(group)?;
        let leaf =
            self.group(group)?.members.iter().find(|(_, it)| it.leaf_key == own).map(|(leaf, _)| *leaf);
        leaf.ok_or(ClientError::State("not a member any more"))
    }

    /// Whether we wait to learn what became of an external commit by which we come back.
    pub(crate) fn is_resyncing(&self, group: &GroupId) -> bool {
        let sent = self.state.groups.get(group).and_then(|record| record.sent.as_ref());
        sent.is_some_and(|sent| sent.act == Act::Resync)
    }
}
