//! Bugs that the harness puts into a run, to show that it would find them.

use phoenix_core::{
    Epoch, ErrorCode,
    api::{
        Endpoint,
        delivery::{Accepted, CommitRequest, RemoveUsers},
    },
    port::Outgoing,
    wire::{List, Wire},
};

use super::{ledger::epoch_of, link::Answer};

/// A bug of a homeserver, brought in at one of its ports; or of the harness itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// A lane's row is taken before what it becomes is durable.
    TakenBeforeAppended,
    /// What was spent is forgotten when the process starts again.
    SpentForgotten,
    /// A call that lost a race is committed as it was decided before.
    StaleDecision,
    /// What an AS decides is answered, and never written.
    AuthorityForgets,
    /// A DS lets everybody remove members: who is no admin is answered as if it were.
    RolesIgnored,
    /// The oracle says that a group's last admin may be made a plain member.
    MistakenOracle,
}

impl Planted {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::TakenBeforeAppended,
        Self::SpentForgotten,
        Self::StaleDecision,
        Self::AuthorityForgets,
        Self::RolesIgnored,
        Self::MistakenOracle,
    ];

    /// What a homeserver with the bug answers where a sound one answers this.
    pub(crate) fn answer(self, outgoing: &Outgoing, sound: Answer) -> Answer {
        let is_removal = outgoing.call.endpoint == RemoveUsers::DESCRIPTION.id;
        match &sound {
            Err(error) if self == Self::RolesIgnored && is_removal && error.code == ErrorCode::Forbidden => {
                let request = CommitRequest::decode(outgoing.call.body.as_slice()).ok();
                let before = request.and_then(|request| epoch_of(request.commit.as_slice())).unwrap_or(0);
                let epoch = Epoch(before.saturating_add(1));
                Ok(Accepted { epoch, delayed: List::default() }.encode())
            }
            _ => sound,
        }
    }
}
