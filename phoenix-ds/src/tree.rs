//! The public MLS group of an epoch, and its record (07, "State").

use openmls::{
    ciphersuite::hash_ref::ProposalRef,
    messages::group_info::VerifiableGroupInfo,
    prelude::{
        GroupId as MlsGroupId, LeafNode, LeafNodeIndex, OpenMlsSignaturePublicKey, ProposalStore,
        PublicGroup, RatchetTreeIn, StagedCommit, Verifiable as _,
    },
};
use openmls_rust_crypto::RustCrypto;
use phoenix_core::{
    Epoch, Failure, Fault, GroupId, LeafIndex, Reject,
    api::delivery::{GroupInfoUpdate, MAX_PROPOSALS, Mls, RatchetTree},
    crypto::Suite,
    port::MAX_VALUE,
    wire::{List, Opaque, Wire},
};
use tls_codec::{DeserializeBytes as _, Serialize as _, TlsDeserializeBytes, TlsSerialize, TlsSize};

use crate::mls::{
    self, frames,
    storage::{Slots, lock},
};

/// A public group, with the GroupInfo of its epoch and its stored proposals as MLSMessages.
pub(crate) struct Tree {
    /// The group.
    pub(crate) group: PublicGroup,
    /// Its GroupInfo, as an MLSMessage.
    pub(crate) group_info: Mls,
    /// Stored proposals, as MLSMessages.
    pub(crate) proposals: List<Mls, MAX_PROPOSALS>,
    slots: Slots,
}

/// A tree as it is stored; the first four parts, and queued proposals, are OpenMLS's in postcard.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct TreeRecord {
    tree: Opaque<MAX_VALUE>,
    context: Opaque<MAX_PART>,
    transcript: Opaque<MAX_PART>,
    tag: Opaque<MAX_PART>,
    group_info: Mls,
    proposals: List<StoredProposal, MAX_PROPOSALS>,
}

#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
struct StoredProposal {
    reference: Opaque<MAX_PART>,
    queued: Opaque<MAX_PART>,
    message: Mls,
}

impl Tree {
    /// The group that a creator brings, its leaves and its GroupInfo verified.
    ///
    /// # Errors
    /// [`Reject::Malformed`] where anything of it is not valid.
    pub(crate) fn create(crypto: &RustCrypto, tree: &Mls, group_info: &Mls) -> Result<Self, Failure> {
        let slots = Slots::default();
        let nodes = RatchetTreeIn::tls_deserialize_exact_bytes(tree).map_err(|_| TREE)?;
        let info = frames::group_info(group_info)?;
        check_extensions(&info)?;
        let (group, _) = PublicGroup::from_external(crypto, &slots, nodes, info, ProposalStore::new())
            .map_err(|_| Reject::Malformed("group"))?;
        Ok(Self { group, group_info: group_info.clone(), proposals: List::default(), slots })
    }

    /// The group that was stored.
    ///
    /// # Errors
    /// [`Fault::Broken`] where it is not what [`Tree::record`] made.
    pub(crate) fn load(record: TreeRecord, id: &GroupId) -> Result<Self, Fault> {
        let TreeRecord { tree, context, transcript, tag, group_info, proposals } = record;
        let slots = Slots::default();
        *lock(&slots.tree) = Some(tree.to_vec());
        *lock(&slots.context) = Some(context.to_vec());
        *lock(&slots.transcript) = Some(transcript.to_vec());
        *lock(&slots.tag) = Some(tag.to_vec());
        let mut messages = Vec::new();
        for StoredProposal { reference, queued, message } in proposals {
            lock(&slots.proposals).push((reference.to_vec(), queued.to_vec()));
            messages.push(message);
        }
        let group = PublicGroup::load(&slots, &MlsGroupId::from_slice(&id.encode())).map_err(|_| STORED)?;
        let proposals = List::new(messages).map_err(|_| STORED)?;
        Ok(Self { group: group.ok_or(STORED)?, group_info, proposals, slots })
    }

    /// The record of the group.
    ///
    /// # Errors
    /// [`Reject::TooLarge`] where the group is over the bound of stored values.
    pub(crate) fn record(&self) -> Result<TreeRecord, Failure> {
        let slot = |slot| lock::<Option<Vec<u8>>>(slot).clone().ok_or(STORED);
        let queued = lock(&self.slots.proposals);
        let proposals = queued.iter().zip(&self.proposals).map(|((reference, queued), message)| {
            let (reference, queued) = (Opaque::new(reference.clone())?, Opaque::new(queued.clone())?);
            Ok(StoredProposal { reference, queued, message: message.clone() })
        });
        let proposals = proposals.collect::<Result<Vec<_>, Reject>>()?;
        Ok(TreeRecord {
            tree: Opaque::new(slot(&self.slots.tree)?).map_err(Reject::from)?,
            context: Opaque::new(slot(&self.slots.context)?).map_err(Reject::from)?,
            transcript: Opaque::new(slot(&self.slots.transcript)?).map_err(Reject::from)?,
            tag: Opaque::new(slot(&self.slots.tag)?).map_err(Reject::from)?,
            group_info: self.group_info.clone(),
            proposals: List::new(proposals).map_err(Reject::from)?,
        })
    }

    /// The group of the next epoch, its GroupInfo built from what the committer sends and verified with the key
    /// that its leaf has then. The proposal store is empty.
    ///
    /// # Errors
    /// [`Reject::Malformed`] where the GroupInfo is not valid.
    pub(crate) fn advance(
        mut self,
        crypto: &RustCrypto,
        staged: StagedCommit,
        committer: LeafIndex,
        update: &GroupInfoUpdate,
    ) -> Result<Self, Failure> {
        self.group.merge_commit(&self.slots, staged).map_err(|_| Fault::Broken("merging a commit"))?;
        self.proposals = List::default();
        let encoded =
            |part: Result<Vec<u8>, _>| part.map_err(|_: tls_codec::Error| Fault::Broken("encoding a group"));
        let context = encoded(self.group.group_context().tls_serialize_detached())?;
        let tag = encoded(self.group.confirmation_tag().tls_serialize_detached())?;
        let signed = (committer.0, &update.signature);
        self.group_info = frames::group_info_message(&context, &update.extensions, &tag, signed)?;
        let info = frames::group_info(&self.group_info)?;
        check_extensions(&info)?;
        let leaf = self.leaf(committer).ok_or(Fault::Broken("a committer without a leaf"))?;
        let scheme = self.group.ciphersuite().signature_algorithm();
        let key = OpenMlsSignaturePublicKey::from_signature_key(leaf.signature_key().clone(), scheme);
        info.verify(crypto, &key).map_err(|_| Reject::Malformed("group info"))?;
        Ok(self)
    }

    /// The references of stored proposals.
    ///
    /// # Errors
    /// [`Fault::Broken`] where they are not what was stored.
    pub(crate) fn stored(&self) -> Result<Vec<ProposalRef>, Fault> {
        let queued = self.group.queued_proposals(&self.slots).map_err(|_| STORED)?;
        Ok(queued.into_iter().map(|(reference, _)| reference).collect())
    }

    /// Stores a proposal.
    #[cfg(test)]
    pub(crate) fn store(
        &mut self,
        queued: openmls::prelude::QueuedProposal,
        message: Mls,
    ) -> Result<(), Fault> {
        self.group.add_proposal(&self.slots, queued).map_err(|_| STORED)?;
        let messages = self.proposals.iter().cloned().chain([message]).collect();
        self.proposals = List::new(messages).map_err(|_| STORED)?;
        Ok(())
    }

    /// The leaf at an index.
    pub(crate) fn leaf(&self, leaf: LeafIndex) -> Option<&LeafNode> {
        self.group.leaf(LeafNodeIndex::new(leaf.0))
    }

    /// The group's epoch.
    pub(crate) fn epoch(&self) -> Epoch {
        Epoch(self.group.group_context().epoch().as_u64())
    }

    /// The group's suite.
    ///
    /// # Errors
    /// [`Reject::Malformed`] where it is not one of the protocol's.
    pub(crate) fn suite(&self) -> Result<Suite, Reject> {
        mls::suite(self.group.ciphersuite())
    }

    /// The ratchet tree (RFC 9420 §12.4.3.3).
    ///
    /// # Errors
    /// [`Reject::TooLarge`] where it is over the bound of trees.
    pub(crate) fn ratchet_tree(&self) -> Result<RatchetTree, Failure> {
        let encoded = self.group.export_ratchet_tree().tls_serialize_detached();
        Ok(Opaque::new(encoded.map_err(|_| Fault::Broken("encoding a tree"))?).map_err(Reject::from)?)
    }
}

/// The GroupInfo must have the key for external joins, and travels without its tree.
fn check_extensions(info: &VerifiableGroupInfo) -> Result<(), Reject> {
    let extensions = info.extensions();
    if extensions.external_pub().is_none() || extensions.ratchet_tree().is_some() {
        return Err(Reject::Malformed("group info extensions"));
    }
    Ok(())
}

const TREE: Reject = Reject::Malformed("tree");
const STORED: Fault = Fault::Broken("stored group");
/// A context, hash, tag or proposal: the largest holds a group's roles and external senders.
const MAX_PART: usize = 256 << 10;

#[cfg(test)]
mod tests;
