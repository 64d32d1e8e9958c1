//! Coming into groups: by a friend's welcome (07, "Adds"), or by an external commit (04, step 5).

use std::collections::BTreeMap;

use phoenix_core::{
    ConfigId, ErrorReply, GroupId, KeyPackageRef,
    api::{
        Empty,
        delivery::{
            CommitAad, ExternalCommitInfo, ExternalCommitInfoRequest, GroupAccess, JoinConnectionGroup,
            JoinConnectionGroupRequest, MemberKeys, Roster, UpdateQueueConfig, UpdateQueueConfigRequest,
            WelcomeBundle, WelcomeInfo, WelcomeInfoRequest,
        },
    },
    crypto::{open_with_key, seal_with_key, sha256},
    wire::{Flag, List, Opaque, Sender, Wire},
};

use super::{
    SecondClient,
    call::Auth,
    frames::{encrypted_group_info_hash, group_info_update},
    group::Membership,
    leaf::SealedLinkKey,
    mls::{self, Kind},
    offer::{Attribution, AttributionTbs, ConnectionOfferTbs},
};

impl SecondClient {
    /// Joins the group that a friend added us to, and gives its DS a queue config of its own.
    pub(crate) async fn join(&mut self, config: ConfigId, bundle: WelcomeBundle) -> GroupId {
        let package = self.packages[&config].clone();
        let attribution = self.check_attribution(package.reference, &bundle).await;
        let WelcomeBundle { welcome, access, epoch, leaf, .. } = bundle;
        let group = access.group.clone();
        let sender = Sender::KeyPackage(group.clone(), package.reference);
        let request = WelcomeInfoRequest { access: access.clone(), epoch, package: package.reference };
        let auth = Auth::new(sender, &package.leaf.key);
        let info = self.caller.call::<WelcomeInfo>(&group.domain, Some(auth), &request).await.unwrap();
        let joined = mls::join(&package.client, &welcome, &info.tree, self.caller.now());
        assert_eq!((mls::own_leaf(&joined), mls::epoch(&joined)), (leaf, epoch.0));
        let links = links(&joined, &info.roster);
        let AttributionTbs { credential_key, profile_key, .. } = attribution;
        let keys = (credential_key, profile_key);
        let mut membership = Membership::new(access, keys, package.leaf, (joined, links));
        match package.kind {
            Kind::Ordinary => drop(self.packages.remove(&config)),
            Kind::LastResort => membership.is_leaf_shared = true,
        }
        self.groups.insert(group.clone(), membership);
        self.configs.insert(config, group.clone());
        self.members(&group).await;
        self.replace_config(&group).await.unwrap();
        group
    }

    /// Who invites is a friend, and invites to this group and by this package.
    async fn check_attribution(
        &mut self,
        reference: KeyPackageRef,
        bundle: &WelcomeBundle,
    ) -> AttributionTbs {
        let key = &self.record.friendship.attribution_key;
        let opened = open_with_key(key, reference.as_bytes(), &bundle.attribution).unwrap();
        let Attribution { payload, signature } = Attribution::decode(&opened).unwrap();
        let user = payload.credential.payload.client.user.clone();
        assert!(self.friends.contains_key(&user));
        let authority = self.authority(&user.domain).await;
        let from = authority.verify_chain(&payload.credential, self.caller.now()).unwrap();
        from.key().verify("Attribution", &payload.encode(), &signature).unwrap();
        assert_eq!((&payload.group, payload.package), (&bundle.access.group, reference));
        assert_eq!(payload.group_info, encrypted_group_info_hash(&bundle.welcome));
        payload
    }

    async fn replace_config(&mut self, group: &GroupId) -> Result<Empty, ErrorReply> {
        let (config, access) = (self.make_group_config(group).await, self.groups[group].access.clone());
        let request = UpdateQueueConfigRequest { access, config, ends: Flag::No };
        let auth = self.leaf_auth(group);
        self.caller.call::<UpdateQueueConfig>(&group.domain, Some(auth), &request).await
    }

    /// Joins a connection group, and gives its maker our friendship keys.
    pub(crate) async fn join_connection(&mut self, offer: &ConnectionOfferTbs) -> Result<(), ErrorReply> {
        let ConnectionOfferTbs { group, ear_key_id, ear_key, join_code, credential_key, .. } = offer;
        let access = GroupAccess { group: group.clone(), ear_key_id: *ear_key_id, ear_key: ear_key.clone() };
        let request =
            ExternalCommitInfoRequest { access: access.clone(), join_code: Some(join_code.clone()) };
        let info = self.caller.call::<ExternalCommitInfo>(&group.domain, None, &request).await?;
        let leaf = self.fresh_leaf(mls::suite_of(&info.group_info));
        let chance = &mut self.caller.chance;
        let link_key = leaf.seal_link_key(credential_key, chance);
        let friendship = self.record.friendship.encode();
        let sealed = seal_with_key(credential_key, &group.encode(), &friendship, chance);
        let keys = MemberKeys { link_key: link_key.clone(), profile_key: Opaque::default() };
        let aad = CommitAad { keys: List::new(vec![keys]).unwrap(), sealed: Opaque::new(sealed).unwrap() };
        let client = mls::client(&leaf, self.caller.now());
        let (joined, made) = mls::join_externally(&client, &info, None, &aad);
        let sent = sha256(&made.commit);
        let request = JoinConnectionGroupRequest {
            access: access.clone(),
            join_code: join_code.clone(),
            commit: Opaque::new(made.commit).unwrap(),
            group_info: group_info_update(&made.group_info),
            config: self.make_group_config(group).await,
        };
        let auth = Auth::of_new_key(&leaf.key);
        let answer = self.caller.call::<JoinConnectionGroup>(&group.domain, Some(auth), &request).await?;
        assert_eq!((answer.leaf, answer.epoch.0), (mls::own_leaf(&joined), mls::epoch(&joined)));
        let mut links = links(&joined, &info.roster);
        links.insert(leaf.key.verifying_key().key.to_vec(), link_key);
        let keys = (credential_key.clone(), offer.profile_key.clone());
        let mut membership = Membership::new(access, keys, leaf, (joined, links));
        membership.sent.insert(sent);
        self.groups.insert(group.clone(), membership);
        Ok(())
    }
}

/// The link keys of a roster, by the signature keys of the leaves.
pub(crate) fn links(group: &mls::Group, roster: &Roster) -> BTreeMap<Vec<u8>, SealedLinkKey> {
    let of = |leaf| roster.members.iter().find(|it| it.leaf == leaf).map(|it| it.keys.link_key.clone());
    mls::members(group).into_iter().filter_map(|it| Some((it.key, of(it.leaf)?))).collect()
}
