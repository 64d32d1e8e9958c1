//! Who is behind whom (03, "Verification"), and what follows from it.

use openmls::prelude::LeafNodeIndex;
use phoenix_core::{
    GroupId, LeafIndex, Reject, Timestamp, UserId, credential::IdentityLink, crypto::VerifyingKey, wire::Flag,
};

use super::{
    Answer, Asked, ConnectionState, Face, MemberRecord, OpenOffer, Plan, Standing, Trust, members::Tell,
    open_link_key,
};
use crate::{
    error::ClientError,
    event::Event,
    mls::leaf::leaf_credential,
    revoked::revoked_at,
    session::Session,
    state::{Friend, FriendshipKeys},
    table::Table,
};

/// How much is done to reach an AS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    /// It is tried again: the application waits for it.
    Patient,
    /// It is tried once: others made us ask.
    Passing,
}

impl Session {
    /// Verifies the identity links of all leaves that were not verified yet, and tells who has come. What is false is
    /// told as an event.
    ///
    /// # Errors
    /// That of the first AS that cannot be asked now, or answers nonsense; its users' leaves stay unknown.
    pub(crate) async fn verify_members(
        &mut self,
        group: &GroupId,
        at: Timestamp,
        (tell, effort): (Tell, Effort),
    ) -> Result<(), ClientError> {
        let record = self.group(group)?;
        // What became of the leaves of a group that we are no longer in, we do not know: that one is gone is no lie.
        if record.standing == Standing::Removed {
            return Ok(());
        }
        let unknown = record.members.iter().filter(|(_, it)| it.trust == Trust::Unknown);
        let unknown: Vec<_> = unknown.map(|(leaf, it)| (*leaf, it.clone())).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let mut asked = Ok(());
        for (leaf, member) in unknown {
            match self.verify_member(group, leaf, &member, (at, effort)).await {
                Ok(found) => self.keep_finding(group, leaf, found)?,
                Err(error) => asked = asked.and(Err(error)),
            }
            // An answer from the wrong user ends the group.
            if !self.state.groups.contains_key(group) {
                return Ok(());
            }
        }
        self.tell_members(group, tell)?;
        asked
    }

    /// As [`Session::verify_members`], and tells who is gone. An AS that does not answer now is asked again before
    /// anything is sent to the group, or shown from it.
    pub(crate) async fn meet_members(
        &mut self,
        group: &GroupId,
        at: Timestamp,
        tell: Tell,
    ) -> Result<(), ClientError> {
        let _ = self.verify_members(group, at, (tell, Effort::Passing)).await;
        if self.state.groups.contains_key(group) { self.tell_members(group, tell) } else { Ok(()) }
    }

    /// Who is behind a leaf; none where its link is false.
    async fn verify_member(
        &mut self,
        group: &GroupId,
        leaf: LeafIndex,
        member: &MemberRecord,
        (at, effort): (Timestamp, Effort),
    ) -> Result<Option<(Trust, Face)>, ClientError> {
        let Ok(link) = self.open_link(group, leaf, member) else { return Ok(None) };
        let keys = self.authority_of(&link.credential, effort).await?;
        let verify = |at| link.verify(member.pseudonym, &member.leaf_key.0, &keys, at);
        let is_known = |user: &UserId| member.proven.as_ref() == Some(user);
        let end = Timestamp::from_secs(link.credential.payload.validity.not_after);
        let (trust, client) = match verify(at) {
            Ok(client) => (Trust::Verified, client),
            Err(_) if end < at => match verify(end) {
                Ok(client) if is_known(client.user()) => (Trust::Expired, client),
                // The list of who is revoked holds nobody whose credential has ended.
                Ok(client) => (Trust::Unproven, client),
                Err(_) => return Ok(None),
            },
            Err(_) => return Ok(None),
        };
        let credential = client.fingerprint();
        self.note_credential(&client);
        let revoked_at = revoked_at(&keys, &credential);
        if let Some(at) = revoked_at {
            self.note_revocation(&credential, at);
        }
        let (client, key) = (client.client().clone(), client.key().clone());
        let revoked_at = revoked_at.or_else(|| self.revocation_of(&client, &key));
        let trust = match trust {
            trust if self.is_pinned(&client.user, &key) => trust,
            _ => Trust::KeyChanged,
        };
        let trust = if revoked_at.is_some() { trust.when_revoked() } else { trust };
        let leaf_key = member.leaf_key.clone();
        Ok(Some((trust, Face { client, key, credential, revoked_at, leaf_key })))
    }

    fn open_link(
        &mut self,
        group: &GroupId,
        leaf: LeafIndex,
        member: &MemberRecord,
    ) -> Result<IdentityLink, ClientError> {
        let credential_key = self.group(group)?.credential_key.clone();
        let (mls_group, _) = self.mls(group)?;
        let credential = mls_group.member(LeafNodeIndex::new(leaf.0)).cloned();
        let credential = leaf_credential(&credential.ok_or(ClientError::State("no such member"))?)?;
        let link_key = open_link_key(&credential_key, member.pseudonym, &member.keys.link_key)?;
        Ok(IdentityLink::open(&credential.encrypted_identity_link, &link_key, member.pseudonym)?)
    }

    fn keep_finding(
        &mut self,
        group: &GroupId,
        leaf: LeafIndex,
        found: Option<(Trust, Face)>,
    ) -> Result<(), ClientError> {
        let record = self.group_mut(group)?;
        let Some(member) = record.members.get_mut(&leaf) else { return Ok(()) };
        member.held_from = None;
        let Some((trust, face)) = found else {
            member.trust = Trust::False;
            self.tell(Event::Unverified { group: group.clone(), leaf });
            return Ok(());
        };
        member.trust = trust;
        if !trust.is_hidden() {
            member.proven = Some(face.client.user.clone());
        }
        record.faces.insert(member.face, face.clone());
        match trust {
            Trust::KeyChanged => {
                let client = face.client.clone();
                self.tell(Event::MemberKeyChanged { group: group.clone(), leaf, client });
            }
            Trust::Unproven | Trust::False => {
                self.tell(Event::Unverified { group: group.clone(), leaf });
            }
            Trust::Unknown | Trust::Verified | Trust::Expired | Trust::Revoked => {}
        }
        self.meet(group, face)
    }

    /// A member shows who it is: for the first time, as far as we know.
    fn meet(&mut self, group: &GroupId, face: Face) -> Result<(), ClientError> {
        let user = face.client.user.clone();
        if user == self.client().user {
            self.meet_own(&face.client);
            return Ok(());
        }
        // Where it is another, it is told.
        self.note_shown(&face.client, &face.key);
        let _ = self.check_pin(&user, &face.key);
        let record = self.group(group)?;
        match record.connection.clone() {
            ConnectionState::Open(OpenOffer { asked, answer: Some(friendship), .. })
                if record.members.len() == 2 =>
            {
                self.meet_answer(
                    group,
                    &asked,
                    Answer { user, key: face.key, credential: face.credential, friendship },
                )
            }
            _ => Ok(()),
        }
    }

    /// Someone answered our offer: whom we asked, or whoever is behind the alias; anybody else is turned away.
    fn meet_answer(&mut self, group: &GroupId, asked: &Asked, answer: Answer) -> Result<(), ClientError> {
        match asked {
            Asked::User(user) if *user == answer.user => {
                if self.befriend(group, answer).is_err() {
                    self.forget(group);
                }
                Ok(())
            }
            Asked::User(_) => {
                self.forget(group);
                self.tell(Event::AnswerRefused { group: group.clone(), user: answer.user });
                Ok(())
            }
            Asked::Alias(_) => {
                let user = answer.user.clone();
                self.group_mut(group)?.connection = ConnectionState::Answered(answer);
                self.tell(Event::AliasAnswered { group: group.clone(), user });
                Ok(())
            }
        }
    }

    /// In a group of two, the other is just this client.
    pub(crate) fn check_pair(
        &self,
        group: &GroupId,
        user: &UserId,
        key: &VerifyingKey,
    ) -> Result<(), ClientError> {
        let record = self.group(group)?;
        let verified = record.members.values().filter(|it| it.trust.is_proof());
        let mut faces = verified.filter_map(|it| record.faces.get(&it.face));
        let is_there = faces.any(|face| face.client.user == *user && face.key == *key);
        match is_there && record.members.len() == 2 {
            true => Ok(()),
            false => Err(Reject::Unauthenticated.into()),
        }
    }

    /// A connection stands from now on.
    ///
    /// # Errors
    /// Where we know the user by another key.
    pub(crate) fn befriend(&mut self, group: &GroupId, answer: Answer) -> Result<(), ClientError> {
        let Answer { user, key, credential, friendship } = answer;
        self.check_pin(&user, &key)?;
        let circuit = self.fresh_circuit();
        self.group_mut(group)?.connection = ConnectionState::Stands(user.clone());
        let (group_id, is_revoked) = (group.clone(), Flag::No);
        let ours = self.signer.verifying_key();
        // Nobody else tells a new friend that our user's other clients are no strangers.
        let vouches = self.state.own_clients.iter().any(|(_, compared)| compared.is_some());
        let friend = Friend {
            keys: friendship,
            key,
            credential,
            ours,
            is_told: Flag::No,
            further: Table::default(),
            is_news_due: vouches.into(),
            shown: None,
            is_revoked,
            group: group_id,
            circuit,
        };
        self.state.friends.insert(user.clone(), friend);
        self.check_faces(&user);
        self.tell(Event::Connected { group: group.clone(), user });
        Ok(())
    }

    /// Keeps what the first to join our connection group sent along.
    pub(crate) fn keep_answer(
        &mut self,
        group: &GroupId,
        friendship: FriendshipKeys,
    ) -> Result<(), ClientError> {
        if let ConnectionState::Open(open) = &mut self.group_mut(group)?.connection
            && open.answer.is_none()
        {
            open.answer = Some(friendship);
        }
        Ok(())
    }

    /// Removes the members that do not prove who they are, or whose commits we twice could not process, where we are
    /// admin (03, "Chain"). Where it does not
    /// succeed, it is tried again in the next epoch.
    pub(crate) async fn expel_unverified(&mut self) {
        for group in self.state.groups.keys().cloned().collect::<Vec<_>>() {
            if self.must_expel(&group).unwrap_or(false) {
                // Whoever wants to send something is told.
                let _ = self.commit(&group, &Plan::Expel).await;
            }
        }
    }

    fn must_expel(&mut self, group: &GroupId) -> Result<bool, ClientError> {
        let record = self.group(group)?;
        if record.unwanted().is_empty() || record.standing != Standing::Member {
            return Ok(false);
        }
        let is_admin = self.check_health(group).is_ok() && self.is_admin(group)?;
        let epoch = self.epoch(group)?;
        Ok(is_admin && self.expelled.insert(group.clone(), epoch) != Some(epoch))
    }
}
