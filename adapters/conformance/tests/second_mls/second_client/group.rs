//! Groups: making them, changing them, writing to them (07).

use std::collections::{BTreeMap, BTreeSet};

use phoenix_core::{
    ErrorReply, GroupId, LeafIndex, MessageId, UserId,
    api::{
        Empty, Endpoint,
        delivery::{
            Accepted, CommitAad, CommitAccepted, CommitRequest, CreateGroup, CreateGroupRequest, DsKeys,
            GroupAccess, MemberKeys, MessageAad, Proposals, RemoveUsers, RequestGroupId, SendMessage,
            SendMessageRequest, UpdateClient,
        },
        mls::Connection,
        queue::NotifyClass,
    },
    crypto::{open_with_key, sha256},
    wire::{Flag, Opaque, Secret, Sender, Wire},
};

use super::{
    Heard, SecondClient,
    call::Auth,
    frames::group_info_update,
    leaf::{OwnLeaf, SealedLinkKey, open_link},
    mls::{self, Change, Processed},
    offer::FriendshipKeys,
};

/// What we keep of a group beside what mls-rs keeps.
pub(crate) struct Membership {
    pub(crate) access: GroupAccess,
    pub(crate) credential_key: Secret<32>,
    pub(crate) profile_key: Secret<32>,
    pub(crate) leaf: OwnLeaf,
    pub(crate) mls: mls::Group,
    /// The members' link keys, by the signature keys of their leaves.
    pub(crate) links: BTreeMap<Vec<u8>, SealedLinkKey>,
    /// SHA-256 of our commits that we do not know to be accepted.
    pub(crate) sent: BTreeSet<[u8; 32]>,
    /// The epoch that we came with, or came back with: what is older is not for us.
    pub(crate) since: u64,
}

impl Membership {
    pub(crate) fn new(
        access: GroupAccess,
        (credential_key, profile_key): (Secret<32>, Secret<32>),
        leaf: OwnLeaf,
        (mls, links): (mls::Group, BTreeMap<Vec<u8>, SealedLinkKey>),
    ) -> Self {
        let since = mls::epoch(&mls);
        Self { access, credential_key, profile_key, leaf, mls, links, sent: BTreeSet::new(), since }
    }
}

impl SecondClient {
    /// Makes a group of our own, as its admin.
    pub(crate) async fn create_group(&mut self) -> Result<GroupId, ErrorReply> {
        self.create(None).await
    }

    pub(crate) async fn create(&mut self, connection: Option<&Connection>) -> Result<GroupId, ErrorReply> {
        let domain = self.caller.domain();
        let keys = self.caller.call::<DsKeys>(&domain, None, &Empty {}).await?;
        let reservation = self.caller.call::<RequestGroupId>(&domain, None, &Empty {}).await?;
        let group = reservation.group.clone();
        let leaf = self.fresh_leaf(self.suite);
        let client = mls::client(&leaf, self.caller.now());
        let context = mls::context((&domain, &keys), self.suite, leaf.credential.pseudonym, connection);
        let created = mls::create(&client, &group, context, self.caller.now());
        let chance = &mut self.caller.chance;
        let (credential_key, profile_key) = (Secret::new(chance.bytes()), Secret::new(chance.bytes()));
        let access =
            GroupAccess { group: group.clone(), ear_key_id: 0, ear_key: Secret::new(chance.bytes()) };
        let link_key = leaf.seal_link_key(&credential_key, chance);
        let request = CreateGroupRequest {
            reservation,
            ear_key_id: 0,
            ear_key: access.ear_key.clone(),
            tree: Opaque::new(mls::tree(&created)).unwrap(),
            group_info: Opaque::new(mls::group_info(&created)).unwrap(),
            config: self.make_group_config(&group).await,
            keys: MemberKeys { link_key: link_key.clone(), profile_key: Opaque::default() },
        };
        self.caller.call::<CreateGroup>(&domain, Some(Auth::of_new_key(&leaf.key)), &request).await?;
        let links = BTreeMap::from([(leaf.key.verifying_key().key.to_vec(), link_key)]);
        let keys = (credential_key, profile_key);
        self.groups.insert(group.clone(), Membership::new(access, keys, leaf, (created, links)));
        Ok(group)
    }

    /// Updates our leaf, and covers what was proposed.
    pub(crate) async fn update(&mut self, group: &GroupId) -> Result<Accepted, ErrorReply> {
        let request = self.draft(group, &[]);
        self.submit::<UpdateClient>(&request).await
    }

    /// Removes a member.
    pub(crate) async fn remove(&mut self, group: &GroupId, leaf: LeafIndex) -> Result<Accepted, ErrorReply> {
        let request = self.draft(group, &[Change::Remove(leaf)]);
        self.submit::<RemoveUsers>(&request).await
    }

    /// A commit that needs nothing beside it, not sent yet.
    pub(crate) fn draft(&mut self, group: &GroupId, changes: &[Change]) -> CommitRequest {
        let membership = self.groups.get_mut(group).unwrap();
        let made = mls::commit(&mut membership.mls, changes, &CommitAad::default());
        membership.sent.insert(sha256(&made.commit));
        CommitRequest {
            access: membership.access.clone(),
            commit: Opaque::new(made.commit).unwrap(),
            group_info: group_info_update(&made.group_info),
        }
    }

    /// Sends a commit, and applies it where it was accepted.
    pub(crate) async fn submit<E>(&mut self, request: &CommitRequest) -> Result<Accepted, ErrorReply>
    where
        E: Endpoint<Request = CommitRequest, Reply = Accepted>,
    {
        let group = &request.access.group;
        let auth = self.leaf_auth(group);
        let answer = self.caller.call::<E>(&group.domain, Some(auth), request).await;
        self.conclude(group, answer)
    }

    /// Applies our commit, or drops it, as the DS answers.
    pub(crate) fn conclude<R>(
        &mut self,
        group: &GroupId,
        answer: Result<R, ErrorReply>,
    ) -> Result<R, ErrorReply> {
        let membership = self.groups.get_mut(group).unwrap();
        match &answer {
            Ok(_) => mls::apply(&mut membership.mls),
            Err(_) => mls::drop_commit(&mut membership.mls),
        }
        answer
    }

    /// Writes to all other members.
    pub(crate) async fn send(&mut self, group: &GroupId, text: &str) -> Result<Accepted, ErrorReply> {
        let id = MessageId(self.caller.chance.bytes());
        let membership = self.groups.get_mut(group).unwrap();
        let message = mls::encrypt(&mut membership.mls, text, &MessageAad::Application);
        let request = SendMessageRequest {
            access: membership.access.clone(),
            message: Opaque::new(message).unwrap(),
            id,
            ephemeral: Flag::No,
            notify: NotifyClass::Normal,
        };
        let auth = self.leaf_auth(group);
        self.caller.call::<SendMessage>(&group.domain, Some(auth), &request).await
    }

    /// Who is in a group, leaf by leaf, each proven by its identity link.
    pub(crate) async fn members(&mut self, group: &GroupId) -> Vec<(LeafIndex, UserId)> {
        let mut members = Vec::new();
        for member in mls::members(&self.groups[group].mls) {
            let membership = &self.groups[group];
            let link =
                open_link(&member.credential, &membership.links[&member.key], &membership.credential_key);
            let authority = self.authority(&link.credential.payload.client.user.domain).await;
            let pseudonym = member.credential.pseudonym;
            let client = link.verify(pseudonym, &member.key, &authority, self.caller.now()).unwrap();
            members.push((member.leaf, client.user().clone()));
        }
        members
    }

    /// The epoch that we are in.
    pub(crate) fn epoch(&self, group: &GroupId) -> u64 {
        mls::epoch(&self.groups[group].mls)
    }

    pub(crate) fn leaf_auth(&self, group: &GroupId) -> Auth {
        let membership = &self.groups[group];
        Auth::new(Sender::Leaf(group.clone(), mls::own_leaf(&membership.mls)), &membership.leaf.key)
    }

    pub(crate) async fn take_commit(&mut self, group: &GroupId, sender: LeafIndex, message: &[u8]) -> Heard {
        let membership = self.groups.get_mut(group).unwrap();
        let before: Vec<_> = mls::members(&membership.mls).into_iter().map(|it| it.key).collect();
        let Processed::Commit(commit) = mls::process(&mut membership.mls, message) else {
            panic!("not a commit")
        };
        assert_eq!(commit.committer, sender);
        if commit.is_own_end {
            self.groups.remove(group);
            return Heard::Removed(group.clone());
        }
        // Link keys come for the path's leaf, where it is new, then for those that are added.
        let aad = CommitAad::decode(&commit.aad).unwrap();
        let after = mls::members(&membership.mls).into_iter().find(|it| it.leaf == sender);
        let path = after.map(|it| it.key).filter(|key| !before.contains(key));
        let fresh = path.into_iter().chain(commit.added);
        membership.links.extend(fresh.zip(aad.keys.iter().map(|it| it.link_key.clone())));
        if commit.is_external && !aad.sealed.is_empty() {
            self.take_answer(group, sender, &aad.sealed).await;
        }
        Heard::Commit(group.clone(), sender)
    }

    /// Whoever joined our connection group is a friend from now on.
    async fn take_answer(&mut self, group: &GroupId, joiner: LeafIndex, sealed: &[u8]) {
        let opened = open_with_key(&self.groups[group].credential_key, &group.encode(), sealed).unwrap();
        let friendship = FriendshipKeys::decode(&opened).unwrap();
        let members = self.members(group).await;
        let (_, user) = members.into_iter().find(|(leaf, _)| *leaf == joiner).unwrap();
        self.friends.insert(user, friendship);
    }

    pub(crate) fn take_proposals(&mut self, group: &GroupId, message: &[u8]) {
        let membership = self.groups.get_mut(group).unwrap();
        for proposal in &Proposals::decode(message).unwrap() {
            assert!(matches!(mls::process(&mut membership.mls, proposal), Processed::Proposal));
        }
    }

    pub(crate) fn open_message(&mut self, group: &GroupId, sender: LeafIndex, message: &[u8]) -> String {
        let membership = self.groups.get_mut(group).unwrap();
        let Processed::Message(opened) = mls::process(&mut membership.mls, message) else {
            panic!("not a message")
        };
        assert_eq!((opened.sender, MessageAad::decode(&opened.aad)), (sender, Ok(MessageAad::Application)));
        String::from_utf8(opened.text).unwrap()
    }

    pub(crate) fn check_accepted(&mut self, group: &GroupId, accepted: &CommitAccepted) {
        assert!(self.groups.get_mut(group).unwrap().sent.remove(&accepted.hash));
    }
}
