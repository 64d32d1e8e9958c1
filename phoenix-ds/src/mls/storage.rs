//! The storage that OpenMLS reads a public group from and writes it to: four slots and a list, in memory.

use std::sync::{Mutex, MutexGuard, PoisonError};

use openmls_traits::{
    public_storage::PublicStorageProvider,
    storage::{CURRENT_VERSION, Entity, traits},
};
use serde::de::DeserializeOwned;

/// One group's public state, each part encoded with postcard.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    /// The ratchet tree with what is known of it.
    pub(crate) tree: Mutex<Option<Vec<u8>>>,
    /// The group context.
    pub(crate) context: Mutex<Option<Vec<u8>>>,
    /// The interim transcript hash.
    pub(crate) transcript: Mutex<Option<Vec<u8>>>,
    /// The confirmation tag.
    pub(crate) tag: Mutex<Option<Vec<u8>>>,
    /// References and proposals of the proposal store.
    pub(crate) proposals: Mutex<Vec<(Vec<u8>, Vec<u8>)>>,
}

type Slot = Mutex<Option<Vec<u8>>>;
type Outcome<T> = Result<T, postcard::Error>;

/// The content of a slot. One thread at a time has a group, so nothing ever waits here.
pub(crate) fn lock<T>(slot: &Mutex<T>) -> MutexGuard<'_, T> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

fn put<T: Entity<CURRENT_VERSION>>(slot: &Slot, value: &T) -> Outcome<()> {
    *lock(slot) = Some(postcard::to_allocvec(value)?);
    Ok(())
}

fn take<T: DeserializeOwned>(slot: &Slot) -> Outcome<Option<T>> {
    lock(slot).as_deref().map(postcard::from_bytes).transpose()
}

fn clear(slot: &Slot) -> Outcome<()> {
    *lock(slot) = None;
    Ok(())
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
        reference: &R,
        proposal: &P,
    ) -> Outcome<()> {
        let queued = (postcard::to_allocvec(reference)?, postcard::to_allocvec(proposal)?);
        lock(&self.proposals).push(queued);
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
        let proposals = lock(&self.proposals);
        proposals.iter().map(|(r, p)| Ok((postcard::from_bytes(r)?, postcard::from_bytes(p)?))).collect()
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
        clear(&self.tree)
    }

    fn delete_confirmation_tag<G: traits::GroupId<CURRENT_VERSION>>(&self, _: &G) -> Outcome<()> {
        clear(&self.tag)
    }

    fn delete_context<G: traits::GroupId<CURRENT_VERSION>>(&self, _: &G) -> Outcome<()> {
        clear(&self.context)
    }

    fn delete_interim_transcript_hash<G: traits::GroupId<CURRENT_VERSION>>(&self, _: &G) -> Outcome<()> {
        clear(&self.transcript)
    }

    fn remove_proposal<G: traits::GroupId<CURRENT_VERSION>, R: traits::ProposalRef<CURRENT_VERSION>>(
        &self,
        _: &G,
        reference: &R,
    ) -> Outcome<()> {
        let reference = postcard::to_allocvec(reference)?;
        lock(&self.proposals).retain(|(queued, _)| *queued != reference);
        Ok(())
    }

    fn clear_proposal_queue<G: traits::GroupId<CURRENT_VERSION>, R: traits::ProposalRef<CURRENT_VERSION>>(
        &self,
        _: &G,
    ) -> Outcome<()> {
        lock(&self.proposals).clear();
        Ok(())
    }
}
