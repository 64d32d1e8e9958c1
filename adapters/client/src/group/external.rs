//! External commits: by which one joins a connection group, or comes back into a group.

use openmls::prelude::{LeafNodeParameters, MlsGroup, ProtocolMessage};
use openmls_traits::OpenMlsProvider;
use phoenix_core::{
    GroupId,
    api::delivery::{CommitAad, ExternalCommitInfoReply, GroupInfoUpdate, Mls},
    wire::Wire,
};

use super::join_config;
use crate::{
    error::{ClientError, mls},
    mls::{
        encoding::{group_info, group_info_update, message, mls_group_id, protocol_message, ratchet_tree},
        leaf::{OwnLeaf, capabilities},
        mls_signer,
    },
    session::Session,
};

/// An external commit, and the group as it is where the DS accepts it.
pub(crate) struct External {
    pub(crate) mls_group: MlsGroup,
    pub(crate) commit: Mls,
    pub(crate) group_info: GroupInfoUpdate,
}

impl Session {
    /// Makes an external commit; the group as it was held before is forgotten once it is made, its record is not.
    pub(crate) fn external_commit(
        &self,
        group: &GroupId,
        info: &ExternalCommitInfoReply,
        leaf: &OwnLeaf,
        aad: &CommitAad,
    ) -> Result<External, ClientError> {
        let verifiable = group_info(&info.group_info)?;
        if *verifiable.group_id() != mls_group_id(group) {
            return Err(ClientError::Unexpected("the state of another group"));
        }
        let proposals = info.proposals.iter().filter_map(|it| match protocol_message(it) {
            Ok(ProtocolMessage::PublicMessage(message)) => Some(*message),
            _ => None,
        });
        let signer = mls_signer(&leaf.key);
        let built = MlsGroup::external_commit_builder()
            .with_ratchet_tree(ratchet_tree(&info.tree)?)
            .with_config(join_config())
            .with_proposals(proposals.collect())
            .with_aad(aad.encode().to_vec())
            // Whoever came long ago and never committed is in the group all the same.
            .skip_lifetime_validation()
            .build_group(&self.provider, verifiable, leaf.credential_with_key())
            .map_err(mls("join a group"))?
            .leaf_node_parameters(LeafNodeParameters::builder().with_capabilities(capabilities()).build())
            .load_psks(self.provider.storage())
            .map_err(mls("join a group"))?
            .create_group_info(true)
            .use_ratchet_tree_extension(false)
            .build(self.provider.rand(), self.provider.crypto(), &signer, |_| true)
            .map_err(mls("join a group"))?;
        let storage = self.provider.storage();
        if let Ok(Some(mut former)) = MlsGroup::load(storage, &mls_group_id(group)) {
            // What cannot be deleted is overwritten, or of no use.
            let _ = former.delete(storage);
        }
        let (mls_group, bundle) = built.finalize(&self.provider).map_err(mls("join a group"))?;
        let group_info = group_info_update(bundle.group_info())?;
        Ok(External { mls_group, commit: message(bundle.commit())?, group_info })
    }
}
