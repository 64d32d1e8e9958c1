//! What only a hostile member makes.

use openmls::{
    credentials::NewSignerBundle,
    prelude::{CredentialWithKey, Extensions, GroupContext, KeyPackage, LeafNodeIndex},
    schedule::PreSharedKeyId,
};
use openmls_traits::OpenMlsProvider as _;
use phoenix_core::api::delivery::{CommitRequest, Mls};

use super::{
    Member, World,
    member::Commit,
    mls::{aad, message, update},
};

impl Member {
    /// Proposes that another be removed.
    pub(crate) fn proposing_removal(&mut self, leaf: u32) -> Mls {
        let signer = self.signer();
        let group = self.group.as_mut().unwrap();
        group.clear_pending_commit(self.provider.storage()).unwrap();
        let made = group.propose_remove_member(&self.provider, &signer, LeafNodeIndex::new(leaf));
        message(&made.unwrap().0)
    }

    /// Proposes that somebody be added.
    pub(crate) fn proposing_an_add(&mut self, world: &World) -> Mls {
        let package = Self::new(world, "alpha.test").package(world);
        let signer = self.signer();
        let group = self.group.as_mut().unwrap();
        group.clear_pending_commit(self.provider.storage()).unwrap();
        message(&group.propose_add_member(&self.provider, &signer, &package).unwrap().0)
    }

    /// Proposes another context.
    pub(crate) fn proposing_context(&mut self, context: Extensions<GroupContext>) -> Mls {
        let signer = self.signer();
        let group = self.group.as_mut().unwrap();
        group.clear_pending_commit(self.provider.storage()).unwrap();
        message(&group.propose_group_context_extensions(&self.provider, context, &signer).unwrap().0)
    }

    /// From now on, its commits hold a pre-shared key.
    pub(crate) fn propose_psk_by_value(&mut self) {
        let signer = self.signer();
        let id = PreSharedKeyId::external(b"a secret of some".to_vec(), vec![7; 32]);
        id.store(&self.provider, b"that the others do not know").unwrap();
        let group = self.group.as_mut().unwrap();
        group.clear_pending_commit(self.provider.storage()).unwrap();
        group.propose_pre_shared_key_by_value(&self.provider, &signer, id).unwrap();
    }

    /// Forgets what it proposed and heard in this epoch.
    pub(crate) fn forget_proposals(&mut self) {
        let group = self.group.as_mut().unwrap();
        group.clear_pending_commit(self.provider.storage()).unwrap();
        group.clear_pending_proposals(self.provider.storage()).unwrap();
    }

    /// A commit whose path brings the signature key of another, who lends it.
    pub(crate) fn commit_with_key_of(&mut self, other: &Self, adds: Vec<KeyPackage>) -> Commit {
        let (signer, lent, access) = (self.signer(), other.signer(), self.access.clone().unwrap());
        let signature_key = other.credential_with_key().signature_key;
        let credential_with_key = CredentialWithKey { signature_key, ..self.credential_with_key() };
        let group = self.group.as_mut().unwrap();
        group.clear_pending_commit(self.provider.storage()).unwrap();
        group.set_aad(aad(adds.len()));
        let bundle = group
            .commit_builder()
            .force_self_update(true)
            .propose_adds(adds)
            .load_psks(self.provider.storage())
            .unwrap()
            .create_group_info(true)
            .build_with_new_signer(
                self.provider.rand(),
                self.provider.crypto(),
                &signer,
                NewSignerBundle { signer: &lent, credential_with_key },
                |_| true,
            )
            .unwrap()
            .stage_commit(&self.provider)
            .unwrap();
        let welcome = bundle.to_welcome_msg().map(|it| message(&it));
        let group_info = update(bundle.group_info().unwrap());
        Commit { request: CommitRequest { access, commit: message(bundle.commit()), group_info }, welcome }
    }
}
