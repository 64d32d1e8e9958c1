//! Keys of profiles, as the members of a group give them to each other (07, `update_profile_key`).

use phoenix_core::{
    GroupId, LeafIndex, Pseudonym, Reject, UserId,
    api::{
        delivery::{MemberKeys, ProfileKeyUpdated, UpdateProfileKey, UpdateProfileKeyRequest},
        queue::MAX_LINK_KEY,
    },
    crypto::{open_with_key, seal_with_key},
    wire::{Opaque, Secret, Wire},
};

use super::{GroupRecord, Health, Standing, seal_link_key, trust::Effort};
use crate::{error::ClientError, event::Event, mls::leaf::OwnLeaf, profile::ProfileKey, session::Session};

impl Session {
    /// The keys of a leaf of ours, sealed under the group's credential key and its profile key.
    pub(super) fn seal_keys(
        &mut self,
        (credential_key, profile_key): (&Secret<32>, &Secret<32>),
        leaf: &OwnLeaf,
    ) -> Result<MemberKeys, ClientError> {
        let pseudonym = leaf.credential.pseudonym;
        let link_key = seal_link_key(credential_key, pseudonym, &leaf.link_key, &mut self.chance)?;
        let profile_key = match self.state.profile.clone() {
            Some(key) => self.seal_profile_key(profile_key, pseudonym, &key)?,
            None => Opaque::default(),
        };
        Ok(MemberKeys { link_key, profile_key })
    }

    fn seal_profile_key(
        &mut self,
        group_key: &Secret<32>,
        pseudonym: Pseudonym,
        key: &ProfileKey,
    ) -> Result<Opaque<MAX_LINK_KEY>, ClientError> {
        Ok(Opaque::new(seal_with_key(group_key, &pseudonym.encode(), &key.encode(), &mut self.chance))?)
    }

    /// The version of our profile; 0 for none.
    pub(crate) fn profile_version(&self) -> u32 {
        self.state.profile.as_ref().map_or(0, |key| key.version)
    }

    /// Gives a group's members the key of our profile.
    pub(crate) async fn share_profile(&mut self, group: &GroupId) -> Result<(), ClientError> {
        self.check_standing(group)?;
        self.replace_config(group, Effort::Patient).await?;
        let key = self.state.profile.clone().ok_or(ClientError::State("no profile was published"))?;
        let GroupRecord { profile_key, leaf, access, .. } = self.group(group)?;
        let (group_key, pseudonym, access) = (profile_key.clone(), leaf.credential.pseudonym, access.clone());
        let profile_key = self.seal_profile_key(&group_key, pseudonym, &key)?;
        let (route, auth) = (self.group_route(group)?, self.leaf_identity(group)?);
        let request = UpdateProfileKeyRequest { access, profile_key };
        self.call::<UpdateProfileKey>(&route, Some(&auth), &request).await?;
        self.group_mut(group)?.profile_told = key.version;
        Ok(())
    }

    /// Gives one group the key of our profile, if there is one whose members have an older one. One at a time, in no
    /// order, as with [`Session::renew_a_leaf`].
    pub(crate) async fn share_a_profile(&mut self) -> Result<(), ClientError> {
        let version = self.profile_version();
        let is_due = |record: &GroupRecord| {
            record.standing == Standing::Member
                && record.health == Health::Sound
                && record.profile_told < version
        };
        match self.draw_group(is_due) {
            Some(group) => self.share_profile(&group).await,
            None => Ok(()),
        }
    }

    /// A member has a new profile key: the one that the DS names, from its own leaf, and none that is older.
    pub(super) fn take_profile_key(
        &mut self,
        group: &GroupId,
        sender: LeafIndex,
        updated: &ProfileKeyUpdated,
    ) -> Result<(), ClientError> {
        let record = self.group(group)?;
        let member = record.members.get(&sender).filter(|it| it.pseudonym == updated.member);
        let member = member.ok_or(Reject::Unauthenticated)?;
        let key = open_profile_key(&record.profile_key, updated.member, &updated.profile_key)?;
        let former = open_profile_key(&record.profile_key, member.pseudonym, &member.keys.profile_key);
        if former.is_ok_and(|former| key.version <= former.version) {
            return Ok(());
        }
        let user = member.proven.clone().filter(|_| member.trust.is_proof());
        if let Some(member) = self.group_mut(group)?.members.get_mut(&sender) {
            member.keys.profile_key = updated.profile_key.clone();
        }
        if let Some(user) = user {
            self.tell(Event::ProfileChanged { group: group.clone(), user });
        }
        Ok(())
    }

    /// The newest key of a user's profile that a group's members have from it.
    pub(crate) fn profile_key_of(&self, group: &GroupId, user: &UserId) -> Result<ProfileKey, ClientError> {
        let record = self.group(group)?;
        let is_theirs = |trust: bool, proven: Option<&UserId>| trust && proven == Some(user);
        let theirs = record.members.values().filter(|it| is_theirs(it.trust.is_proof(), it.proven.as_ref()));
        let keys = theirs
            .filter_map(|it| open_profile_key(&record.profile_key, it.pseudonym, &it.keys.profile_key).ok());
        keys.max_by_key(|key| key.version).ok_or(ClientError::State("no profile was shared by this user"))
    }
}

fn open_profile_key(
    group_key: &Secret<32>,
    pseudonym: Pseudonym,
    sealed: &[u8],
) -> Result<ProfileKey, Reject> {
    ProfileKey::decode(&open_with_key(group_key, &pseudonym.encode(), sealed)?)
}
