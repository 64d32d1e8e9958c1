//! `send_message`: an application message for all other members. Reads the roster alone, and writes no group state.

use phoenix_core::api::delivery::{self as api, MessageAad, SendMessageRequest};

use crate::sending::{Letter, Post, Sends};

/// Sends an application message.
pub type SendMessage = Sends<api::SendMessage>;

impl Post for api::SendMessage {
    fn letter(request: &SendMessageRequest) -> Letter<'_> {
        let SendMessageRequest { access, message, id, ephemeral, notify } = request;
        let (id, ephemeral, notify) = (*id, *ephemeral, *notify);
        Letter { access, message, id, ephemeral, notify, aad: MessageAad::Application }
    }
}

#[cfg(test)]
mod tests;
