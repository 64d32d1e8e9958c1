//! Sending messages.

use phoenix_core::{
    ErrorCode, GroupId, MessageId,
    api::{
        Endpoint,
        delivery::{MessageAad, SendMessage, SendMessageRequest},
        queue::NotifyClass,
    },
    crypto::sha256,
    port::Outgoing,
    time::HOUR,
    token::Token,
    wire::{Flag, Wire},
};

use super::{Plan, Receipt, Unsent, members::Tell, trust::Effort};
use crate::{
    error::{ClientError, mls},
    mls::{encoding::message, mls_signer},
    session::Session,
};

impl Session {
    /// Sends an application message to all other members. It is sent once, however often its answer is lost: each
    /// try has the same message id, and so has a later call with the same text, which encrypts it anew, since others
    /// may not open what comes long after its turn.
    pub(crate) async fn send(&mut self, group: &GroupId, text: &[u8]) -> Result<Receipt, ClientError> {
        self.make_ready(group).await?;
        let hash = sha256(text);
        let id = self.message_id(group, hash)?;
        let mut request = SendMessageRequest { id, ..self.make_message(group, text)? };
        for _ in 0..self.habits.commits.max(1) {
            let (route, auth) = (self.group_route(group)?, self.leaf_identity(group)?);
            let result = self.call::<SendMessage>(&route, Some(&auth), &request).await;
            if !result.as_ref().is_err_and(ClientError::is_transient) {
                self.group_mut(group)?.unsent.remove(&hash);
            }
            match result {
                Ok(accepted) => return Ok(accepted.into()),
                // Its epoch is too old: others have gone on. It was never accepted, so it is made anew.
                Err(error) if error.code() == Some(ErrorCode::Conflict) => {
                    self.read_queue(1).await?;
                    self.process_waiting().await?;
                    self.make_ready(group).await?;
                    request = SendMessageRequest { id: request.id, ..self.make_message(group, text)? };
                }
                Err(error) => return Err(error),
            }
        }
        Err(ClientError::Outrun)
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
        let request = self.make_message(group, text)?;
        let (route, auth) = (self.group_route(group)?, self.leaf_identity(group)?);
        self.prepare(&SendMessage::DESCRIPTION, &route, Some(&auth), token, request.encode())
    }

    /// Does what must come before a message: our own queue config, all members verified, all proposals covered.
    async fn make_ready(&mut self, group: &GroupId) -> Result<(), ClientError> {
        self.check_standing(group)?;
        self.replace_config(group).await?;
        let now = self.now();
        let asked = self.verify_members(group, now, (Tell::Everybody, Effort::Patient)).await;
        self.expel_unverified().await;
        // A member whose AS does not answer may be proven by what was verified before.
        self.check_trust(group).or_else(|error| asked.and(Err(error)))?;
        let must_commit =
            self.mls(group)?.0.has_pending_proposals() || self.group(group)?.is_leaf_shared.is_set();
        if must_commit { self.commit(group, &Plan::Update).await } else { Ok(()) }
    }

    fn make_message(&mut self, group: &GroupId, text: &[u8]) -> Result<SendMessageRequest, ClientError> {
        let id = MessageId(self.chance.bytes());
        let record = self.group(group)?;
        let (access, signer) = (record.access.clone(), mls_signer(&record.leaf.key));
        let (mls_group, provider) = self.mls(group)?;
        mls_group.set_aad(MessageAad::Application.encode().to_vec());
        let created = mls_group.create_message(provider, &signer, text).map_err(mls("make a message"))?;
        Ok(SendMessageRequest {
            access,
            message: message(&created)?,
            id,
            ephemeral: Flag::No,
            notify: NotifyClass::Normal,
        })
    }
}

/// How long the DS remembers a message's id, in seconds.
const REPEAT_S: u64 = HOUR;
/// Messages without an answer that are remembered, in one group.
const MAX_UNSENT: usize = 64;
