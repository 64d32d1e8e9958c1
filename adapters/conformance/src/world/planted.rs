//! Bugs that the harness puts into a run, to show that it would find them.

use bytes::Bytes;
use phoenix_core::{
    Epoch, ErrorCode,
    api::{
        Endpoint,
        delivery::{Accepted, CommitRequest, RemoveUsers},
        federation::{DeliveryResult, FederatedEnqueue, QsToQsReceipt, RecipientResult},
    },
    port::Outgoing,
    wire::{List, Wire},
};

use super::{commits::epoch_of, federation::names_a_bad_one, link::Answer};

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
    /// An AS forgets what it has issued.
    IssuedForgotten,
    /// A QS forgets what it took of others: what comes again is new to it.
    ReceiptsForgotten,
    /// A QS takes what is for others.
    ForeignDelivered,
    /// A homeserver counts the calls of all others together.
    OneLimitForAll,
    /// A message that its destination refuses as bad blocks its mailbox.
    PoisonBlocks,
    /// A process that starts again finds its groups as they were when it started the last time.
    GroupsGoBack,
    /// What a call has sent is queued before what the call changes is durable.
    FansOutFirst,
    /// A homeserver that finds nobody looks again at once.
    LooksAgain,
    /// A homeserver that finds nobody sends something there, to see who answers.
    Knocks,
    /// A homeserver that does not reach one other sends nothing to any.
    OneCutStopsAll,
    /// A homeserver takes an address for a domain.
    AddressesTaken,
    /// A homeserver asks another for its keys before it takes a message.
    AsksFirst,
}

impl Planted {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::TakenBeforeAppended,
        Self::SpentForgotten,
        Self::StaleDecision,
        Self::AuthorityForgets,
        Self::RolesIgnored,
        Self::MistakenOracle,
        Self::IssuedForgotten,
        Self::ReceiptsForgotten,
        Self::ForeignDelivered,
        Self::OneLimitForAll,
        Self::PoisonBlocks,
        Self::GroupsGoBack,
        Self::FansOutFirst,
        Self::LooksAgain,
        Self::Knocks,
        Self::OneCutStopsAll,
        Self::AddressesTaken,
        Self::AsksFirst,
    ];

    /// What a homeserver with the bug answers where a sound one answers this.
    pub(crate) fn answer(self, outgoing: &Outgoing, sound: Answer) -> Answer {
        let is_removal = outgoing.call.endpoint == RemoveUsers::DESCRIPTION.id;
        let is_transaction = outgoing.call.endpoint == FederatedEnqueue::DESCRIPTION.id;
        match &sound {
            Err(error) if self == Self::RolesIgnored && is_removal && error.code == ErrorCode::Forbidden => {
                let request = CommitRequest::decode(outgoing.call.body.as_slice()).ok();
                let before = request.and_then(|request| epoch_of(request.commit.as_slice())).unwrap_or(0);
                let epoch = Epoch(before.saturating_add(1));
                Ok(Accepted { epoch, delayed: List::default() }.encode())
            }
            Err(error)
                if self == Self::AddressesTaken && is_transaction && error.code == ErrorCode::Malformed =>
            {
                Ok(Bytes::new())
            }
            Ok(reply) if self == Self::ForeignDelivered && is_transaction => {
                Ok(all_delivered(reply).unwrap_or_else(|| reply.clone()))
            }
            _ => sound,
        }
    }

    /// Whether the bug shows where several replicas serve a homeserver: there it is looked for.
    pub(crate) fn is_of_replicas(self) -> bool {
        self == Self::StaleDecision
    }

    /// Whether a homeserver with the bug takes this for no answer.
    pub(crate) fn overlooks(self, reply: &[u8]) -> bool {
        self == Self::PoisonBlocks && names_a_bad_one(reply)
    }
}

/// The receipt, as if every recipient were ours.
fn all_delivered(reply: &[u8]) -> Option<Bytes> {
    let QsToQsReceipt { transaction, results, limits } = QsToQsReceipt::decode(reply).ok()?;
    let delivered = |result: DeliveryResult| {
        let results = result.results.iter().map(|_| RecipientResult::Delivered).collect();
        Some(DeliveryResult { results: List::new(results).ok()?, ..result })
    };
    let results = results.into_vec().into_iter().map(delivered).collect::<Option<_>>()?;
    Some(QsToQsReceipt { transaction, results: List::new(results).ok()?, limits }.encode())
}
