//! Messages of a group, and what becomes of them.

use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use super::{Accepted, GroupAccess, Mls};
use crate::{
    Epoch, LeafIndex, MessageId, Pseudonym,
    api::{
        Description, Empty, Endpoint, SenderKind, ServiceName,
        queue::{MAX_BACK, NotifyClass},
    },
    token::Class,
    wire::{Flag, List, Opaque},
};

/// Sends an application message to all other members.
pub struct SendMessage;

impl Endpoint for SendMessage {
    const DESCRIPTION: Description = Description::new(0x0310, ServiceName::Ds, "send_message")
        .signed_by(SenderKind::Leaf)
        .costs(Class::Standard);
    type Request = SendMessageRequest;
    type Reply = Accepted;
}

/// An application message.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct SendMessageRequest {
    /// The group.
    pub access: GroupAccess,
    /// The PrivateMessage, as an MLSMessage; of the current or one of the last five epochs.
    pub message: Mls,
    /// A repeat within an hour is answered like the first and not sent again.
    pub id: MessageId,
    /// Whether it goes to open streams only.
    pub ephemeral: Flag,
    /// How urgent it is.
    pub notify: NotifyClass,
}

/// The authenticated data of an application message: names its kind, so that it cannot be passed on as another, nor to
/// others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
#[repr(u8)]
pub enum MessageAad {
    /// For all members.
    #[tls_codec(discriminant = 1)]
    Application,
    /// For the member with this pseudonym alone.
    #[tls_codec(discriminant = 2)]
    Targeted(Pseudonym),
}

/// The content of a fan-out message, sealed for the group's members: AES-256-GCM under
/// HKDF(EAR key, "phoenix fan-out") with a random nonce in front, aad = notify, ephemeral, accepted_at.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct GroupContent {
    /// What the message is.
    pub kind: ContentKind,
    /// Who sent it, by the frame of its request; [`DS_LEAF`](super::DS_LEAF) for a proposal of the DS's own.
    pub sender: LeafIndex,
    /// An MLSMessage, or what the kind says.
    pub message: Mls,
}

/// What a group message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
#[repr(u8)]
pub enum ContentKind {
    /// A commit.
    Commit = 1,
    /// Proposals that were stored; [`Proposals`](super::Proposals).
    Proposal = 2,
    /// An application message for all.
    Application = 3,
    /// An application message for one.
    Targeted = 4,
    /// A member's new profile key; a [`ProfileKeyUpdated`](super::ProfileKeyUpdated).
    ProfileKey = 5,
    /// To the committer alone: its commit was accepted; a [`CommitAccepted`].
    CommitAccepted = 6,
    /// To a member alone that has another queue config now: nothing of the group follows through this one. The message
    /// is empty.
    ConfigEnds = 7,
}

/// Tells a committer what became of its commit.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct CommitAccepted {
    /// The epoch that it led to.
    pub epoch: Epoch,
    /// SHA-256 of the commit's MLSMessage.
    pub hash: [u8; 32],
}

/// Tells the DS that a message of a group did not reach members' queues.
pub struct Undelivered;

impl Endpoint for Undelivered {
    const DESCRIPTION: Description = Description::new(0x0330, ServiceName::Ds, "undelivered").internal();
    type Request = UndeliveredRequest;
    type Reply = Empty;
}

/// Queues that a message did not reach, and will not.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct UndeliveredRequest {
    /// As the DS gave it with the message.
    pub back: Opaque<MAX_BACK>,
    /// Why.
    pub cause: Undeliverable,
    /// When the QS saw it, in seconds, told to the minute.
    pub seen_at: u64,
    /// SHA-256 of the sealed configs of the recipients.
    pub queues: List<[u8; 32], MAX_UNDELIVERED>,
}

/// Why a message did not reach a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
#[repr(u8)]
pub enum Undeliverable {
    /// Its QS answered that there is no such queue.
    Gone = 1,
    /// Its homeserver did not take it for too long, or refused it as bad, which says nothing of the queue.
    GivenUp = 2,
}

/// Queues that one call tells of: what it changes in a group's state stays small.
pub const MAX_UNDELIVERED: usize = 60;
