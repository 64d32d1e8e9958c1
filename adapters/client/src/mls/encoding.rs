//! MLS structures as bytes, and the few fields that OpenMLS does not show.

use openmls::{
    messages::group_info::{GroupInfo, VerifiableGroupInfo},
    prelude::{MlsMessageBodyIn, MlsMessageIn, MlsMessageOut, ProtocolMessage, RatchetTreeIn, Welcome},
};
use phoenix_core::{
    GroupId, Reject,
    api::delivery::{GroupInfoUpdate, MAX_MLS, Mls},
    crypto::sha256,
    wire::{Opaque, Wire},
};
use tls_codec::{DeserializeBytes, Serialize, Size, TlsDeserializeBytes, TlsSerialize, TlsSize};

use crate::error::{ClientError, mls};

/// The MLS group id: the encoding of ours (01).
pub(crate) fn mls_group_id(group: &GroupId) -> openmls::prelude::GroupId {
    openmls::prelude::GroupId::from_slice(&group.encode())
}

/// Encodes any MLS structure.
pub(crate) fn encode(value: &impl Serialize) -> Result<Mls, ClientError> {
    let bytes = value.tls_serialize_detached().map_err(mls("encode"))?;
    Ok(Opaque::new(bytes)?)
}

/// Encodes an MLS message.
pub(crate) fn message(message: &MlsMessageOut) -> Result<Mls, ClientError> {
    Ok(Opaque::new(message.to_bytes().map_err(mls("encode"))?)?)
}

/// What the DS needs to build the GroupInfo of the next epoch.
pub(crate) fn group_info_update(info: Option<&GroupInfo>) -> Result<GroupInfoUpdate, ClientError> {
    let info = info.ok_or(ClientError::State("a commit without GroupInfo"))?;
    let extensions = encode(info.extensions())?;
    let signature = Opaque::decode(&encode(info.signature())?)?;
    Ok(GroupInfoUpdate { extensions, signature })
}

/// Reads a handshake or application message.
pub(crate) fn protocol_message(bytes: &[u8]) -> Result<ProtocolMessage, ClientError> {
    let message =
        MlsMessageIn::tls_deserialize_exact_bytes(bytes).map_err(|_| Reject::Malformed("MLS message"))?;
    Ok(message.try_into_protocol_message().map_err(|_| Reject::Malformed("MLS message"))?)
}

/// Reads a GroupInfo.
pub(crate) fn group_info(bytes: &[u8]) -> Result<VerifiableGroupInfo, ClientError> {
    match MlsMessageIn::tls_deserialize_exact_bytes(bytes).map(MlsMessageIn::extract) {
        Ok(MlsMessageBodyIn::GroupInfo(info)) => Ok(info),
        _ => Err(Reject::Malformed("GroupInfo").into()),
    }
}

/// Reads a Welcome.
pub(crate) fn welcome(bytes: &[u8]) -> Result<Welcome, ClientError> {
    match MlsMessageIn::tls_deserialize_exact_bytes(bytes).map(MlsMessageIn::extract) {
        Ok(MlsMessageBodyIn::Welcome(welcome)) => Ok(welcome),
        _ => Err(Reject::Malformed("Welcome").into()),
    }
}

/// Reads a ratchet tree. A blank node is one byte, and costs a hash in each epoch as any other does.
pub(crate) fn ratchet_tree(bytes: &[u8]) -> Result<RatchetTreeIn, ClientError> {
    let tree = RatchetTreeIn::tls_deserialize_exact_bytes(bytes).map_err(|_| Reject::Malformed("tree"))?;
    let filled = tree.nodes().map(|node| node.tls_serialized_len());
    let blanks = filled.fold(bytes.len(), usize::saturating_sub);
    match blanks > MAX_NODES {
        true => Err(Reject::TooLarge("tree").into()),
        false => Ok(tree),
    }
}

/// SHA-256 of a Welcome's encrypted GroupInfo: the same for all joiners of one commit.
pub(crate) fn encrypted_group_info_hash(welcome: &[u8]) -> Result<[u8; 32], ClientError> {
    let WelcomeMessage { encrypted_group_info, .. } = WelcomeMessage::decode(welcome)?;
    Ok(sha256(&encrypted_group_info))
}

/// A Welcome as an MLSMessage (RFC 9420 §6, §12.4.3.1), read only as far as we need.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
struct WelcomeMessage {
    version: u16,
    wire_format: u16,
    suite: u16,
    secrets: Opaque<MAX_MLS>,
    encrypted_group_info: Opaque<MAX_MLS>,
}

/// Blank nodes, and bytes around others, in a tree: it has at most a thousand leaves, and twice as many nodes.
const MAX_NODES: usize = 4_096;

#[cfg(test)]
mod tests {
    use phoenix_core::{
        api::delivery::MAX_TREE,
        wire::{Opaque, Wire},
    };

    use super::{encrypted_group_info_hash, ratchet_tree};

    #[test]
    fn a_tree_of_more_blank_nodes_than_any_group_has_is_refused() {
        let blank = |nodes| Opaque::<MAX_TREE>::new(vec![0; nodes]).expect("short").encode();

        assert!(ratchet_tree(&blank(4_000)).is_ok());
        assert!(ratchet_tree(&blank(4_200)).is_err());
    }

    #[test]
    fn what_is_no_welcome_has_no_hash() {
        for length in 0..16 {
            assert!(encrypted_group_info_hash(&vec![0xff; length]).is_err());
        }
    }
}
