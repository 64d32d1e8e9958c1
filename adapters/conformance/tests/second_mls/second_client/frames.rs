//! The few fields of MLS messages that mls-rs does not show (RFC 9420 §8.1, §12.4.3).

use phoenix_core::{
    api::delivery::{GroupInfoUpdate, MAX_MLS, Mls},
    crypto::sha256,
    wire::{Opaque, Wire},
};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

/// What the DS needs of a GroupInfo, which is an MLSMessage, to build the same.
pub(crate) fn group_info_update(message: &[u8]) -> GroupInfoUpdate {
    let GroupInfo { extensions, signature, .. } = GroupInfo::decode(message).unwrap();
    GroupInfoUpdate { extensions: Opaque::new(extensions.encode()).unwrap(), signature }
}

/// SHA-256 of a Welcome's encrypted GroupInfo: the same for all joiners of one commit.
pub(crate) fn encrypted_group_info_hash(welcome: &[u8]) -> [u8; 32] {
    sha256(&Welcome::decode(welcome).unwrap().encrypted_group_info)
}

/// Head of an MLSMessage: version and wire format.
pub(crate) const HEAD: usize = 4;
/// The head of a KeyPackage as an MLSMessage (RFC 9420 §6).
pub(crate) const KEY_PACKAGE: [u8; HEAD] = [0, 1, 0, 5];

#[derive(Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
struct GroupInfo {
    head: [u8; HEAD],
    context: GroupContext,
    extensions: Mls,
    confirmation_tag: Opaque<64>,
    signer: u32,
    signature: Opaque<128>,
}

#[derive(Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
struct GroupContext {
    version: u16,
    suite: u16,
    group: Opaque<512>,
    epoch: u64,
    tree_hash: Opaque<64>,
    transcript: Opaque<64>,
    extensions: Mls,
}

#[derive(Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
struct Welcome {
    head: [u8; HEAD],
    suite: u16,
    secrets: Opaque<MAX_MLS>,
    encrypted_group_info: Opaque<MAX_MLS>,
}
