//! Who is in a group, and who is behind whom (03, "Verification").

use std::collections::BTreeSet;

use openmls::prelude::{Credential, LeafNodeIndex};
use phoenix_core::{
    GroupId, LeafIndex, Timestamp, UserId,
    api::{delivery::Roster, queue::MAX_LINK_KEY},
    credential::IdentityLink,
    crypto::sha256,
    wire::{Flag, Opaque},
};

use super::{
    Answer, Asked, ConnectionState, Face, Member, MemberRecord, OpenOffer, Trust, join::later, open_link_key,
};
use crate::{
    error::ClientError,
    event::Event,
    mls::{extensions, leaf::leaf_credential, provider::Blob},
    session::Session,
    state::{Friend, FriendshipKeys},
    table::Table,
};

/// Whether the application is told who has come and gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tell {
    /// Yes.
    Everybody,
    /// No: we have just joined.
    Nobody,
}

/// Sealed link keys of leaves that are new, by their signature keys.
pub(crate) type LinkKeys = Table<Blob, Opaque<MAX_LINK_KEY>>;

impl Session {
    /// Reads the leaves anew after the tree changed. Who is new is not known before their links were verified.
    pub(crate) fn refresh_members(&mut self, group: &GroupId, fresh: &LinkKeys) -> Result<(), ClientError> {
        let (mls_group, _) = self.mls(group)?;
        let leaves: Vec<_> = mls_group.members().collect();
        let record = self.group_mut(group)?;
        let former = std::mem::take(&mut record.members);
        for leaf in leaves {
            let (index, leaf_key) = (LeafIndex(leaf.index.u32()), Blob(leaf.signature_key));
            let face = face(&leaf.credential);
            let kept = former.get(&index).filter(|it| it.face == face && it.leaf_key == leaf_key);
            let member = match (kept, leaf_credential(&leaf.credential)) {
                (Some(member), _) => member.clone(),
                (None, Ok(credential)) => MemberRecord {
                    pseudonym: credential.pseudonym,
                    link_key: fresh.get(&leaf_key).cloned().unwrap_or_default(),
                    leaf_key,
                    face,
                    trust: Trust::Unknown,
                },
                (None, Err(_)) => continue,
            };
            record.members.insert(index, member);
        }
        if record.faces.len() > MAX_FACES {
            let current: Vec<_> = record.members.values().map(|member| member.face).collect();
            record.faces.retain(|face, _| current.contains(face));
        }
        Ok(())
    }

    /// Verifies the identity links of all leaves that were not verified yet, and tells who has come.
    ///
    /// # Errors
    /// Transient ones only, where an AS does not answer: what is false is told as an event.
    pub(crate) async fn verify_members(
        &mut self,
        group: &GroupId,
        at: Timestamp,
        tell: Tell,
    ) -> Result<(), ClientError> {
        let unknown: Vec<_> = {
            let members = self.group(group)?.members.iter();
            members
                .filter(|(_, it)| it.trust == Trust::Unknown)
                .map(|(leaf, it)| (*leaf, it.clone()))
                .collect()
        };
        if unknown.is_empty() {
            return Ok(());
        }
        for (leaf, member) in unknown {
            let trust = match self.verify_member(group, leaf, &member, at).await {
                Ok(face) => {
                    self.group_mut(group)?.faces.insert(member.face, face.clone());
                    self.meet(group, face)?;
                    Trust::Verified
                }
                Err(error) if error.is_transient() => return Err(error),
                Err(_) => {
                    self.events.push_back(Event::Unverified { group: group.clone(), leaf });
                    Trust::False
                }
            };
            let Some(record) = self.state.groups.get_mut(group) else { return Ok(()) };
            if let Some(member) = record.members.get_mut(&leaf) {
                member.trust = trust;
            }
        }
        self.tell_members(group, tell)
    }

    /// As [`Session::verify_members`], and tells who is gone. An AS that does not answer now is asked again before
    /// anything is sent to the group, or shown from it.
    pub(crate) async fn meet_members(
        &mut self,
        group: &GroupId,
        at: Timestamp,
        tell: Tell,
    ) -> Result<(), ClientError> {
        later(self.verify_members(group, at, tell).await)?;
        // An answer from the wrong user ends the group.
        if self.state.groups.contains_key(group) { self.tell_members(group, tell) } else { Ok(()) }
    }

    async fn verify_member(
        &mut self,
        group: &GroupId,
        leaf: LeafIndex,
        member: &MemberRecord,
        at: Timestamp,
    ) -> Result<Face, ClientError> {
        let credential_key = self.group(group)?.credential_key.clone();
        let (mls_group, _) = self.mls(group)?;
        let credential = mls_group.member(LeafNodeIndex::new(leaf.0)).cloned();
        let credential = leaf_credential(&credential.ok_or(ClientError::State("no such member"))?)?;
        let link_key = open_link_key(&credential_key, member.pseudonym, &member.link_key)?;
        let link = IdentityLink::open(&credential.encrypted_identity_link, &link_key, member.pseudonym)?;
        let keys = self.authority(&link.credential.payload.client.user.domain).await?;
        let client = link.verify(member.pseudonym, &member.leaf_key.0, &keys, at)?;
        Ok(Face {
            client: client.client().clone(),
            key: client.key().clone(),
            leaf_key: member.leaf_key.clone(),
        })
    }

    /// A member shows who it is: for the first time, as far as we know.
    fn meet(&mut self, group: &GroupId, face: Face) -> Result<(), ClientError> {
        let user = face.client.user.clone();
        if user == self.client().user {
            return Ok(());
        }
        let pinned = self.state.friends.get(&user).map(|friend| &friend.key);
        if pinned.is_some_and(|pinned| *pinned != face.key) {
            self.events.push_back(Event::KeyChanged { user: user.clone() });
        }
        let connection = self.group(group)?.connection.clone();
        if let ConnectionState::Open(OpenOffer { asked, answer: Some(friendship), .. }) = connection {
            self.meet_answer(group, &asked, Answer { user, key: face.key, friendship })?;
        }
        Ok(())
    }

    /// Someone answered our offer: whom we asked, or whoever is behind the alias; anybody else is turned away.
    fn meet_answer(&mut self, group: &GroupId, asked: &Asked, answer: Answer) -> Result<(), ClientError> {
        match asked {
            Asked::User(user) if *user == answer.user => self.befriend(group, answer),
            Asked::User(_) => {
                self.forget(group);
                self.events.push_back(Event::AnswerRefused { group: group.clone(), user: answer.user });
                Ok(())
            }
            Asked::Alias(_) => {
                let user = answer.user.clone();
                self.group_mut(group)?.connection = ConnectionState::Answered(answer);
                self.events.push_back(Event::AliasAnswered { group: group.clone(), user });
                Ok(())
            }
        }
    }

    /// A connection stands from now on.
    pub(crate) fn befriend(&mut self, group: &GroupId, answer: Answer) -> Result<(), ClientError> {
        let Answer { user, key, friendship } = answer;
        let circuit = self.fresh_circuit();
        self.group_mut(group)?.connection = ConnectionState::Stands(user.clone());
        self.state
            .friends
            .insert(user.clone(), Friend { keys: friendship, key, group: group.clone(), circuit });
        self.events.push_back(Event::Connected { group: group.clone(), user });
        Ok(())
    }

    /// Keeps what whoever joined our connection group sent along.
    pub(crate) fn keep_answer(
        &mut self,
        group: &GroupId,
        friendship: FriendshipKeys,
    ) -> Result<(), ClientError> {
        if let ConnectionState::Open(open) = &mut self.group_mut(group)?.connection {
            open.answer = Some(friendship);
        }
        Ok(())
    }

    /// Whether all members are verified; nothing is sent where one is not.
    pub(crate) fn check_trust(&self, group: &GroupId) -> Result<(), ClientError> {
        match self.group(group)?.members.values().all(|member| member.trust == Trust::Verified) {
            true => Ok(()),
            false => Err(ClientError::State("a member does not prove who it is")),
        }
    }

    /// Our own leaf needs no proof.
    pub(crate) fn know_ourselves(&mut self, group: &GroupId, leaf: LeafIndex) -> Result<(), ClientError> {
        let (client, key) = (self.client().clone(), self.signer.verifying_key());
        let record = self.group_mut(group)?;
        if let Some(member) = record.members.get_mut(&leaf) {
            member.trust = Trust::Verified;
            let face = Face { client, key, leaf_key: member.leaf_key.clone() };
            record.faces.insert(member.face, face);
        }
        Ok(())
    }

    /// Tells who has come and who is gone, as far as it is known who is who; or only remembers it.
    pub(crate) fn tell_members(&mut self, group: &GroupId, tell: Tell) -> Result<(), ClientError> {
        let own = self.client().user.clone();
        let record = self.group_mut(group)?;
        let present: BTreeSet<_> =
            record.members.values().filter_map(|member| user_of(record, member)).collect();
        let told: BTreeSet<_> = record.told.keys().cloned().collect();
        let all_known = record.members.values().all(|member| member.trust != Trust::Unknown);
        let gone: Vec<_> = told.difference(&present).filter(|_| all_known).cloned().collect();
        let come: Vec<_> = present.difference(&told).cloned().collect();
        record.told.retain(|user, _| !gone.contains(user));
        record.told.extend(come.iter().map(|user| (user.clone(), Flag::Yes)));
        let is_ordinary = matches!(record.connection, ConnectionState::None);
        if tell == Tell::Nobody || !is_ordinary {
            return Ok(());
        }
        let group = || group.clone();
        let come = come.into_iter().filter(|user| *user != own);
        self.events.extend(come.map(|user| Event::MemberAdded { group: group(), user }));
        self.events.extend(gone.into_iter().map(|user| Event::MemberRemoved { group: group(), user }));
        Ok(())
    }

    /// The signature key of our leaf.
    pub(crate) fn own_leaf_key(&self, group: &GroupId) -> Result<Blob, ClientError> {
        Ok(Blob(self.group(group)?.leaf.key.verifying_key().key.to_vec()))
    }

    /// The members, for the application.
    pub(crate) fn member_list(&mut self, group: &GroupId) -> Result<Vec<Member>, ClientError> {
        let roles = extensions::roles(self.mls(group)?.0);
        let record = self.group(group)?;
        let member = |(leaf, it): (&LeafIndex, &MemberRecord)| Member {
            leaf: *leaf,
            user: user_of(record, it),
            admin: roles.admins.contains(&it.pseudonym),
        };
        Ok(record.members.iter().map(member).collect())
    }

    /// The leaves of users.
    pub(crate) fn leaves_of(&self, group: &GroupId, users: &[UserId]) -> Result<Vec<LeafIndex>, ClientError> {
        let record = self.group(group)?;
        let is_one = |it: &MemberRecord| user_of(record, it).is_some_and(|user| users.contains(&user));
        Ok(record.members.iter().filter(|(_, it)| is_one(it)).map(|(leaf, _)| *leaf).collect())
    }
}

/// Who is behind a member, where that is verified.
fn user_of(record: &super::GroupRecord, member: &MemberRecord) -> Option<UserId> {
    let face = record.faces.get(&member.face).filter(|face| face.leaf_key == member.leaf_key)?;
    Some(face.client.user.clone())
}

/// What a leaf's credential is known by.
pub(crate) fn face(credential: &Credential) -> [u8; 32] {
    sha256(credential.serialized_content())
}

/// The sealed link keys of a roster, by the signature keys of their leaves.
pub(crate) fn roster_keys(roster: &Roster, leaves: impl Iterator<Item = (LeafIndex, Vec<u8>)>) -> LinkKeys {
    let keys: Table<LeafIndex, _> =
        roster.members.iter().map(|it| (it.leaf, it.keys.link_key.clone())).collect();
    leaves.filter_map(|(leaf, key)| Some((Blob(key), keys.get(&leaf)?.clone()))).collect()
}

/// Former members that are remembered beside the present ones, so that what they sent before can be shown.
const MAX_FACES: usize = 2_000;
