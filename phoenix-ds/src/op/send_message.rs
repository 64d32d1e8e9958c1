//! `send_message`: an application message for all other members. Reads the roster alone, and writes no group state.

use phoenix_core::{
    LeafIndex, Reject,
    api::delivery::{self as api, ContentKind, MessageAad, SendMessageRequest},
};

use crate::{
    roster::{Member, Roster},
    sending::{Letter, Post, Sends},
};

/// Sends an application message.
pub type SendMessage = Sends<api::SendMessage>;

impl Post for api::SendMessage {
    const KIND: ContentKind = ContentKind::Application;

    fn letter(request: &SendMessageRequest) -> Letter<'_> {
        let SendMessageRequest { access, message, id, ephemeral, notify } = request;
        let (id, ephemeral, notify) = (*id, *ephemeral, *notify);
        Letter { access, message, id, ephemeral, notify, aad: MessageAad::Application }
    }

    fn recipients<'r>(
        _: &SendMessageRequest,
        roster: &'r Roster,
        sender: LeafIndex,
    ) -> Result<Vec<&'r Member>, Reject> {
        Ok(roster.others(sender).collect())
    }
}

#[cfg(test)]
mod tests;
