//! Who is in a group, and who of them is whom.

use std::collections::{BTreeSet, HashSet};

use openmls::prelude::Credential;
use phoenix_core::{
    ClientId, GroupId, LeafIndex, Pseudonym, Timestamp, UserId,
    api::delivery::{MemberKeys, Roster},
    crypto::sha256,
    wire::{Flag, Wire},
};

use super::{ConnectionState, Face, FormerMember, GroupRecord, Member, MemberRecord, PAST_EPOCHS, Trust};
use crate::{
    error::ClientError,
    event::Event,
    mls::{extensions, leaf::leaf_credential, provider::Blob},
    session::Session,
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

/// Sealed keys of leaves that are new, by their signature keys.
pub(crate) type LeafKeys = Table<Blob, MemberKeys>;

impl Session {
    /// Reads the leaves anew after the tree changed. Who is new is not known before their links were verified; but
    /// for who committed `renewed`, their own leaf, since the leaf before it vouches for it by its signature.
    pub(crate) fn refresh_members(
        &mut self,
        group: &GroupId,
        fresh: &LeafKeys,
        renewed: Option<LeafIndex>,
    ) -> Result<(), ClientError> {
        let (mls_group, _) = self.mls(group)?;
        let epoch = mls_group.epoch().as_u64();
        let leaves: Vec<_> = mls_group.members().collect();
        let record = self.group_mut(group)?;
        record.reached = record.reached.max(epoch);
        let before = std::mem::take(&mut record.members);
        for leaf in leaves {
            let (index, leaf_key) = (LeafIndex(leaf.index.u32()), Blob(leaf.signature_key));
            let face = face(&leaf.credential, &leaf_key);
            if let Some(kept) = before.get(&index).filter(|it| it.face == face) {
                record.members.insert(index, kept.clone());
                continue;
            }
            // After a resync, the same leaf stands elsewhere.
            let moved = before.values().find(|it| it.face == face);
            let vouching = before.get(&index).filter(|_| renewed == Some(index)).or(moved);
            let credential = leaf_credential(&leaf.credential);
            let keys = fresh.get(&leaf_key).cloned().or_else(|| moved.map(|it| it.keys.clone()));
            let member = MemberRecord {
                pseudonym: credential.map_or(Pseudonym([0; 16]), |it| it.pseudonym),
                leaf_key,
                face,
                since: epoch,
                keys: keys.unwrap_or_default(),
                trust: moved.map_or(Trust::Unknown, |it| it.trust),
                proven: vouching.and_then(|it| it.proven.clone()),
                held_from: moved.and_then(|it| it.held_from),
            };
            record.members.insert(index, member);
        }
        record.remember_former(&before, epoch);
        let present: BTreeSet<_> = record.members.values().map(|it| it.pseudonym).collect();
        record.failed.retain(|pseudonym, _| present.contains(pseudonym));
        Ok(())
    }

    /// Who sent a message of an epoch from a leaf, where that is verified, and they were not revoked when the DS
    /// accepted it.
    pub(crate) fn sender_of(
        &self,
        group: &GroupId,
        (epoch, leaf): (u64, LeafIndex),
        accepted_at: Timestamp,
    ) -> Result<Option<ClientId>, ClientError> {
        let record = self.group(group)?;
        let face = match record.members.get(&leaf).filter(|it| it.since <= epoch) {
            Some(member) => {
                (member.trust.is_proof() || member.trust == Trust::Revoked).then_some(member.face)
            }
            None => {
                let mut former = record.former.range((epoch, LeafIndex(0))..);
                former.find(|((_, at), it)| *at == leaf && it.since <= epoch).map(|(_, it)| it.face)
            }
        };
        let face = face.and_then(|face| record.faces.get(&face));
        let is_valid = |face: &&Face| face.revoked_at.is_none_or(|at| accepted_at.as_secs() < at);
        Ok(face.filter(is_valid).map(|face| face.client.clone()))
    }

    /// Whether all members are known, and none is in a connection beside its two users; else nothing is sent.
    pub(crate) fn check_trust(&self, group: &GroupId) -> Result<(), ClientError> {
        let record = self.group(group)?;
        let is_group = matches!(record.connection, ConnectionState::None);
        // Those whose chains verify, though they are not shown as anybody, are no strangers to a group (03).
        let is_let = |it: &MemberRecord| is_group && matches!(it.trust, Trust::KeyChanged | Trust::Unproven);
        if record.members.values().any(|member| member.proven.is_none() && !is_let(member)) {
            return Err(ClientError::State("a member does not prove who it is"));
        }
        let own = &self.client().user;
        let ConnectionState::Stands(peer) = &record.connection else { return Ok(()) };
        let mut users = record.members.values().filter_map(|member| member.proven.as_ref());
        match users.all(|user| user == own || user == peer) {
            true => Ok(()),
            false => Err(ClientError::State("someone else is in the connection")),
        }
    }

    /// Our own leaf needs no proof.
    pub(crate) fn know_ourselves(&mut self, group: &GroupId, leaf: LeafIndex) -> Result<(), ClientError> {
        let (client, key) = (self.client().clone(), self.signer.verifying_key());
        let credential = self.state.account.credential.fingerprint();
        let record = self.group_mut(group)?;
        if let Some(member) = record.members.get_mut(&leaf) {
            member.trust = Trust::Verified;
            member.proven = Some(client.user.clone());
            let leaf_key = member.leaf_key.clone();
            let face = Face { client, key, credential, revoked_at: None, leaf_key };
            record.faces.insert(member.face, face);
        }
        Ok(())
    }

    /// Tells who has come and who is gone, as far as it is known who is who; or only remembers it.
    pub(crate) fn tell_members(&mut self, group: &GroupId, tell: Tell) -> Result<(), ClientError> {
        let own = self.client().user.clone();
        let record = self.group_mut(group)?;
        let present: BTreeSet<_> =
            record.members.values().filter_map(|member| member.proven.clone()).collect();
        let told: BTreeSet<_> = record.told.keys().cloned().collect();
        let is_known = |member: &MemberRecord| member.trust != Trust::Unknown || member.proven.is_some();
        let all_known = record.members.values().all(is_known);
        let gone: Vec<_> = told.difference(&present).filter(|_| all_known).cloned().collect();
        let come: Vec<_> = present.difference(&told).cloned().collect();
        record.told.retain(|user, _| !gone.contains(user));
        record.told.extend(come.iter().map(|user| (user.clone(), Flag::Yes)));
        let is_news = |user: &UserId| match &record.connection {
            ConnectionState::None => *user != own,
            // Nobody else has any business there.
            ConnectionState::Stands(peer) => *user != own && user != peer,
            ConnectionState::Open(_) | ConnectionState::Answered(_) => false,
        };
        let come: Vec<_> = come.into_iter().filter(is_news).collect();
        let gone: Vec<_> = gone.into_iter().filter(is_news).collect();
        if tell == Tell::Nobody {
            return Ok(());
        }
        for user in come {
            self.tell(Event::MemberAdded { group: group.clone(), user });
        }
        for user in gone {
            self.tell(Event::MemberRemoved { group: group.clone(), user });
        }
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
            user: client_of(record, it).map(|client| client.user.clone()),
            client: client_of(record, it).map(|client| client.client),
            admin: roles.admins.contains(&it.pseudonym),
        };
        Ok(record.members.iter().map(member).collect())
    }

    /// The leaves of users.
    pub(crate) fn leaves_of(&self, group: &GroupId, users: &[UserId]) -> Result<Vec<LeafIndex>, ClientError> {
        let is_one = |it: &MemberRecord| it.proven.as_ref().is_some_and(|user| users.contains(user));
        Ok(self.group(group)?.leaves_where(is_one))
    }
}

impl GroupRecord {
    /// Keeps those who are not in the tree any more, as long as what they sent before can be opened.
    fn remember_former(&mut self, before: &Table<LeafIndex, MemberRecord>, epoch: u64) {
        for (leaf, member) in before.iter().filter(|(_, it)| !it.trust.is_hidden()) {
            if self.members.get(leaf).is_none_or(|it| it.face != member.face) {
                let former = FormerMember { since: member.since, face: member.face };
                self.former.insert((epoch.saturating_sub(1), *leaf), former);
            }
        }
        self.former.retain(|(last, _), _| last.saturating_add(u64::from(PAST_EPOCHS)) >= epoch);
        let present = self.members.values().map(|it| it.face);
        let used: HashSet<_> = present.chain(self.former.values().map(|it| it.face)).collect();
        self.faces.retain(|face, _| used.contains(face));
    }

    /// The leaves of which something holds.
    pub(crate) fn leaves_where(&self, holds: impl Fn(&MemberRecord) -> bool) -> Vec<LeafIndex> {
        self.members.iter().filter(|(_, it)| holds(it)).map(|(leaf, _)| *leaf).collect()
    }
}

/// Who is behind a member, where that is verified.
fn client_of<'a>(record: &'a GroupRecord, member: &MemberRecord) -> Option<&'a ClientId> {
    let face = record.faces.get(&member.face).filter(|_| member.trust.is_proof())?;
    Some(&face.client)
}

/// What a leaf is known by: its credential is nothing without its key, since whoever is in a group can copy one.
fn face(credential: &Credential, leaf_key: &Blob) -> [u8; 32] {
    let credential = Blob(credential.serialized_content().to_vec());
    sha256(&[credential.encode(), leaf_key.encode()].concat())
}

/// The sealed keys of a roster, by the signature keys of their leaves.
pub(crate) fn roster_keys(roster: &Roster, leaves: impl Iterator<Item = (LeafIndex, Vec<u8>)>) -> LeafKeys {
    let keys: Table<LeafIndex, _> = roster.members.iter().map(|it| (it.leaf, it.keys.clone())).collect();
    leaves.filter_map(|(leaf, key)| Some((Blob(key), keys.get(&leaf)?.clone()))).collect()
}
