//! Endpoints of the queuing service (06), and what goes through queues.

mod clients;
mod configs;
mod deliver;
mod entries;
mod packages;
mod push;
mod rules;
mod users;

pub use clients::{
    CreateClient, CreateClientRequest, DeleteClient, DeleteClientRequest, NewClientKey, UpdateClient,
    UpdateQsClientRequest,
};
pub use configs::{ClientQueueConfig, MAX_CONFIG, QueueConfig, QueueConfigTbs, SealedQueueConfig};
pub use deliver::{
    Deliver, DeliverReply, DeliverRequest, FanOutMessage, MAX_BACK, MAX_RECIPIENTS, Recipient,
};
pub use entries::{
    Dequeue, DequeueReply, DequeueRequest, Entry, EntryKind, EntryPayload, MAX_DEQUEUE, MAX_ENTRY,
    NotifyClass, QueueEntry, SealedEntry,
};
pub use packages::{
    AddPackage, AddPackages, GetAddPackages, GetAddPackagesRequest, KeyPackageBatch, KeyPackageBatchTbs,
    MAX_ADD_PACKAGES, MAX_KEY_PACKAGE, MAX_LAST_RESORT, MAX_LINK_KEY, PublishAddPackages,
    PublishAddPackagesRequest,
};
pub use push::{
    MAX_PUSH_ADDRESS, MAX_SEALED_PUSH_TOKEN, PushToken, SealedPushToken, SetPushToken, SetPushTokenRequest,
    WebPushSubscription,
};
pub use rules::{ConfigRule, MAX_RULE_CHANGES, RuleChange, UpdateBlocklist, UpdateBlocklistRequest};
pub use users::{
    CreateUser, CreateUserRequest, DeleteUser, FormerTokens, FriendshipToken, GetUser, MAX_QS_CLIENTS,
    MAX_ROUTE, MAX_SUITES, PackagesLeft, QsClientRecord, QsUserRecord, Route, UpdateUser, UpdateUserRequest,
};

use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use super::{Description, Empty, Endpoint, ServiceName};
use crate::{
    KeyId,
    crypto::{HpkePublicKey, VerifyingKey},
    wire::List,
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

/// Keys of one kind that a service publishes at once: current, next, and those retired but still valid.
pub const MAX_KEYS: usize = 16;
