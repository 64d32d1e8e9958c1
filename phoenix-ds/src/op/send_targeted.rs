//! `send_targeted`: an application message for one other member. It costs what any message costs, and goes to one queue.

use phoenix_core::{
    LeafIndex, Reject,
    api::delivery::{self as api, ContentKind, MessageAad, SendTargetedRequest},
};

use crate::{
    roster::{Member, Roster},
    sending::{Letter, Post, Sends},
};

/// Sends an application message to one member.
pub type SendTargeted = Sends<api::SendTargeted>;

impl Post for api::SendTargeted {
    const KIND: ContentKind = ContentKind::Targeted;

    fn letter(request: &SendTargetedRequest) -> Letter<'_> {
        let SendTargetedRequest { access, target, message, id, ephemeral, notify } = request;
        let (id, ephemeral, notify) = (*id, *ephemeral, *notify);
        Letter { access, message, id, ephemeral, notify, aad: MessageAad::Targeted(*target) }
    }

    fn recipients<'r>(
        request: &SendTargetedRequest,
        roster: &'r Roster,
        sender: LeafIndex,
    ) -> Result<Vec<&'r Member>, Reject> {
        let member = roster.named(&request.target).ok_or(Reject::NotFound)?;
        if member.leaf == sender { Err(Reject::Malformed("target")) } else { Ok(vec![member]) }
    }
}

#[cfg(test)]
mod tests;
