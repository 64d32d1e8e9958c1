//! Groups: making them, changing them, writing to them (07).

use std::collections::{BTreeMap, BTreeSet};

use phoenix_core::{
    ErrorReply, GroupId, LeafIndex, MessageId, Pseudonym, UserId,
    api::{
        Empty, Endpoint,
        delivery::{
            Accepted, ChangeRoles, CommitAad, CommitAccepted, CommitRequest, CreateGroup, CreateGroupRequest,
            DsKeys, GroupAccess, MemberKeys, MessageAad, Proposals, RemoveUsers, RequestGroupId, SendMessage,
            SendMessageRequest, UpdateClient,
        },
        mls::Connection,
        queue::NotifyClass,
    },
    crypto::{open_with_key, sha256},
    wire::{Flag, List, Opaque, Secret, Sender, Wire},
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
    /// Whether it came from a last-resort package: the first commit of ours brings another.
    pub(crate) is_leaf_shared: bool,
    pub(crate) mls: mls::Group,
    /// The members' link keys, by the signature keys of their leaves.
    pub(crate) links: BTreeMap<Vec<u8>, SealedLinkKey>,
    /// Who the members were proven to be, by the same.
    proven: BTreeMap<Vec<u8>, UserId>,
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
        Self {
            access,
            credential_key,
            profile_key,
            leaf,
            is_leaf_shared: false,
            mls,
            links,
            proven: BTreeMap::new(),
            sent: BTreeSet::new(),
            since,
        }
    }
}

/// A member, as its identity link proves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) leaf: LeafIndex,
    pub(crate) user: UserId,
    pub(crate) pseudonym: Pseudonym,
    pub(crate) is_admin: bool,
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

    /// Takes another leaf, of another pseudonym, in place of one that others may know from a last-resort package.
    pub(crate) async fn renew(&mut self, group: &GroupId) -> Result<Accepted, ErrorReply> {
        let leaf = self.fresh_leaf(self.groups[group].leaf.key.suite());
        let link_key = leaf.seal_link_key(&self.groups[group].credential_key, &mut self.caller.chance);
        let keys = MemberKeys { link_key: link_key.clone(), profile_key: Opaque::default() };
        let aad = CommitAad { keys: List::new(vec![keys]).unwrap(), sealed: Opaque::default() };
        let request = self.draft_with(group, &[Change::Leaf(leaf.clone())], &aad);
        let answer = self.submit::<UpdateClient>(&request).await;
        if answer.is_ok() {
            let membership = self.groups.get_mut(group).unwrap();
            membership.links.insert(leaf.key.verifying_key().key.to_vec(), link_key);
            (membership.leaf, membership.is_leaf_shared) = (leaf, false);
        }
        answer
    }

    /// Removes all clients of a user.
    pub(crate) async fn remove(&mut self, group: &GroupId, user: &UserId) -> Result<Accepted, ErrorReply> {
        let members = self.members(group).await;
        let theirs = members.iter().filter(|it| it.user == *user);
        let changes: Vec<_> = theirs.map(|it| Change::Remove(it.leaf)).collect();
        let request = self.draft(group, &changes);
        self.submit::<RemoveUsers>(&request).await
    }

    /// Makes these users admins, and nobody else.
    pub(crate) async fn appoint(
        &mut self,
        group: &GroupId,
        users: &[UserId],
    ) -> Result<Accepted, ErrorReply> {
        let request = self.draft_appointment(group, users).await;
        self.submit::<ChangeRoles>(&request).await
    }

    /// A commit by which these users are admins and nobody else is, not sent yet.
    pub(crate) async fn draft_appointment(&mut self, group: &GroupId, users: &[UserId]) -> CommitRequest {
        let members = self.members(group).await;
        let theirs = members.iter().filter(|it| users.contains(&it.user));
        let admins = theirs.map(|it| it.pseudonym).collect();
        self.draft(group, &[Change::Admins(admins)])
    }

    /// A commit that brings no new leaf, not sent yet.
    pub(crate) fn draft(&mut self, group: &GroupId, changes: &[Change]) -> CommitRequest {
        self.draft_with(group, changes, &CommitAad::default())
    }

    fn draft_with(&mut self, group: &GroupId, changes: &[Change], aad: &CommitAad) -> CommitRequest {
        let membership = self.groups.get_mut(group).unwrap();
        let made = mls::commit(&mut membership.mls, changes, aad);
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

    /// Who is in a group, leaf by leaf.
    pub(crate) async fn members(&mut self, group: &GroupId) -> Vec<Known> {
        let mut members = Vec::new();
        for member in mls::members(&self.groups[group].mls) {
            let user = self.prove(group, &member).await;
            let mls::Member { leaf, is_admin, credential, .. } = member;
            members.push(Known { leaf, user, pseudonym: credential.pseudonym, is_admin });
        }
        members
    }

    /// Who is behind a leaf, by its identity link: once that is proven, it stays so when its credential ends (03).
    async fn prove(&mut self, group: &GroupId, member: &mls::Member) -> UserId {
        let membership = &self.groups[group];
        if let Some(user) = membership.proven.get(&member.key) {
            return user.clone();
        }
        let link = open_link(&member.credential, &membership.links[&member.key], &membership.credential_key);
        let authority = self.authority(&link.credential.payload.client.user.domain).await;
        let (pseudonym, now) = (member.credential.pseudonym, self.caller.now());
        let user = link.verify(pseudonym, &member.key, &authority, now).unwrap().user().clone();
        self.groups.get_mut(group).unwrap().proven.insert(member.key.clone(), user.clone());
        user
    }

    /// Whether our leaf in a group came from a package that others may have, too.
    pub(crate) fn is_leaf_shared(&self, group: &GroupId) -> bool {
        self.groups[group].is_leaf_shared
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
        if commit.is_external {
            // Who comes from outside takes nobody's place but its own, where it has the key.
            let after: Vec<_> = mls::members(&membership.mls).into_iter().map(|it| it.key).collect();
            assert!(before.iter().all(|key| after.contains(key)));
        }
        let fresh = path.into_iter().chain(commit.added);
        membership.links.extend(fresh.zip(aad.keys.iter().map(|it| it.link_key.clone())));
        if commit.is_external && !aad.sealed.is_empty() {
            self.take_answer(group, sender, &aad.sealed).await;
        }
        self.members(group).await;
        Heard::Commit(group.clone(), sender)
    }

    /// Whoever joined our connection group is a friend from now on.
    async fn take_answer(&mut self, group: &GroupId, joiner: LeafIndex, sealed: &[u8]) {
        let opened = open_with_key(&self.groups[group].credential_key, &group.encode(), sealed).unwrap();
        let friendship = FriendshipKeys::decode(&opened).unwrap();
        let members = self.members(group).await;
        let joiner = members.into_iter().find(|it| it.leaf == joiner).unwrap();
        self.friends.insert(joiner.user, friendship);
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
