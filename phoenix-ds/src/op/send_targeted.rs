//! `send_targeted`: an application message for one other member. It costs what any message costs, and goes to one queue.

use phoenix_core::api::delivery::{self as api, MessageAad, SendTargetedRequest};

use crate::sending::{Letter, Post, Sends};

/// Sends an application message to one member.
pub type SendTargeted = Sends<api::SendTargeted>;

impl Post for api::SendTargeted {
    fn letter(request: &SendTargetedRequest) -> Letter<'_> {
        let SendTargetedRequest { access, target, message, id, ephemeral, notify } = request;
        let (id, ephemeral, notify) = (*id, *ephemeral, *notify);
        Letter { access, message, id, ephemeral, notify, aad: MessageAad::Targeted(*target) }
    }
}

#[cfg(test)]
mod tests;
