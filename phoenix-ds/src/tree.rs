//! The public MLS group of an epoch, and its record (07, "State").

use openmls::{
    ciphersuite::hash_ref::ProposalRef,
    extensions::SenderExtensionIndex,
    messages::{external_proposals::ExternalProposal, group_info::VerifiableGroupInfo},
    prelude::{
        GroupId as MlsGroupId, LeafNode, LeafNodeIndex, OpenMlsSignaturePublicKey, ProcessedMessageContent,
        ProposalStore, PublicGroup, QueuedProposal, RatchetTreeIn, Sender as MlsSender, StagedCommit,
        Verifiable as _,
    },
};
use openmls_rust_crypto::{OpenMlsRustCrypto, RustCrypto};
use phoenix_core::{
    Epoch, Failure, Fault, GroupId, LeafIndex, Reject,
    api::{
        delivery::{GroupInfoUpdate, MAX_PROPOSALS, Mls, Proposals, RatchetTree},
        queue::MAX_KEY_PACKAGE,
    },
    crypto::Suite,
    port::MAX_VALUE,
    wire::{List, Opaque, Wire},
};
use tls_codec::{DeserializeBytes as _, Serialize as _, TlsDeserializeBytes, TlsSerialize, TlsSize};

use crate::mls::{
    self, frames,
    signer::ExternalSigner,
    storage::{Slots, lock},
};

/// A public group, with the GroupInfo of its epoch and its stored proposals.
pub(crate) struct Tree {
    /// The group.
    pub(crate) group: PublicGroup,
    /// Its GroupInfo, as an MLSMessage.
    pub(crate) group_info: Mls,
    /// Stored proposals, one per leaf.
    pub(crate) pending: Vec<Pending>,
    slots: Slots,
}

/// A stored proposal: that a leaf be removed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pending {
    /// What commits name it by.
    pub(crate) reference: ProposalRef,
    /// Whom it removes.
    pub(crate) leaf: LeafIndex,
    /// Why.
    pub(crate) reason: Reason,
    /// The proposal, as an MLSMessage.
    pub(crate) message: Mls,
}

/// Why a leaf is to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
#[repr(u8)]
pub(crate) enum Reason {
    /// It wants to leave.
    Left = 1,
    /// Its queue is gone.
    Gone = 2,
    /// Its queue is at a domain that the operator has blocked.
    Blocked = 3,
    /// It has not committed for long; a commit of its own withdraws that.
    Inactive = 4,
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
    leaf: LeafIndex,
    reason: Reason,
}

impl Tree {
    /// The group that a creator brings, its leaves and its GroupInfo verified.
    ///
    /// # Errors
    /// [`Reject::Malformed`] where anything of it is not valid; [`Reject::TooLarge`] for a tree that cannot be of one leaf.
    pub(crate) fn create(crypto: &RustCrypto, tree: &Mls, group_info: &Mls) -> Result<Self, Failure> {
        // Before it is parsed: each byte of it may be a node, and each leaf brings a signature to be verified.
        if tree.len() > MAX_LONE_TREE {
            return Err(Reject::TooLarge("tree").into());
        }
        let slots = Slots::default();
        let nodes = RatchetTreeIn::tls_deserialize_exact_bytes(tree).map_err(|_| TREE)?;
        let info = frames::group_info(group_info)?;
        check_extensions(&info)?;
        let (group, _) = PublicGroup::from_external(crypto, &slots, nodes, info, ProposalStore::new())
            .map_err(|_| Reject::Malformed("group"))?;
        Ok(Self { group, group_info: group_info.clone(), pending: Vec::new(), slots })
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
        let mut pending = Vec::new();
        for StoredProposal { reference, queued, message, leaf, reason } in proposals {
            let named = postcard::from_bytes(&reference).map_err(|_| STORED)?;
            pending.push(Pending { reference: named, leaf, reason, message });
            lock(&slots.proposals).push((reference.to_vec(), queued.to_vec()));
        }
        let group = PublicGroup::load(&slots, &MlsGroupId::from_slice(&id.encode())).map_err(|_| STORED)?;
        Ok(Self { group: group.ok_or(STORED)?, group_info, pending, slots })
    }

    /// The record of the group.
    ///
    /// # Errors
    /// [`Reject::TooLarge`] where the group is over the bound of stored values.
    pub(crate) fn record(&self) -> Result<TreeRecord, Failure> {
        let slot = |slot| lock::<Option<Vec<u8>>>(slot).clone().ok_or(STORED);
        let queued = lock(&self.slots.proposals);
        let proposals = queued.iter().zip(&self.pending).map(|((reference, queued), pending)| {
            let (reference, queued) = (Opaque::new(reference.clone())?, Opaque::new(queued.clone())?);
            let Pending { reference: _, leaf, reason, message } = pending.clone();
            Ok(StoredProposal { reference, queued, message, leaf, reason })
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
        self.pending = Vec::new();
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

    /// Stores a proposal that was processed.
    ///
    /// # Errors
    /// [`Reject::TooLarge`] where there are as many as an epoch may have.
    pub(crate) fn store(
        &mut self,
        queued: QueuedProposal,
        (leaf, reason): (LeafIndex, Reason),
        message: Mls,
    ) -> Result<(), Failure> {
        if self.pending.len() >= MAX_PROPOSALS {
            return Err(Reject::TooLarge("proposals").into());
        }
        let reference = queued.proposal_reference_ref().clone();
        self.group.add_proposal(&self.slots, queued).map_err(|_| STORED)?;
        self.pending.push(Pending { reference, leaf, reason, message });
        Ok(())
    }

    /// Proposes, as an external sender, that a leaf be removed, and stores that. Where the group's list of senders
    /// is such that members could not take it, nothing is stored.
    ///
    /// # Errors
    /// [`Reject::TooLarge`] as for [`Tree::store`].
    pub(crate) fn propose(
        &mut self,
        crypto: &RustCrypto,
        signer: &ExternalSigner<'_>,
        target: (LeafIndex, Reason),
    ) -> Result<(), Failure> {
        let context = self.group.group_context();
        let made = ExternalProposal::new_remove::<OpenMlsRustCrypto>(
            LeafNodeIndex::new(target.0.0),
            context.group_id().clone(),
            context.epoch(),
            signer,
            SenderExtensionIndex::new(signer.place),
        );
        let encoded = made.ok().and_then(|message| message.to_bytes().ok());
        let message =
            Opaque::new(encoded.ok_or(Fault::Broken("a proposal of the DS"))?).map_err(Reject::from)?;
        let proposal = frames::proposal(&message, context.group_id().as_slice())?;
        let Ok(processed) = self.group.process_message(crypto, proposal) else { return Ok(()) };
        match processed.into_content() {
            ProcessedMessageContent::ProposalMessage(queued) => self.store(*queued, target, message),
            _ => Ok(()),
        }
    }

    /// The stored proposal that removes a leaf.
    pub(crate) fn pending(&self, leaf: LeafIndex) -> Option<&Pending> {
        self.pending.iter().find(|pending| pending.leaf == leaf)
    }

    /// How many proposals the DS may add, which has at most so many an epoch, and no more than the store takes.
    pub(crate) fn room_for_own(&self, most: usize) -> usize {
        let queued = self.group.queued_proposals(&self.slots).unwrap_or_default();
        let own = queued.iter().filter(|(_, it)| matches!(it.sender(), MlsSender::External(_))).count();
        most.saturating_sub(own).min(MAX_PROPOSALS.saturating_sub(self.pending.len()))
    }

    /// The stored proposals, as members get them.
    pub(crate) fn proposals(&self) -> Proposals {
        // As many as the store holds at most.
        List::new(self.pending.iter().map(|it| it.message.clone()).collect()).unwrap_or_default()
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

/// A tree of one leaf is as long as a KeyPackage's leaf.
const MAX_LONE_TREE: usize = MAX_KEY_PACKAGE;
const TREE: Reject = Reject::Malformed("tree");
const STORED: Fault = Fault::Broken("stored group");
/// A context, hash, tag or proposal: the largest holds a group's roles and external senders.
const MAX_PART: usize = 256 << 10;

#[cfg(test)]
mod tests;
