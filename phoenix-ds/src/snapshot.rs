//! What joiners need: the tree as of the commit that added them (07, "State").

use phoenix_core::{
    KeyPackageRef,
    api::delivery::{MAX_ADDS, RatchetTree, Roster},
    crypto::VerifyingKey,
    wire::List,
};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

/// The state of an epoch that added members.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct Snapshot {
    /// Who may read it.
    pub(crate) joiners: List<SnapshotJoiner, MAX_ADDS>,
    /// The ratchet tree.
    pub(crate) tree: RatchetTree,
    /// The members' keys.
    pub(crate) roster: Roster,
}

/// A member that was added.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct SnapshotJoiner {
    /// The KeyPackage that it was added by.
    pub(crate) package: KeyPackageRef,
    /// The KeyPackage's signature key: verifies its frame.
    pub(crate) key: VerifyingKey,
    /// Last second of the KeyPackage, after which nobody joins by it.
    pub(crate) expires: u64,
}

/// Snapshots kept for a group at most; then the oldest goes, and its joiners resync (07).
pub(crate) const MAX_SNAPSHOTS: usize = 16;
