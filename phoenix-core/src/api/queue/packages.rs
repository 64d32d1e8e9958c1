//! AddPackages: what it takes to add a client to a group (06, "AddPackages").

use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use super::{
    super::{Description, Empty, Endpoint, SenderKind, ServiceName},
    ClientQueueConfig, FriendshipToken,
};
use crate::{
    Fqdn, KeyId, KeyPackageRef, QsClientId,
    crypto::Signature,
    token::Class,
    wire::{Flag, List, Opaque},
};

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

/// AddPackages in one publication (06).
pub const MAX_ADD_PACKAGES: usize = 100;
/// Last-resort AddPackages in one publication: eight of each of the two suites (06).
pub const MAX_LAST_RESORT: usize = 16;
/// A KeyPackage is about 2 KB, with its padded identity link of 1 KiB.
pub const MAX_KEY_PACKAGE: usize = 8 << 10;
/// A 16- or 32-byte key with nonce and tag.
pub const MAX_LINK_KEY: usize = 128;
