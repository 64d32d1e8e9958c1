//! What one member does to one other, or tells of itself (07): targeted messages, profile keys, reports; and the end
//! of a group.

use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use super::{Accepted, CommitRequest, GroupAccess, Mls};
use crate::{
    MessageId, Pseudonym,
    api::{
        Description, Empty, Endpoint, SenderKind, ServiceName,
        queue::{MAX_LINK_KEY, NotifyClass},
    },
    token::Class,
    wire::{Flag, Opaque},
};

/// Sends an application message to one member alone.
pub struct SendTargeted;

impl Endpoint for SendTargeted {
    const DESCRIPTION: Description = Description::new(0x0311, ServiceName::Ds, "send_targeted")
        .signed_by(SenderKind::Leaf)
        .costs(Class::Standard);
    type Request = SendTargetedRequest;
    type Reply = Accepted;
}

/// An application message for one member. All members could open it; only this one gets it.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct SendTargetedRequest {
    /// The group.
    pub access: GroupAccess,
    /// Who gets it; its authenticated data is [`MessageAad::Targeted`](super::MessageAad::Targeted) with this pseudonym.
    pub target: Pseudonym,
    /// The PrivateMessage, as an MLSMessage; of the current or one of the last five epochs, in which both are members.
    pub message: Mls,
    /// A repeat within an hour is answered like the first and not sent again; shares its names with `send_message`.
    pub id: MessageId,
    /// Whether it goes to open streams only.
    pub ephemeral: Flag,
    /// How urgent it is.
    pub notify: NotifyClass,
}

/// Replaces the key that opens a member's profile.
pub struct UpdateProfileKey;

impl Endpoint for UpdateProfileKey {
    const DESCRIPTION: Description = Description::new(0x0312, ServiceName::Ds, "update_profile_key")
        .signed_by(SenderKind::Leaf)
        .costs(Class::Standard);
    type Request = UpdateProfileKeyRequest;
    type Reply = Accepted;
}

/// A member's new profile key.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct UpdateProfileKeyRequest {
    /// The group.
    pub access: GroupAccess,
    /// Under the group profile key.
    pub profile_key: Opaque<MAX_LINK_KEY>,
}

/// Tells the others of a member's new profile key: the message of a [`ContentKind::ProfileKey`](super::ContentKind::ProfileKey).
/// The DS says whose it is; what vouches for the key is the group profile key that it is sealed under.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct ProfileKeyUpdated {
    /// The member, as it keeps its name while leaves change hands.
    pub member: Pseudonym,
    /// As in the [`UpdateProfileKeyRequest`].
    pub profile_key: Opaque<MAX_LINK_KEY>,
}

/// Reports a member to the operator of the group's homeserver.
pub struct Report;

impl Endpoint for Report {
    const DESCRIPTION: Description = Description::new(0x0313, ServiceName::Ds, "report")
        .signed_by(SenderKind::Leaf)
        .costs(Class::Standard)
        .body(32 << 10);
    type Request = ReportRequest;
    type Reply = Empty;
}

/// What a member reports of another. The operator gets it, with both pseudonyms and the group's id; nothing else comes
/// of it by itself, since it could be made up.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct ReportRequest {
    /// The group.
    pub access: GroupAccess,
    /// Who is reported; a member still.
    pub accused: Pseudonym,
    /// What for.
    pub reason: ReportReason,
    /// What the reporter chooses to disclose; may be empty.
    pub evidence: Opaque<MAX_EVIDENCE>,
}

/// What a member is reported for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
#[repr(u8)]
pub enum ReportReason {
    /// Messages or commits that members cannot open.
    Unreadable = 1,
    /// Unwanted messages.
    Spam = 2,
    /// Abuse of a person.
    Abuse = 3,
    /// What is against the law.
    Illegal = 4,
    /// As the evidence says.
    Other = 5,
}

/// Ends a group: its commit removes all others, and its state is deleted.
pub struct DeleteGroup;

impl Endpoint for DeleteGroup {
    const DESCRIPTION: Description = Description::new(0x0314, ServiceName::Ds, "delete_group")
        .signed_by(SenderKind::Leaf)
        .costs(Class::Standard);
    type Request = CommitRequest;
    type Reply = Accepted;
}

/// Bytes of evidence in a report: a few messages' text.
pub const MAX_EVIDENCE: usize = 16 << 10;
