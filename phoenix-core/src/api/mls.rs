//! What the protocol adds to MLS: numbers of the private-use range, and the extensions' contents (03, 06, 07).

use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use crate::{Pseudonym, api::delivery::MAX_MEMBERS, wire::List};

/// MLS credential type of a [`LeafCredential`](crate::credential::LeafCredential).
pub const LEAF_CREDENTIAL: u16 = 0xf0a1;
/// Group context extension: [`Roles`].
pub const ROLES_EXTENSION: u16 = 0xf0b1;
/// Group context extension: [`Connection`].
pub const CONNECTION_EXTENSION: u16 = 0xf0b2;
/// KeyPackage extension: [`QueueConfigHash`].
pub const QUEUE_CONFIG_EXTENSION: u16 = 0xf0b3;
/// KeyPackage extension: [`Versions`].
pub const VERSIONS_EXTENSION: u16 = 0xf0b4;

/// Who may do what: leaves not listed are plain members.
#[derive(Clone, Debug, Default, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct Roles {
    /// Members that may add, remove and change roles, by pseudonym: an index is never a right.
    pub admins: List<Pseudonym, MAX_MEMBERS>,
}

/// Lets one more user into a connection group; set at its creation only.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct Connection {
    /// SHA-256 of the join code.
    pub join_code_hash: [u8; 32],
    /// Last second in which the code works.
    pub expires: u64,
}

/// Ties a KeyPackage to the queue config that goes with it, without showing the config to the group.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct QueueConfigHash {
    /// SHA-256 of the encoded [`ClientQueueConfig`](super::queue::ClientQueueConfig).
    pub hash: [u8; 32],
}

/// Versions of the protocol that a client speaks.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct Versions {
    /// In ascending order.
    pub versions: List<u16, 16>,
}
