//! Endpoints of the delivery service (07). MLS messages travel as opaque bytes: only the DS and clients read them.

mod commits;
mod groups;
mod membership;
mod messages;
mod state;
mod targeted;

use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use super::{
    Description, Empty, Endpoint, ServiceName,
    queue::{MAX_KEYS, MAX_LINK_KEY, ServiceKey},
};
use crate::{
    GroupId,
    port::MAX_VALUE,
    wire::{List, Opaque, Secret},
};

pub use commits::{
    Accepted, AddUsers, AddUsersRequest, CommitAad, CommitRequest, Delayed, GroupInfoUpdate,
    JoinConnectionGroup, JoinConnectionGroupRequest, Joined, Joiner, MAX_DELAYED, RemoveUsers, UpdateClient,
    WelcomeBundle,
};
pub use groups::{
    CreateGroup, CreateGroupRequest, GroupReservation, RequestGroupId, UpdateQueueConfig,
    UpdateQueueConfigRequest,
};
pub use membership::{ChangeRoles, DS_LEAF, MAX_PROPOSAL, Proposals, Resync, SelfRemove, SelfRemoveRequest};
pub use messages::{
    CommitAccepted, ContentKind, GroupContent, MAX_UNDELIVERED, MessageAad, SendMessage, SendMessageRequest,
    Undeliverable, Undelivered, UndeliveredRequest,
};
pub use state::{
    ExternalCommitInfo, ExternalCommitInfoReply, ExternalCommitInfoRequest, Roster, RosterMember,
    WelcomeInfo, WelcomeInfoReply, WelcomeInfoRequest,
};
pub use targeted::{
    DeleteGroup, MAX_EVIDENCE, ProfileKeyUpdated, Report, ReportReason, ReportRequest, SendTargeted,
    SendTargetedRequest, UpdateProfileKey, UpdateProfileKeyRequest,
};

/// An MLS message or structure (RFC 9420), as bytes.
pub type Mls = Opaque<MAX_MLS>;
/// A ratchet tree (RFC 9420 §12.4.3.3), as bytes.
pub type RatchetTree = Opaque<MAX_TREE>;

/// Names a group and brings the key that opens its state. Stands first in every request about a group.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct GroupAccess {
    /// The group.
    pub group: GroupId,
    /// Which EAR key it is; 0 for the first.
    pub ear_key_id: u32,
    /// The group's state is encrypted under it; wiped when the request ends.
    pub ear_key: Secret<32>,
}

/// What members need to know each other, sealed under the group's credential and profile keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct MemberKeys {
    /// The key of the leaf's identity link, under the group credential key.
    pub link_key: Opaque<MAX_LINK_KEY>,
    /// The member's profile key, under the group profile key; may be empty.
    pub profile_key: Opaque<MAX_LINK_KEY>,
}

/// The keys that verify the DS.
pub struct DsKeys;

impl Endpoint for DsKeys {
    const DESCRIPTION: Description = Description::new(0x0320, ServiceName::Ds, "ds_keys").published();
    type Request = Empty;
    type Reply = DsPublicKeys;
}

/// The published keys of a DS, current and next; they are the external senders of its groups.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct DsPublicKeys {
    /// The keys.
    pub verifying: List<ServiceKey, MAX_KEYS>,
}

/// Longest MLS message or structure but trees: a commit of 256 Adds in a group of 1,000 is about 550 KB.
pub const MAX_MLS: usize = 1 << 20;
/// Longest ratchet tree: one of 1,000 leaves, each with its identity link, is about 1.4 MB.
pub const MAX_TREE: usize = MAX_VALUE;
/// Joiners in one commit (07).
pub const MAX_ADDS: usize = 256;
/// Keys of QSs that vouch for the packages of one commit: as many peers are asked for one call.
pub const MAX_BATCH_KEYS: usize = 16;
/// A commit's new leaves: its Adds and its path.
pub const MAX_ADDS_AND_PATH: usize = MAX_ADDS + 1;
/// Members of a group (05).
pub const MAX_MEMBERS: usize = 1_000;
/// Stored proposals of an epoch (07).
pub const MAX_PROPOSALS: usize = 64;
/// Attribution info, sealed: it holds a credential and a few hashes and keys.
pub const MAX_ATTRIBUTION: usize = 2 << 10;
