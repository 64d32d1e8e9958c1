//! Groups come to be, and members say where their messages go.

use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use super::{GroupAccess, MemberKeys, Mls};
use crate::{
    GroupId,
    api::{Description, Empty, Endpoint, SenderKind, ServiceName, queue::ClientQueueConfig},
    token::Class,
    wire::{Flag, Secret},
};

/// A fresh group id.
pub struct RequestGroupId;

impl Endpoint for RequestGroupId {
    const DESCRIPTION: Description =
        Description::new(0x0301, ServiceName::Ds, "request_group_id").local().costs(Class::Home);
    type Request = Empty;
    type Reply = GroupReservation;
}

/// A group id that may be used within ten minutes. Nothing is stored: the MAC shows that the DS made it.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct GroupReservation {
    /// The id.
    pub group: GroupId,
    /// Its last second.
    pub expires: u64,
    /// Over both, under a key of the DS.
    pub mac: [u8; 32],
}

/// Creates a group of one, its creator, who becomes admin.
pub struct CreateGroup;

impl Endpoint for CreateGroup {
    const DESCRIPTION: Description = Description::new(0x0302, ServiceName::Ds, "create_group")
        .local()
        .signed_by(SenderKind::NewKey)
        .costs(Class::Home);
    type Request = CreateGroupRequest;
    type Reply = Empty;
}

/// A new group. The frame is signed by the only leaf's signature key.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct CreateGroupRequest {
    /// From [`RequestGroupId`].
    pub reservation: GroupReservation,
    /// Which EAR key it is.
    pub ear_key_id: u32,
    /// The state is encrypted under it from now on.
    pub ear_key: Secret<32>,
    /// The ratchet tree (RFC 9420 §12.4.3.3).
    pub tree: Mls,
    /// The signed GroupInfo, as an MLSMessage.
    pub group_info: Mls,
    /// Where the creator's messages go.
    pub config: ClientQueueConfig,
    /// The creator's link and profile keys.
    pub keys: MemberKeys,
}

/// Gives a member another queue config.
pub struct UpdateQueueConfig;

impl Endpoint for UpdateQueueConfig {
    const DESCRIPTION: Description = Description::new(0x0303, ServiceName::Ds, "update_queue_config")
        .signed_by(SenderKind::Leaf)
        .costs(Class::Standard);
    type Request = UpdateQueueConfigRequest;
    type Reply = Empty;
}

/// A member's new queue config.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct UpdateQueueConfigRequest {
    /// The group.
    pub access: GroupAccess,
    /// For this DS only.
    pub config: ClientQueueConfig,
    /// Whether the last thing that comes through the former config is to be a
    /// [`ContentKind::ConfigEnds`](super::ContentKind::ConfigEnds): for who leaves the queue that it leads to.
    pub ends: Flag,
}
