//! Commits, and what they bring.

use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use super::{GroupAccess, MAX_ADDS, MAX_ADDS_AND_PATH, MAX_ATTRIBUTION, MemberKeys, Mls};
use crate::{
    Epoch, Fqdn, LeafIndex,
    api::{
        Description, Endpoint, SenderKind, ServiceName,
        queue::{ClientQueueConfig, KeyPackageBatch},
    },
    token::Class,
    wire::{List, Opaque, Secret},
};

/// Joins a connection group by external commit.
pub struct JoinConnectionGroup;

impl Endpoint for JoinConnectionGroup {
    const DESCRIPTION: Description = Description::new(0x0306, ServiceName::Ds, "join_connection_group")
        .signed_by(SenderKind::NewKey)
        .costs(Class::Standard);
    type Request = JoinConnectionGroupRequest;
    type Reply = Joined;
}

/// An external commit. The frame is signed by the key of its path leaf.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct JoinConnectionGroupRequest {
    /// The group.
    pub access: GroupAccess,
    /// The code from the offer.
    pub join_code: Secret<32>,
    /// The commit, as an MLSMessage.
    pub commit: Mls,
    /// Of the next epoch.
    pub group_info: GroupInfoUpdate,
    /// Where the joiner's messages go.
    pub config: ClientQueueConfig,
}

/// Where a joiner landed.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct Joined {
    /// Its leaf.
    pub leaf: LeafIndex,
    /// The group's epoch now.
    pub epoch: Epoch,
    /// Other members' domains towards which delivery is delayed.
    pub delayed: List<Delayed, MAX_DELAYED>,
}

/// Adds clients to a group.
pub struct AddUsers;

impl Endpoint for AddUsers {
    const DESCRIPTION: Description = Description::new(0x0307, ServiceName::Ds, "add_users")
        .signed_by(SenderKind::Leaf)
        .costs(Class::Standard)
        .body(1 << 20);
    type Request = AddUsersRequest;
    type Reply = Accepted;
}

/// A commit with inline Adds.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct AddUsersRequest {
    /// The group.
    pub access: GroupAccess,
    /// The commit, as an MLSMessage.
    pub commit: Mls,
    /// Of the next epoch.
    pub group_info: GroupInfoUpdate,
    /// The commit's one Welcome, as an MLSMessage.
    pub welcome: Mls,
    /// For each Add, in order; 1 to 256.
    pub joiners: List<Joiner, MAX_ADDS>,
    /// The QSs' word for the packages.
    pub batches: List<KeyPackageBatch, MAX_ADDS>,
}

/// What comes with an Add.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct Joiner {
    /// From the AddPackage.
    pub config: ClientQueueConfig,
    /// Attribution info, under the joiner's welcome attribution key.
    pub attribution: Opaque<MAX_ATTRIBUTION>,
}

/// What the DS sends to a joiner: sealed as a whole to the init key of its KeyPackage (HPKE, info "phoenix
/// welcome", aad = KeyPackageRef), padded with Padmé.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct WelcomeBundle {
    /// The Welcome for this joiner alone, as an MLSMessage: suite, its EncryptedGroupSecrets, the GroupInfo.
    pub welcome: Mls,
    /// As in [`Joiner`].
    pub attribution: Opaque<MAX_ATTRIBUTION>,
    /// The group and its key.
    pub access: GroupAccess,
    /// The epoch that it joins.
    pub epoch: Epoch,
    /// Its leaf.
    pub leaf: LeafIndex,
}

/// Removes members from a group.
pub struct RemoveUsers;

impl Endpoint for RemoveUsers {
    const DESCRIPTION: Description = Description::new(0x0308, ServiceName::Ds, "remove_users")
        .signed_by(SenderKind::Leaf)
        .costs(Class::Standard);
    type Request = CommitRequest;
    type Reply = Accepted;
}

/// Updates a member's leaf.
pub struct UpdateClient;

impl Endpoint for UpdateClient {
    const DESCRIPTION: Description = Description::new(0x030a, ServiceName::Ds, "update_client")
        .signed_by(SenderKind::Leaf)
        .costs(Class::Standard);
    type Request = CommitRequest;
    type Reply = Accepted;
}

/// A commit that needs nothing beside it.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct CommitRequest {
    /// The group.
    pub access: GroupAccess,
    /// The commit, as an MLSMessage.
    pub commit: Mls,
    /// Of the next epoch.
    pub group_info: GroupInfoUpdate,
}

/// What the DS needs to build the GroupInfo of the next epoch.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct GroupInfoUpdate {
    /// The GroupInfo's extensions (RFC 9420 §12.4.3): an encoded list.
    pub extensions: Mls,
    /// Its signature.
    pub signature: Opaque<128>,
}

/// The authenticated data of a commit: the keys of its new leaves, the path leaf's first, then one for each
/// Add in their order; only new LeafCredentials bring keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct CommitAad {
    /// The keys.
    pub keys: List<MemberKeys, MAX_ADDS_AND_PATH>,
    /// What only members read: in an external commit the joiner's friendship keys, under the group credential key.
    pub sealed: Opaque<1024>,
}

/// A message or commit was accepted: it is durable, and will be delivered.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct Accepted {
    /// The group's epoch now.
    pub epoch: Epoch,
    /// Domains of members towards which delivery is delayed, as far as this server knows.
    pub delayed: List<Delayed, MAX_DELAYED>,
}

/// A domain that does not answer.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct Delayed {
    /// Which.
    pub domain: Fqdn,
    /// Since when, in seconds.
    pub since: u64,
}

/// Delayed domains that an answer names at most.
pub const MAX_DELAYED: usize = 64;
