//! User records of the queuing service (06, "State").

use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use super::super::{Description, Empty, Endpoint, SenderKind, ServiceName};
use crate::{
    QsClientId, QsUserId,
    crypto::{HpkePublicKey, VerifyingKey},
    time::Month,
    token::Class,
    wire::{Flag, List, Opaque, Secret},
};

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

/// Changes the keys of a user record: who signs for it, and who may fetch AddPackages.
pub struct UpdateUser;

impl Endpoint for UpdateUser {
    const DESCRIPTION: Description = Description::new(0x0203, ServiceName::Qs, "update_user")
        .local()
        .signed_by(SenderKind::QsUser)
        .costs(Class::Standard);
    type Request = UpdateUserRequest;
    type Reply = Route;
}

/// What changes of a user record. The frame is co-signed by the new auth key, where there is one.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct UpdateUserRequest {
    /// Signs for the record from now on; the former key does no more.
    pub auth_key: Option<VerifyingKey>,
    /// The secret half of new friendship tokens.
    pub friendship_secret: Option<Secret<32>>,
    /// What becomes of the tokens given before.
    pub former: FormerTokens,
}

/// What becomes of the friendship tokens that were given before a new secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
#[repr(u8)]
pub enum FormerTokens {
    /// They open nothing from now on.
    Revoked = 1,
    /// They are good for another 24 h, so that friends have time to learn the new one.
    Grace = 2,
}

/// What the QS keeps of the calling user.
pub struct GetUser;

impl Endpoint for GetUser {
    const DESCRIPTION: Description = Description::new(0x0204, ServiceName::Qs, "get_user")
        .local()
        .signed_by(SenderKind::QsUser)
        .harmless();
    type Request = Empty;
    type Reply = QsUserRecord;
}

/// A user record, as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct QsUserRecord {
    /// Signs for the record.
    pub auth_key: VerifyingKey,
    /// Until when a former friendship secret is good, in seconds; none where there is none.
    pub former_until: Option<u64>,
    /// The user's clients.
    pub clients: List<QsClientRecord, MAX_QS_CLIENTS>,
}

/// A client record, as its user sees it.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct QsClientRecord {
    /// Which client.
    pub client: QsClientId,
    /// Signs for it, and its queue configs.
    pub auth_key: VerifyingKey,
    /// Queue configs of an earlier generation are void.
    pub min_generation: u32,
    /// The last month in which it read its queue.
    pub active: Month,
    /// Whether it has left a push token.
    pub has_push_token: Flag,
    /// The number that the next entry of its queue gets.
    pub next_seq: u64,
    /// How many entries wait in its queue.
    pub queued: u64,
    /// About how many bytes they have.
    pub queued_bytes: u64,
    /// Its AddPackages, by suite.
    pub packages: List<PackagesLeft, MAX_SUITES>,
}

/// How many AddPackages of a suite can still be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct PackagesLeft {
    /// The MLS ciphersuite, by its number.
    pub suite: u16,
    /// Those that are served once.
    pub ordinary: u16,
    /// Those that stay.
    pub last_resort: u16,
}

/// Ends a user record, its clients, their queues and their AddPackages.
pub struct DeleteUser;

impl Endpoint for DeleteUser {
    const DESCRIPTION: Description =
        Description::new(0x0205, ServiceName::Qs, "delete_user").local().signed_by(SenderKind::QsUser);
    type Request = Empty;
    type Reply = Empty;
}

/// A sealed record id.
pub const MAX_ROUTE: usize = 64;
/// Clients of one user (06).
pub const MAX_QS_CLIENTS: usize = 10;
/// MLS ciphersuites that AddPackages are of (03).
pub const MAX_SUITES: usize = 2;
