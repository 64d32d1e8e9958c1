//! What OpenMLS itself does with a commit: reads the public group, processes, merges and writes it.

use openmls::prelude::{
    GroupId, MlsMessageBodyIn, MlsMessageIn, ProcessedMessageContent, ProposalStore, PublicGroup,
    RatchetTreeIn,
};
use openmls_rust_crypto::RustCrypto;
use phoenix_core::api::delivery::Mls;
use tls_codec::DeserializeBytes;

use crate::storage::Slots;

/// Follows a group by its commits, in the storage that the DS keeps groups in.
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
