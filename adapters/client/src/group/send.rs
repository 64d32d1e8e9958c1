//! Sending messages.

use phoenix_core::{
    ErrorCode, GroupId, LeafIndex, MessageId, UserId,
    api::{
        Endpoint,
        delivery::{
            MessageAad, Report, ReportReason, ReportRequest, SendMessage, SendMessageRequest, SendTargeted,
            SendTargetedRequest,
        },
        queue::NotifyClass,
    },
    crypto::sha256,
    port::Outgoing,
    time::HOUR,
    token::Token,
    wire::{Flag, Opaque, Wire},
};

use super::{Plan, Receipt, Unsent, members::Tell, trust::Effort};
use crate::{
    error::{ClientError, mls},
    mls::{encoding::message, mls_signer},
    session::Session,
};

/// How a message is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Letter {
    aad: MessageAad,
    ephemeral: Flag,
    notify: NotifyClass,
}

impl Letter {
    /// To all, to be kept.
    const LASTING: Self =
        Self { aad: MessageAad::Application, ephemeral: Flag::No, notify: NotifyClass::Normal };
    /// To all whose stream is open: of the moment, and lost for everybody else.
    pub(crate) const PASSING: Self =
        Self { ephemeral: Flag::Yes, notify: NotifyClass::Silent, ..Self::LASTING };

    /// The same, as urgent as that.
    pub(crate) const fn notifying(self, notify: NotifyClass) -> Self {
        Self { notify, ..self }
    }

    /// To all, to be kept, as urgent as that.
    pub(crate) const fn lasting(notify: NotifyClass) -> Self {
        Self::LASTING.notifying(notify)
    }
}

impl Session {
    /// Sends an application message to all other members. It is sent once, however often its answer is lost: each
    /// try has the same message id, and so has a later call with the same text, which encrypts it anew, since others
    /// may not open what comes long after its turn.
    pub(crate) async fn send(&mut self, group: &GroupId, text: &[u8]) -> Result<Receipt, ClientError> {
        self.send_as(group, text, &Letter::LASTING).await
    }

    /// As [`Session::send`], to one member alone, or to open streams only.
    pub(crate) async fn send_as(
        &mut self,
        group: &GroupId,
        text: &[u8],
        letter: &Letter,
    ) -> Result<Receipt, ClientError> {
        self.make_ready(group).await?;
        let hash = sha256(&[text, &letter.aad.encode(), &letter.ephemeral.encode()].concat());
        let id = self.message_id(group, hash)?;
        for _ in 0..self.habits.commits.max(1) {
            let result = self.try_to_send(group, text, (id, letter)).await;
            if !result.as_ref().is_err_and(ClientError::is_transient) {
                self.group_mut(group)?.unsent.remove(&hash);
            }
            match result {
                // Its epoch is too old: others have gone on. It was never accepted, so it is made anew.
                Err(error) if error.code() == Some(ErrorCode::Conflict) => {
                    self.follow_epoch(group, &error).await?;
                    self.make_ready(group).await?;
                }
                other => return other,
            }
        }
        Err(ClientError::Outrun)
    }

    async fn try_to_send(
        &mut self,
        group: &GroupId,
        text: &[u8],
        (id, letter): (MessageId, &Letter),
    ) -> Result<Receipt, ClientError> {
        let request = SendMessageRequest { id, ..self.make_message(group, text, letter)? };
        let (route, auth) = (self.group_route(group)?, self.leaf_identity(group)?);
        let accepted = match letter.aad {
            MessageAad::Application => self.call::<SendMessage>(&route, Some(&auth), &request).await,
            MessageAad::Targeted(target) => {
                let SendMessageRequest { access, message, id, ephemeral, notify } = request;
                let request = SendTargetedRequest { access, target, message, id, ephemeral, notify };
                self.call::<SendTargeted>(&route, Some(&auth), &request).await
            }
        };
        accepted.map(Receipt::from)
    }

    /// Sends a message to all clients of one user alone. The others could open it, but are not sent it.
    pub(crate) async fn send_to(
        &mut self,
        group: &GroupId,
        user: &UserId,
        text: &[u8],
    ) -> Result<Receipt, ClientError> {
        self.make_ready(group).await?;
        let own = self.own_leaf_key(group)?;
        let members = self.group(group)?.members.values();
        let theirs = members.filter(|it| it.proven.as_ref() == Some(user) && it.leaf_key != own);
        let theirs: Vec<_> = theirs.map(|it| it.pseudonym).collect();
        let mut sent = Err(ClientError::State("no such member"));
        for target in theirs {
            let letter = Letter { aad: MessageAad::Targeted(target), ..Letter::LASTING };
            sent = Ok(self.send_as(group, text, &letter).await?);
        }
        sent
    }

    /// Reports a member to the operator of the group's homeserver.
    pub(crate) async fn report(
        &mut self,
        group: &GroupId,
        leaf: LeafIndex,
        (reason, evidence): (ReportReason, &[u8]),
    ) -> Result<(), ClientError> {
        self.check_standing(group)?;
        let record = self.group(group)?;
        let accused = record.members.get(&leaf).ok_or(ClientError::State("no such member"))?.pseudonym;
        let (access, evidence) = (record.access.clone(), Opaque::new(evidence.to_vec())?);
        let (route, auth) = (self.group_route(group)?, self.leaf_identity(group)?);
        let request = ReportRequest { access, accused, reason, evidence };
        self.call::<Report>(&route, Some(&auth), &request).await.map(|_| ())
    }

    /// The id of a message: the same as before, where its answer did not come. The DS remembers ids for an hour (07).
    fn message_id(&mut self, group: &GroupId, text: [u8; 32]) -> Result<MessageId, ClientError> {
        let (fresh, at) = (MessageId(self.chance.bytes()), self.now());
        let unsent = &mut self.group_mut(group)?.unsent;
        unsent.retain(|_, it| at <= it.at.plus_secs(REPEAT_S));
        if unsent.len() >= MAX_UNSENT {
            let oldest = unsent.iter().min_by_key(|(_, it)| it.at).map(|(text, _)| *text);
            oldest.and_then(|text| unsent.remove(&text));
        }
        Ok(unsent.entry(text).or_insert(Unsent { id: fresh, at }).id)
    }

    /// A message, ready to be sent once, with a token of the caller's choosing.
    pub(crate) async fn prepare_message(
        &mut self,
        group: &GroupId,
        text: &[u8],
        token: Option<Token>,
    ) -> Result<Outgoing, ClientError> {
        self.make_ready(group).await?;
        let request = self.make_message(group, text, &Letter::LASTING)?;
        let (route, auth) = (self.group_route(group)?, self.leaf_identity(group)?);
        self.prepare(&SendMessage::DESCRIPTION, &route, Some(&auth), token, request.encode())
    }

    /// Does what must come before a message: our own queue config, all members verified, all proposals covered.
    async fn make_ready(&mut self, group: &GroupId) -> Result<(), ClientError> {
        self.recover(group).await?;
        self.replace_config(group, Effort::Patient).await?;
        let now = self.now();
        let asked = self.verify_members(group, now, (Tell::Everybody, Effort::Patient)).await;
        self.expel_unverified().await;
        // A member whose AS does not answer may be proven by what was verified before.
        self.check_trust(group).or_else(|error| asked.and(Err(error)))?;
        let must_commit = self.must_cover(group)? || self.group(group)?.is_leaf_shared.is_set();
        if must_commit { self.commit(group, &Plan::Update).await } else { Ok(()) }
    }

    /// A message for one member, ready to be passed on by who should not, for tests.
    #[cfg(test)]
    pub(crate) fn make_targeted(
        &mut self,
        group: &GroupId,
        target: phoenix_core::Pseudonym,
        text: &[u8],
    ) -> Result<SendMessageRequest, ClientError> {
        let letter = Letter { aad: MessageAad::Targeted(target), ..Letter::LASTING };
        self.make_message(group, text, &letter)
    }

    fn make_message(
        &mut self,
        group: &GroupId,
        text: &[u8],
        letter: &Letter,
    ) -> Result<SendMessageRequest, ClientError> {
        let id = MessageId(self.chance.bytes());
        let record = self.group(group)?;
        let (access, signer) = (record.access.clone(), mls_signer(&record.leaf.key));
        let (mls_group, provider) = self.mls(group)?;
        mls_group.set_aad(letter.aad.encode().to_vec());
        let created = mls_group.create_message(provider, &signer, text).map_err(mls("make a message"))?;
        Ok(SendMessageRequest {
            access,
            message: message(&created)?,
            id,
            ephemeral: letter.ephemeral,
            notify: letter.notify,
        })
    }
}

/// How long the DS remembers a message's id, in seconds.
const REPEAT_S: u64 = HOUR;
/// Messages without an answer that are remembered, in one group.
const MAX_UNSENT: usize = 64;
