//! What OpenMLS itself does with a commit: reads the public group, processes, merges and writes it.

use std::sync::{Mutex, PoisonError};

use openmls::prelude::{
    GroupId, MlsMessageBodyIn, MlsMessageIn, ProcessedMessageContent, ProposalStore, PublicGroup,
    RatchetTreeIn,
};
use openmls_rust_crypto::RustCrypto;
use openmls_traits::{
    public_storage::PublicStorageProvider,
    storage::{CURRENT_VERSION, Entity, traits},
};
use phoenix_core::api::delivery::Mls;
use serde::de::DeserializeOwned;
use tls_codec::DeserializeBytes;

/// Follows a group by its commits.
pub(crate) struct Observer {
    slots: Slots,
    id: GroupId,
}

impl Observer {
    pub(crate) fn new((tree, info): &(Vec<u8>, Mls)) -> Self {
        let (slots, crypto) = (Slots::default(), RustCrypto::default());
        let nodes = RatchetTreeIn::tls_deserialize_exact_bytes(tree).unwrap();
        let MlsMessageBodyIn::GroupInfo(info) = read(info) else { panic!("no GroupInfo") };
        let store = ProposalStore::new();
        let (group, _) = PublicGroup::from_external(&crypto, &slots, nodes, info, store).unwrap();
        Self { slots, id: group.group_id().clone() }
    }

    #[inline(never)]
    pub(crate) fn follow(&self, commit: &Mls) {
        let crypto = RustCrypto::default();
        let mut group = PublicGroup::load(&self.slots, &self.id).unwrap().unwrap();
        let MlsMessageBodyIn::PublicMessage(commit) = read(commit) else { panic!("no commit") };
        let processed = group.process_message(&crypto, commit).unwrap();
        let ProcessedMessageContent::StagedCommitMessage(staged) = processed.into_content() else { panic!() };
        group.merge_commit(&self.slots, *staged).unwrap();
    }
}

fn read(message: &Mls) -> MlsMessageBodyIn {
    MlsMessageIn::tls_deserialize_exact_bytes(message).unwrap().extract()
}

/// The codec is the one that the DS keeps groups in.
#[derive(Default)]
struct Slots {
    tree: Slot,
    context: Slot,
    transcript: Slot,
    tag: Slot,
}

type Slot = Mutex<Option<Vec<u8>>>;
type Outcome<T> = Result<T, postcard::Error>;

fn put<T: Entity<CURRENT_VERSION>>(slot: &Slot, value: &T) -> Outcome<()> {
    *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(postcard::to_allocvec(value)?);
    Ok(())
}

fn take<T: DeserializeOwned>(slot: &Slot) -> Outcome<Option<T>> {
    let stored = slot.lock().unwrap_or_else(PoisonError::into_inner);
    stored.as_deref().map(postcard::from_bytes).transpose()
}

impl PublicStorageProvider<CURRENT_VERSION> for Slots {
    type PublicError = postcard::Error;

    fn write_tree<G: traits::GroupId<CURRENT_VERSION>, T: traits::TreeSync<CURRENT_VERSION>>(
        &self,
        _: &G,
        tree: &T,
    ) -> Outcome<()> {
        put(&self.tree, tree)
    }

    fn write_interim_transcript_hash<
        G: traits::GroupId<CURRENT_VERSION>,
        T: traits::InterimTranscriptHash<CURRENT_VERSION>,
    >(
        &self,
        _: &G,
        hash: &T,
    ) -> Outcome<()> {
        put(&self.transcript, hash)
    }

    fn write_context<G: traits::GroupId<CURRENT_VERSION>, T: traits::GroupContext<CURRENT_VERSION>>(
        &self,
        _: &G,
        context: &T,
    ) -> Outcome<()> {
        put(&self.context, context)
    }

    fn write_confirmation_tag<
        G: traits::GroupId<CURRENT_VERSION>,
        T: traits::ConfirmationTag<CURRENT_VERSION>,
    >(
        &self,
        _: &G,
        tag: &T,
    ) -> Outcome<()> {
        put(&self.tag, tag)
    }

    fn queue_proposal<
        G: traits::GroupId<CURRENT_VERSION>,
        R: traits::ProposalRef<CURRENT_VERSION>,
        P: traits::QueuedProposal<CURRENT_VERSION>,
    >(
        &self,
        _: &G,
        _: &R,
        _: &P,
    ) -> Outcome<()> {
        Ok(())
    }

    fn queued_proposals<
        G: traits::GroupId<CURRENT_VERSION>,
        R: traits::ProposalRef<CURRENT_VERSION>,
        P: traits::QueuedProposal<CURRENT_VERSION>,
    >(
        &self,
        _: &G,
    ) -> Outcome<Vec<(R, P)>> {
        // Nobody proposes anything.
        Ok(Vec::new())
    }

    fn tree<G: traits::GroupId<CURRENT_VERSION>, T: traits::TreeSync<CURRENT_VERSION>>(
        &self,
        _: &G,
    ) -> Outcome<Option<T>> {
        take(&self.tree)
    }

    fn group_context<G: traits::GroupId<CURRENT_VERSION>, T: traits::GroupContext<CURRENT_VERSION>>(
        &self,
        _: &G,
    ) -> Outcome<Option<T>> {
        take(&self.context)
    }

    fn interim_transcript_hash<
        G: traits::GroupId<CURRENT_VERSION>,
        T: traits::InterimTranscriptHash<CURRENT_VERSION>,
    >(
        &self,
        _: &G,
    ) -> Outcome<Option<T>> {
        take(&self.transcript)
    }

    fn confirmation_tag<G: traits::GroupId<CURRENT_VERSION>, T: traits::ConfirmationTag<CURRENT_VERSION>>(
        &self,
        _: &G,
    ) -> Outcome<Option<T>> {
        take(&self.tag)
    }

    fn delete_tree<G: traits::GroupId<CURRENT_VERSION>>(&self, _: &G) -> Outcome<()> {
        Ok(())
    }

    fn delete_confirmation_tag<G: traits::GroupId<CURRENT_VERSION>>(&self, _: &G) -> Outcome<()> {
        Ok(())
    }

    fn delete_context<G: traits::GroupId<CURRENT_VERSION>>(&self, _: &G) -> Outcome<()> {
        Ok(())
    }

    fn delete_interim_transcript_hash<G: traits::GroupId<CURRENT_VERSION>>(&self, _: &G) -> Outcome<()> {
        Ok(())
    }

    fn remove_proposal<G: traits::GroupId<CURRENT_VERSION>, R: traits::ProposalRef<CURRENT_VERSION>>(
        &self,
        _: &G,
        _: &R,
    ) -> Outcome<()> {
        Ok(())
    }

    fn clear_proposal_queue<G: traits::GroupId<CURRENT_VERSION>, R: traits::ProposalRef<CURRENT_VERSION>>(
        &self,
        _: &G,
    ) -> Outcome<()> {
        Ok(())
    }
}
