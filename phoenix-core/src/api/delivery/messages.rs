//! Messages of a group, and what becomes of them.

use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use super::{Accepted, GroupAccess, Mls};
use crate::{
    Epoch, LeafIndex, MessageId,
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

/// The authenticated data of an application message: names its kind, so that it cannot be passed on as another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
#[repr(u8)]
pub enum MessageAad {
    /// For all members.
    Application = 1,
}

/// The content of a fan-out message, sealed for the group's members: AES-256-GCM under
/// HKDF(EAR key, "phoenix fan-out") with a random nonce in front, aad = notify, ephemeral, accepted_at.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct GroupContent {
    /// What the message is.
    pub kind: ContentKind,
    /// Who sent it, by the frame of its request.
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
    /// A proposal.
    Proposal = 2,
    /// An application message for all.
    Application = 3,
    /// An application message for one.
    Targeted = 4,
    /// A member's new profile key.
    ProfileKey = 5,
    /// To the committer alone: its commit was accepted; a [`CommitAccepted`].
    CommitAccepted = 6,
}

/// Tells a committer what became of its commit.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct CommitAccepted {
    /// The epoch that it led to.
    pub epoch: Epoch,
    /// SHA-256 of the commit's MLSMessage.
    pub hash: [u8; 32],
}

/// Tells the DS that queues of a group's members are gone.
pub struct Undelivered;

impl Endpoint for Undelivered {
    const DESCRIPTION: Description = Description::new(0x0330, ServiceName::Ds, "undelivered").internal();
    type Request = UndeliveredRequest;
    type Reply = Empty;
}

/// Queues that are gone.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct UndeliveredRequest {
    /// As the DS gave it with the message.
    pub back: Opaque<MAX_BACK>,
    /// SHA-256 of the sealed configs of the recipients that are gone.
    pub gone: List<[u8; 32], 60>,
}
