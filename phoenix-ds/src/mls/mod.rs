//! What the DS takes from OpenMLS, in the protocol's own types.

pub(crate) mod context;
pub(crate) mod frames;
pub(crate) mod signer;
pub(crate) mod storage;

use openmls::prelude::{Ciphersuite, CredentialType, LeafNode, LeafNodeIndex};
use phoenix_core::{
    LeafIndex, Reject,
    api::mls::LEAF_CREDENTIAL,
    credential::LeafCredential,
    crypto::{Suite, VerifyingKey},
    wire::{Opaque, Wire},
};

/// The suite of a group (03).
///
/// # Errors
/// [`Reject::Malformed`] for any other of MLS's.
pub(crate) const fn suite(ciphersuite: Ciphersuite) -> Result<Suite, Reject> {
    match ciphersuite {
        Ciphersuite::MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519 => Ok(Suite::Ed25519),
        Ciphersuite::MLS_128_DHKEMP256_AES128GCM_SHA256_P256 => Ok(Suite::P256),
        _ => Err(Reject::Malformed("suite")),
    }
}

/// The signature key of a leaf.
///
/// # Errors
/// [`Reject::Malformed`] where it is longer than any key of the suites.
pub(crate) fn signature_key(suite: Suite, leaf: &LeafNode) -> Result<VerifyingKey, Reject> {
    let key = Opaque::new(leaf.signature_key().as_slice().to_vec())?;
    Ok(VerifyingKey { suite, key })
}

/// The credential of a leaf (03).
///
/// # Errors
/// [`Reject::Malformed`] where it is of another type.
pub(crate) fn credential(leaf: &LeafNode) -> Result<LeafCredential, Reject> {
    if leaf.credential().credential_type() != CredentialType::Other(LEAF_CREDENTIAL) {
        return Err(Reject::Malformed("credential type"));
    }
    LeafCredential::decode(leaf.credential().serialized_content())
}

/// The index in the protocol's type.
pub(crate) fn leaf_index(index: LeafNodeIndex) -> LeafIndex {
    LeafIndex(index.u32())
}
