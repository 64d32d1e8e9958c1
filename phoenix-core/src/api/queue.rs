//! Endpoints of the queuing service (06), and what goes through queues.

use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use super::{Description, Empty, Endpoint, SenderKind, ServiceName, federation::RecipientResult};
use crate::{
    ConfigId, Fqdn, KeyId, KeyPackageRef, QsClientId, QsUserId,
    crypto::{HpkeCiphertext, HpkePublicKey, Signature, VerifyingKey},
    time::Month,
    token::Class,
    wire::{Flag, List, Opaque, Secret},
};

/// The keys of the QS: those that queue configs and deliveries are sealed to, and those that verify it.
pub struct QsKeys;

impl Endpoint for QsKeys {
    const DESCRIPTION: Description = Description::new(0x0201, ServiceName::Qs, "qs_keys").published();
    type Request = Empty;
    type Reply = QsPublicKeys;
}

/// The published keys of a QS, current and next.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct QsPublicKeys {
    /// Verify key package batches and transactions.
    pub verifying: List<ServiceKey, MAX_KEYS>,
    /// Queue configs are sealed to the one that is valid longest.
    pub queue_config: List<SealingKey, MAX_KEYS>,
    /// Deliveries from other homeservers are sealed to the one that is valid longest.
    pub delivery: List<SealingKey, MAX_KEYS>,
}

/// A key that verifies signatures of a service.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct ServiceKey {
    /// Names it.
    pub id: KeyId,
    /// The key, with its suite.
    pub key: VerifyingKey,
    /// First second of its validity.
    pub not_before: u64,
    /// Last second of its validity.
    pub not_after: u64,
}

/// A key that something is sealed to.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct SealingKey {
    /// Names it.
    pub id: KeyId,
    /// The key, with its suite.
    pub key: HpkePublicKey,
    /// First second of its validity.
    pub not_before: u64,
    /// Last second of its validity.
    pub not_after: u64,
}

/// Makes a pseudonymous record with its first client and queue.
pub struct CreateUser;

impl Endpoint for CreateUser {
    const DESCRIPTION: Description = Description::new(0x0202, ServiceName::Qs, "create_user")
        .local()
        .signed_by(SenderKind::NewKey)
        .costs(Class::Home);
    type Request = CreateUserRequest;
    type Reply = Route;
}

/// A new record. The frame is signed by `user_key` and co-signed by `client_key`.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct CreateUserRequest {
    /// The record's id, random.
    pub user: QsUserId,
    /// The first client's id, random.
    pub client: QsClientId,
    /// Signs for the record.
    pub user_key: VerifyingKey,
    /// Signs for the client, and its queue configs.
    pub client_key: VerifyingKey,
    /// The secret half of the friendship token; the record keeps its hash.
    pub friendship_secret: Secret<32>,
    /// The queue's ratchet is sealed to this key.
    pub queue_key: HpkePublicKey,
}

/// Leads from a friendship token to its record; only the QS can read it.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct Route(pub Opaque<MAX_ROUTE>);

/// Authorises fetching a user's AddPackages.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct FriendshipToken {
    /// Where the record is.
    pub route: Route,
    /// Shows that the user gave the token.
    pub secret: Secret<32>,
}

/// Publishes a client's AddPackages.
pub struct PublishAddPackages;

impl Endpoint for PublishAddPackages {
    const DESCRIPTION: Description = Description::new(0x0207, ServiceName::Qs, "publish_add_packages")
        .local()
        .signed_by(SenderKind::QsClient)
        .costs(Class::Standard)
        .body(1 << 20);
    type Request = PublishAddPackagesRequest;
    type Reply = Empty;
}

/// AddPackages to publish.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct PublishAddPackagesRequest {
    /// Whose; signs the frame.
    pub client: QsClientId,
    /// Each is served once; 1 to 100.
    pub packages: List<AddPackage, MAX_ADD_PACKAGES>,
    /// Served in turn when the others are gone; 1 to 8 of each suite offered.
    pub last_resort: List<AddPackage, MAX_LAST_RESORT>,
    /// Whether the packages there stay, before the new ones.
    pub append: Flag,
}

/// What it takes to add a client to a group.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct AddPackage {
    /// An MLS KeyPackage (RFC 9420 §10) with a pseudonymous leaf.
    pub key_package: Opaque<MAX_KEY_PACKAGE>,
    /// Where the group's DS is to send what is for this client; its hash stands in the KeyPackage.
    pub config: ClientQueueConfig,
    /// The key of the leaf's identity link, under the friendship encryption key.
    pub link_key: Opaque<MAX_LINK_KEY>,
}

/// Takes one AddPackage of each client of the user who gave the friendship token.
pub struct GetAddPackages;

impl Endpoint for GetAddPackages {
    const DESCRIPTION: Description =
        Description::new(0x0208, ServiceName::Qs, "get_add_packages").costs(Class::Standard);
    type Request = GetAddPackagesRequest;
    type Reply = AddPackages;
}

/// Asks for AddPackages.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct GetAddPackagesRequest {
    /// The user's permission.
    pub token: FriendshipToken,
    /// The MLS ciphersuite wanted, by its number.
    pub suite: u16,
}

/// One AddPackage for each client, and the QS's word for their freshness.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct AddPackages {
    /// 1 to 10.
    pub packages: List<AddPackage, 10>,
    /// Names them all.
    pub batch: KeyPackageBatch,
}

/// The QS's signed statement that these KeyPackages were handed out by it, and when. Label `KeyPackageBatch`,
/// over the encoding without the signature.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct KeyPackageBatch {
    /// What is signed.
    pub payload: KeyPackageBatchTbs,
    /// By the QS's signing key.
    pub signature: Signature,
}

/// The signed part of a [`KeyPackageBatch`].
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct KeyPackageBatchTbs {
    /// Whose QS it was.
    pub domain: Fqdn,
    /// Which packages.
    pub packages: List<KeyPackageRef, 10>,
    /// When, in seconds.
    pub issued_at: u64,
    /// The QS key that signs.
    pub key: KeyId,
}

/// Reads a queue; what lies below `ack_below` is deleted.
pub struct Dequeue;

impl Endpoint for Dequeue {
    const DESCRIPTION: Description = Description::new(0x0209, ServiceName::Qs, "dequeue")
        .local()
        .signed_by(SenderKind::QsClient)
        .harmless();
    type Request = DequeueRequest;
    type Reply = DequeueReply;
}

/// Which entries of a queue are wanted.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct DequeueRequest {
    /// The first number wanted.
    pub from: u64,
    /// How many, 1 to 500.
    pub max: u16,
    /// All entries below it were read and may go; at most `from`.
    pub ack_below: u64,
    /// How many seconds to wait for an entry where there is none; at most 30.
    pub wait_s: u8,
}

/// Entries of a queue.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct DequeueReply {
    /// In order.
    pub entries: List<QueueEntry, MAX_DEQUEUE>,
    /// How many more wait behind them.
    pub remaining: u32,
    /// Entries below this number were dropped unread.
    pub gap_before: Option<u64>,
}

/// An entry as it is stored and handed out.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct QueueEntry {
    /// Its number: 0, 1, 2 …
    pub seq: u64,
    /// What it is.
    pub payload: EntryPayload,
}

/// What an entry is, to the queue.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
#[repr(u8)]
pub enum EntryPayload {
    /// A fresh secret of the ratchet, sealed to the queue encryption key.
    #[tls_codec(discriminant = 1)]
    Ratchet(HpkeCiphertext),
    /// A padded [`Entry`] under the ratchet's next message key.
    #[tls_codec(discriminant = 2)]
    Message(SealedEntry),
}

/// An entry under a message key of the ratchet.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct SealedEntry {
    /// Goes into the key's derivation.
    pub salt: [u8; 16],
    /// AES-256-GCM.
    pub ciphertext: Opaque<MAX_ENTRY>,
}

/// The content of an entry, before padding.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct Entry {
    /// What the content is.
    pub kind: EntryKind,
    /// The queue config that it came through; zeros in direct queues.
    pub config: ConfigId,
    /// How urgent its sender thinks it is.
    pub notify: NotifyClass,
    /// When the group's DS accepted it, in seconds.
    pub accepted_at: u64,
    /// The client's business (07).
    pub content: Opaque<MAX_ENTRY>,
}

/// What the content of an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
#[repr(u8)]
pub enum EntryKind {
    /// From a group's DS.
    FanOut = 1,
    /// From another client, through a direct queue.
    Direct = 2,
    /// From the QS: fewer than ten AddPackages are left.
    PackagesLow = 3,
}

/// How urgent a message is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
#[repr(u8)]
pub enum NotifyClass {
    /// No push.
    Silent = 1,
    /// As usual.
    #[default]
    Normal = 2,
    /// At once.
    Urgent = 3,
}

/// Where a group's DS sends a member's messages.
#[derive(Clone, Debug, PartialEq, Eq, Hash, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct ClientQueueConfig {
    /// The member's homeserver.
    pub domain: Fqdn,
    /// Whether any DS may use it; else the group's only.
    pub any: Flag,
    /// The rest, for the member's QS only.
    pub sealed: SealedQueueConfig,
}

/// A [`QueueConfig`] sealed to the QS: info "phoenix queue config", aad = the byte of `any`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct SealedQueueConfig {
    /// The queue config key that it is sealed to.
    pub key: KeyId,
    /// What is sealed.
    pub sealed: HpkeCiphertext,
}

/// Which queue to deliver to, and for whom. Signed by the client's auth key, label `QueueConfig`, over the
/// payload.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct QueueConfig {
    /// What is signed.
    pub payload: QueueConfigTbs,
    /// By the client's auth key.
    pub signature: Signature,
}

/// The signed part of a [`QueueConfig`].
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct QueueConfigTbs {
    /// The queue.
    pub client: QsClientId,
    /// Names the config to its owner.
    pub config: ConfigId,
    /// The domain whose DS may use it; none for any.
    pub audience: Option<Fqdn>,
    /// The last month in which it may be used.
    pub expires: Month,
    /// Configs below the client's `min_generation` are void.
    pub generation: u32,
    /// Opens the client's push token, where a push is wanted.
    pub push_key: Option<Secret<32>>,
}

/// Delivers a message to at most 60 queues of this homeserver; from a lane, or from a transaction.
pub struct Deliver;

impl Endpoint for Deliver {
    const DESCRIPTION: Description =
        Description::new(0x0212, ServiceName::Qs, "deliver").internal().body(2 << 20);
    type Request = DeliverRequest;
    type Reply = DeliverReply;
}

/// A message from a group's DS for recipients of one domain (07, "Delivery").
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct FanOutMessage {
    /// How urgent it is.
    pub notify: NotifyClass,
    /// Whether it goes to open streams only.
    pub ephemeral: Flag,
    /// When the DS accepted it, in seconds.
    pub accepted_at: u64,
    /// Whom it is for.
    pub recipients: List<Recipient, MAX_RECIPIENTS>,
    /// Sealed for the group's members.
    pub content: Opaque<MAX_ENTRY>,
}

/// One queue that a message is for.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct Recipient {
    /// As in the [`ClientQueueConfig`].
    pub any: Flag,
    /// As in the [`ClientQueueConfig`].
    pub config: SealedQueueConfig,
}

/// A delivery to this homeserver's queues.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct DeliverRequest {
    /// The domain whose DS accepted the message.
    pub source: Fqdn,
    /// Set for deliveries of a transaction: its results are kept under this id, so that a repeat changes nothing.
    pub receipt: Option<[u8; 16]>,
    /// To whom what cannot be delivered is told; empty for deliveries of a transaction.
    pub back: Opaque<MAX_BACK>,
    /// Bytes that each recipient counts for at another homeserver: its share of a content that was sent once for all
    /// recipients, also where these are only some of them; 0 within a homeserver.
    pub share: u32,
    /// At most 60 recipients.
    pub message: FanOutMessage,
}

/// What became of a delivery, per recipient.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct DeliverReply {
    /// In the order of the recipients.
    pub results: List<RecipientResult, MAX_RECIPIENTS>,
}

/// Keys of one kind that a service publishes at once: current, next, and those retired but still valid.
pub const MAX_KEYS: usize = 16;
/// A sealed record id.
pub const MAX_ROUTE: usize = 64;
/// AddPackages in one publication (06).
pub const MAX_ADD_PACKAGES: usize = 100;
/// Last-resort AddPackages in one publication: eight of each of the two suites (06).
pub const MAX_LAST_RESORT: usize = 16;
/// A KeyPackage is about 2 KB, with its padded identity link of 1 KiB.
pub const MAX_KEY_PACKAGE: usize = 8 << 10;
/// A 16- or 32-byte key with nonce and tag.
pub const MAX_LINK_KEY: usize = 128;
/// Entries in one answer (06).
pub const MAX_DEQUEUE: usize = 500;
/// Longest content of an entry: the largest commit with its welcome (02).
pub const MAX_ENTRY: usize = 2 << 20;
/// Recipients of one message: the members of a group (05).
pub const MAX_RECIPIENTS: usize = 1_000;
/// An address for what cannot be delivered, sealed.
pub const MAX_BACK: usize = 512;
