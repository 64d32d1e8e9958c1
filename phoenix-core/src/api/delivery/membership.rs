//! Members leave, come back where they fell behind, and change who is admin.

use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use super::{Accepted, CommitRequest, GroupAccess, Joined, MAX_PROPOSALS, Mls};
use crate::{
    LeafIndex,
    api::{Description, Endpoint, SenderKind, ServiceName},
    token::Class,
    wire::List,
};

/// Changes who is admin, or puts the DS's published keys into the group.
pub struct ChangeRoles;

impl Endpoint for ChangeRoles {
    const DESCRIPTION: Description = Description::new(0x0309, ServiceName::Ds, "change_roles")
        .signed_by(SenderKind::Leaf)
        .costs(Class::Standard);
    type Request = CommitRequest;
    type Reply = Accepted;
}

/// Proposes that its sender leaves the group.
pub struct SelfRemove;

impl Endpoint for SelfRemove {
    const DESCRIPTION: Description = Description::new(0x030b, ServiceName::Ds, "self_remove")
        .signed_by(SenderKind::Leaf)
        .costs(Class::Standard);
    type Request = SelfRemoveRequest;
    type Reply = Accepted;
}

/// A member's proposal to leave: the next commit takes it along.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct SelfRemoveRequest {
    /// The group.
    pub access: GroupAccess,
    /// A PublicMessage with a SelfRemove, or with a Remove of the sender's own leaf, as an MLSMessage of at most
    /// 960 bytes.
    pub proposal: Mls,
}

/// Puts a member that fell behind back into its group, by external commit: the frame is signed by the leaf that it
/// has before.
pub struct Resync;

impl Endpoint for Resync {
    const DESCRIPTION: Description = Description::new(0x030c, ServiceName::Ds, "resync")
        .signed_by(SenderKind::Leaf)
        .costs(Class::Standard);
    type Request = CommitRequest;
    type Reply = Joined;
}

/// Stored proposals as MLSMessages: what a group message of the kind `proposal` holds, and the detail of
/// `pending_proposals`.
pub type Proposals = List<Mls, MAX_PROPOSALS>;

/// Whom a group message names as its sender that the DS made by itself: a proposal of its own. No member has this
/// leaf.
pub const DS_LEAF: LeafIndex = LeafIndex(u32::MAX);
/// Bytes of a stored proposal at most: sixty-four of them fit into the detail of `pending_proposals`.
pub const MAX_PROPOSAL: usize = 960;
