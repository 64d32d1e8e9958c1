//! A group's state, for those who join it.

use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use super::{GroupAccess, MAX_MEMBERS, MAX_PROPOSALS, MemberKeys, Mls, RatchetTree};
use crate::{
    Epoch, KeyPackageRef, LeafIndex,
    api::{Description, Endpoint, SenderKind, ServiceName},
    token::Class,
    wire::{List, Secret},
};

/// What a joiner needs: the tree and the roster of the epoch that it was added in.
pub struct WelcomeInfo;

impl Endpoint for WelcomeInfo {
    const DESCRIPTION: Description = Description::new(0x0304, ServiceName::Ds, "welcome_info")
        .signed_by(SenderKind::KeyPackage)
        .costs(Class::Standard);
    type Request = WelcomeInfoRequest;
    type Reply = WelcomeInfoReply;
}

/// Asks for the state that a joiner was added to.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct WelcomeInfoRequest {
    /// The group.
    pub access: GroupAccess,
    /// The epoch after the commit that added the joiner.
    pub epoch: Epoch,
    /// The KeyPackage that it was added by.
    pub package: KeyPackageRef,
}

/// The state that a joiner was added to.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct WelcomeInfoReply {
    /// The ratchet tree.
    pub tree: RatchetTree,
    /// The members' keys.
    pub roster: Roster,
}

/// What members need to know the others, for each leaf.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct Roster {
    /// In the order of their leaves.
    pub members: List<RosterMember, MAX_MEMBERS>,
}

/// What is known of one member.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct RosterMember {
    /// Its leaf.
    pub leaf: LeafIndex,
    /// Its keys.
    pub keys: MemberKeys,
}

/// What an external commit needs; for members that resync, or for whoever holds the join code of a connection.
pub struct ExternalCommitInfo;

impl Endpoint for ExternalCommitInfo {
    const DESCRIPTION: Description = Description::new(0x0305, ServiceName::Ds, "external_commit_info")
        .signed_by(SenderKind::LeafOrNobody)
        .costs(Class::Standard);
    type Request = ExternalCommitInfoRequest;
    type Reply = ExternalCommitInfoReply;
}

/// Asks for what an external commit needs.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct ExternalCommitInfoRequest {
    /// The group.
    pub access: GroupAccess,
    /// The code of a connection's offer; none for a member, whose leaf signs the frame.
    pub join_code: Option<Secret<32>>,
}

/// What an external commit needs.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct ExternalCommitInfoReply {
    /// The GroupInfo, as an MLSMessage.
    pub group_info: Mls,
    /// The ratchet tree.
    pub tree: RatchetTree,
    /// The members' keys.
    pub roster: Roster,
    /// Stored proposals, as MLSMessages.
    pub proposals: List<Mls, MAX_PROPOSALS>,
}
