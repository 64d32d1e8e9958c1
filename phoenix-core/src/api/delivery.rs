//! Endpoints of the delivery service (07). MLS messages travel as opaque bytes: only the DS and clients read them.

use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use super::{
    Description, Empty, Endpoint, SenderKind, ServiceName,
    queue::{ClientQueueConfig, KeyPackageBatch, MAX_BACK, MAX_KEYS, MAX_LINK_KEY, NotifyClass, ServiceKey},
};
use crate::{
    Epoch, Fqdn, GroupId, KeyPackageRef, LeafIndex, MessageId,
    token::Class,
    wire::{Flag, List, Opaque, Secret},
};

/// An MLS message or structure (RFC 9420), as bytes.
pub type Mls = Opaque<MAX_MLS>;

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

/// A fresh group id.
pub struct RequestGroupId;

impl Endpoint for RequestGroupId {
    const DESCRIPTION: Description = Description::new(0x0301, ServiceName::Ds, "request_group_id").costs(Class::Home);
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
    const DESCRIPTION: Description =
        Description::new(0x0302, ServiceName::Ds, "create_group").signed_by(SenderKind::NewKey).costs(Class::Home);
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

/// What members need to know each other, sealed under the group's credential and profile keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct MemberKeys {
    /// The key of the leaf's identity link, under the group credential key.
    pub link_key: Opaque<MAX_LINK_KEY>,
    /// The member's profile key, under the group profile key; may be empty.
    pub profile_key: Opaque<MAX_LINK_KEY>,
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

/// The authenticated data of an application message: names its kind, so that it cannot be passed on as another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
#[repr(u8)]
pub enum MessageAad {
    /// For all members.
    Application = 1,
}

/// What the DS needs to build the GroupInfo of the next epoch.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct GroupInfoUpdate {
    /// The GroupInfo's extensions (RFC 9420 §12.4.3): an encoded list.
    pub extensions: Mls,
    /// Its signature.
    pub signature: Opaque<128>,
}

/// Gives a member another queue config.
pub struct UpdateQueueConfig;

impl Endpoint for UpdateQueueConfig {
    const DESCRIPTION: Description =
        Description::new(0x0303, ServiceName::Ds, "update_queue_config").signed_by(SenderKind::Leaf).costs(Class::Standard);
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
}

/// What a joiner needs: the tree and the roster of the epoch that it was added in.
pub struct WelcomeInfo;

impl Endpoint for WelcomeInfo {
    const DESCRIPTION: Description =
        Description::new(0x0304, ServiceName::Ds, "welcome_info").signed_by(SenderKind::KeyPackage).costs(Class::Standard);
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
    pub tree: Mls,
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
    pub tree: Mls,
    /// The members' keys.
    pub roster: Roster,
    /// Stored proposals, as MLSMessages.
    pub proposals: List<Mls, MAX_PROPOSALS>,
}

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
    const DESCRIPTION: Description =
        Description::new(0x0308, ServiceName::Ds, "remove_users").signed_by(SenderKind::Leaf).costs(Class::Standard);
    type Request = CommitRequest;
    type Reply = Accepted;
}

/// Updates a member's leaf.
pub struct UpdateClient;

impl Endpoint for UpdateClient {
    const DESCRIPTION: Description =
        Description::new(0x030a, ServiceName::Ds, "update_client").signed_by(SenderKind::Leaf).costs(Class::Standard);
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

/// A message or commit was accepted: it is durable, and will be delivered.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct Accepted {
    /// The group's epoch now.
    pub epoch: Epoch,
    /// Domains towards which delivery is delayed.
    pub delayed: List<Delayed, 64>,
}

/// A domain that does not answer.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct Delayed {
    /// Which.
    pub domain: Fqdn,
    /// Since when, in seconds.
    pub since: u64,
}

/// Sends an application message to all other members.
pub struct SendMessage;

impl Endpoint for SendMessage {
    const DESCRIPTION: Description =
        Description::new(0x0310, ServiceName::Ds, "send_message").signed_by(SenderKind::Leaf).costs(Class::Standard);
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

/// The keys that verify the DS.
pub struct DsKeys;

impl Endpoint for DsKeys {
    const DESCRIPTION: Description = Description::new(0x0320, ServiceName::Ds, "ds_keys");
    type Request = Empty;
    type Reply = DsPublicKeys;
}

/// The published keys of a DS, current and next; they are the external senders of its groups.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct DsPublicKeys {
    /// The keys.
    pub verifying: List<ServiceKey, MAX_KEYS>,
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

/// Longest MLS message or structure: a commit of 256 Adds is below 512 KiB, a tree of 1,000 leaves too.
pub const MAX_MLS: usize = 1 << 20;
/// Joiners in one commit (07).
pub const MAX_ADDS: usize = 256;
/// A commit's new leaves: its Adds and its path.
pub const MAX_ADDS_AND_PATH: usize = MAX_ADDS + 1;
/// Members of a group (05).
pub const MAX_MEMBERS: usize = 1_000;
/// Stored proposals of an epoch (07).
pub const MAX_PROPOSALS: usize = 64;
/// Attribution info, sealed: it holds a credential and a few hashes and keys.
pub const MAX_ATTRIBUTION: usize = 2 << 10;
