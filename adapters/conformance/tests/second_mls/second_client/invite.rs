//! Adding friends to groups (07, "Adds").

use phoenix_core::{
    ErrorReply, GroupId, KeyPackageRef, UserId,
    api::{
        delivery::{Accepted, AddUsers, AddUsersRequest, CommitAad, Joiner, MemberKeys, Mls},
        queue::{AddPackage, GetAddPackages, GetAddPackagesRequest},
    },
    credential::LeafCredential,
    crypto::{Signer as _, seal_with_key, sha256},
    wire::{List, Opaque, Secret, Wire},
};

use super::{
    SecondClient,
    frames::{encrypted_group_info_hash, group_info_update},
    leaf::{SealedLinkKey, open_link, open_link_key},
    mls::{self, Change},
    offer::{Attribution, AttributionTbs, FriendshipKeys},
};

/// A client to be added.
struct Invitee {
    package: AddPackage,
    reference: KeyPackageRef,
    leaf_key: Vec<u8>,
    credential: LeafCredential,
    link_key: Secret<32>,
}

impl SecondClient {
    /// Adds all clients of a friend.
    pub(crate) async fn invite(&mut self, group: &GroupId, user: &UserId) -> Result<Accepted, ErrorReply> {
        let friend = self.friends[user].clone();
        let suite = mls::suite_number(&self.groups[group].mls);
        let request = GetAddPackagesRequest { token: friend.token.clone(), suite };
        let fetched = self.caller.call::<GetAddPackages>(&user.domain, None, &request).await?;
        let mut invitees = Vec::new();
        for package in fetched.packages {
            invitees.push(self.check(package, user, &friend).await);
        }
        let links: Vec<_> = invitees.iter().map(|it| self.reseal(group, it)).collect();
        let keys = links
            .iter()
            .map(|link_key| MemberKeys { link_key: link_key.clone(), profile_key: Opaque::default() });
        let aad = CommitAad { keys: List::new(keys.collect()).unwrap(), sealed: Opaque::default() };
        let changes: Vec<_> =
            invitees.iter().map(|it| Change::Add(it.package.key_package.to_vec())).collect();
        let membership = self.groups.get_mut(group).unwrap();
        let made = mls::commit(&mut membership.mls, &changes, &aad);
        membership.sent.insert(sha256(&made.commit));
        let (access, welcome) = (membership.access.clone(), made.welcome.unwrap());
        let joiners = invitees.iter().map(|it| self.joiner(group, it, &friend, &welcome)).collect();
        let request = AddUsersRequest {
            access,
            commit: Opaque::new(made.commit).unwrap(),
            group_info: group_info_update(&made.group_info),
            welcome: Mls::new(welcome).unwrap(),
            joiners: List::new(joiners).unwrap(),
            batches: List::new(vec![fetched.batch]).unwrap(),
        };
        let auth = self.leaf_auth(group);
        let answer = self.caller.call::<AddUsers>(&group.domain, Some(auth), &request).await;
        if answer.is_ok() {
            let added = invitees.into_iter().map(|it| it.leaf_key);
            self.groups.get_mut(group).unwrap().links.extend(added.zip(links));
        }
        let accepted = self.conclude(group, answer)?;
        self.members(group).await;
        Ok(accepted)
    }

    /// Verifies who is behind a package.
    async fn check(&mut self, package: AddPackage, user: &UserId, friend: &FriendshipKeys) -> Invitee {
        let (reference, leaf_key, credential) = mls::read_key_package(&package.key_package);
        let link = open_link(&credential, &package.link_key, &friend.encryption_key);
        let authority = self.authority(&user.domain).await;
        let client = link.verify(credential.pseudonym, &leaf_key, &authority, self.caller.now()).unwrap();
        assert_eq!(client.user(), user);
        let link_key = open_link_key(credential.pseudonym, &package.link_key, &friend.encryption_key);
        Invitee { package, reference, leaf_key, credential, link_key }
    }

    /// An invitee's link key, for the group's members.
    fn reseal(&mut self, group: &GroupId, invitee: &Invitee) -> SealedLinkKey {
        let (key, aad) = (&self.groups[group].credential_key, invitee.credential.pseudonym.encode());
        let sealed = seal_with_key(key, &aad, invitee.link_key.expose(), &mut self.caller.chance);
        Opaque::new(sealed).unwrap()
    }

    fn joiner(
        &mut self,
        group: &GroupId,
        invitee: &Invitee,
        friend: &FriendshipKeys,
        welcome: &[u8],
    ) -> Joiner {
        let membership = &self.groups[group];
        let payload = AttributionTbs {
            credential: self.caller.account.credential.clone(),
            credential_key: membership.credential_key.clone(),
            profile_key: membership.profile_key.clone(),
            group: group.clone(),
            group_info: encrypted_group_info_hash(welcome),
            package: invitee.reference,
        };
        let signature = self.caller.account.key.sign("Attribution", &payload.encode()).unwrap();
        let attribution = Attribution { payload, signature }.encode();
        let aad = invitee.reference.as_bytes();
        let sealed = seal_with_key(&friend.attribution_key, aad, &attribution, &mut self.caller.chance);
        Joiner { config: invitee.package.config.clone(), attribution: Opaque::new(sealed).unwrap() }
    }
}
