//! Leaving a group, and coming back into one (07, "Endpoints").

use phoenix_core::{
    ErrorReply, GroupId,
    api::delivery::{
        Accepted, CommitAad, CommitRequest, ExternalCommitInfo, ExternalCommitInfoRequest, Joined, Resync,
        SelfRemove, SelfRemoveRequest,
    },
    crypto::sha256,
    wire::Opaque,
};

use super::{SecondClient, frames::group_info_update, join::links, mls};

impl SecondClient {
    /// Leaves by a Remove proposal of our own leaf, since mls-rs has no SelfRemove of the number that OpenMLS knows.
    pub(crate) async fn leave(&mut self, group: &GroupId) -> Result<Accepted, ErrorReply> {
        let membership = self.groups.get_mut(group).unwrap();
        let proposal = mls::propose_leaving(&mut membership.mls);
        let proposal = Opaque::new(proposal).unwrap();
        let request = SelfRemoveRequest { access: membership.access.clone(), proposal };
        let auth = self.leaf_auth(group);
        self.caller.call::<SelfRemove>(&group.domain, Some(auth), &request).await
    }

    /// Comes back into a group that we fell behind in, with the same leaf, by an external commit.
    pub(crate) async fn resync(&mut self, group: &GroupId) -> Result<Joined, ErrorReply> {
        let membership = &self.groups[group];
        let (access, leaf) = (membership.access.clone(), membership.leaf.clone());
        let former = mls::own_leaf(&membership.mls);
        let request = ExternalCommitInfoRequest { access: access.clone(), join_code: None };
        let auth = self.leaf_auth(group);
        let info = self.caller.call::<ExternalCommitInfo>(&group.domain, Some(auth), &request).await?;
        let client = mls::client(&leaf, self.caller.now());
        let (joined, made) = mls::join_externally(&client, &info, Some(former), &CommitAad::default());
        let sent = sha256(&made.commit);
        let request = CommitRequest {
            access,
            commit: Opaque::new(made.commit).unwrap(),
            group_info: group_info_update(&made.group_info),
        };
        let auth = self.leaf_auth(group);
        let answer = self.caller.call::<Resync>(&group.domain, Some(auth), &request).await?;
        assert_eq!((answer.leaf, answer.epoch.0), (mls::own_leaf(&joined), mls::epoch(&joined)));
        let links = links(&joined, &info.roster);
        let membership = self.groups.get_mut(group).unwrap();
        membership.links.extend(links);
        membership.sent.insert(sent);
        (membership.mls, membership.since) = (joined, answer.epoch.0);
        Ok(answer)
    }
}
