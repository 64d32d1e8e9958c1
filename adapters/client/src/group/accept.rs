//! Accepting an offer: joining its connection group by external commit (04, step 5).

use std::sync::Arc;

use openmls::prelude::{LeafNodeParameters, MlsGroup, ProtocolMessage};
use openmls_traits::OpenMlsProvider;
use phoenix_core::{
    GroupId, LeafIndex,
    api::delivery::{
        CommitAad, ExternalCommitInfo, ExternalCommitInfoReply, ExternalCommitInfoRequest, GroupAccess,
        GroupInfoUpdate, JoinConnectionGroup, JoinConnectionGroupRequest, MemberKeys, Mls,
    },
    crypto::{seal_with_key, sha256},
    port::Circuit,
    wire::{List, Opaque, Sender, Wire},
};

use super::{
    Act, Answer, GroupRecord, Sent, Standing, join_config,
    members::{Tell, roster_keys},
    seal_link_key,
    trust::Effort,
};
use crate::{
    call::{Auth, Route},
    error::{ClientError, mls},
    event::OfferId,
    mls::{
        encoding::{group_info, group_info_update, message, mls_group_id, protocol_message, ratchet_tree},
        leaf::{OwnLeaf, capabilities},
        mls_signer,
        provider::Blob,
        suite_of,
    },
    offer::ConnectionOfferTbs,
    session::Session,
    state::Offered,
};

impl Session {
    /// Accepts an offer: joins its group, and gives our friendship keys to whoever made it.
    pub(crate) async fn accept(&mut self, offer: &OfferId) -> Result<GroupId, ClientError> {
        let offered = self.state.offers.get(&offer.0).ok_or(ClientError::State("no such offer"))?;
        let payload = offered.offer.payload.clone();
        let group = payload.group.clone();
        if self.state.groups.get(&group).is_none_or(|record| record.standing != Standing::Joining) {
            self.begin_joining(&payload).await?;
        }
        self.send_join(&group).await?;
        Ok(group)
    }

    /// Makes the external commit, and keeps it until it is known what became of it.
    async fn begin_joining(&mut self, payload: &ConnectionOfferTbs) -> Result<(), ClientError> {
        let group = payload.group.clone();
        let circuit = self.fresh_circuit();
        let route = Route { domain: group.domain.clone(), circuit: Circuit(circuit) };
        let access = GroupAccess {
            group: group.clone(),
            ear_key_id: payload.ear_key_id,
            ear_key: payload.ear_key.clone(),
        };
        let (config_id, config) = self.make_group_config(&group.domain).await?;
        let request =
            ExternalCommitInfoRequest { access: access.clone(), join_code: Some(payload.join_code.clone()) };
        let info = self.call::<ExternalCommitInfo>(&route, None, &request).await?;
        let identity = (&self.state.account.credential, self.signer.as_ref());
        let suite = suite_of(group_info(&info.group_info)?.ciphersuite())?;
        let leaf = OwnLeaf::generate(suite, identity, self.ports.clock.now(), &mut self.chance)?;
        let aad = self.join_aad(payload, &leaf)?;
        let (mls_group, commit, group_info) = self.external_commit(&group, &info, &leaf, &aad)?;
        let own_key = Blob(leaf.key.verifying_key().key.to_vec());
        let own_link = aad.keys.first().map(|keys| keys.link_key.clone()).unwrap_or_default();
        let mut fresh = roster_keys(&info.roster, leaves(&mls_group));
        fresh.insert(own_key, own_link);
        let hash = sha256(&commit);
        let request = JoinConnectionGroupRequest {
            access: access.clone(),
            join_code: payload.join_code.clone(),
            commit,
            group_info,
            config,
        };
        let body = Opaque::new(request.encode())?;
        let keys = (payload.credential_key.clone(), payload.profile_key.clone());
        let record = GroupRecord {
            standing: Standing::Joining,
            sent: Some(Sent { act: Act::Join, plan: None, hash, body, fresh: fresh.clone(), leaf: None }),
            ..GroupRecord::new(circuit, access, keys, (leaf, config_id))
        };
        self.state.configs.insert(config_id, group.clone());
        self.state.groups.insert(group.clone(), record);
        self.keep(group.clone(), mls_group);
        self.refresh_members(&group, &fresh, None)?;
        let checked = self.check_offerer(&group, payload).await;
        if checked.is_err() {
            self.forget(&group);
        }
        checked
    }

    /// Before we join: whoever made the offer is there, and nobody else.
    async fn check_offerer(
        &mut self,
        group: &GroupId,
        payload: &ConnectionOfferTbs,
    ) -> Result<(), ClientError> {
        let own = LeafIndex(self.mls(group)?.0.own_leaf_index().u32());
        self.know_ourselves(group, own)?;
        let now = self.now();
        self.verify_members(group, now, (Tell::Nobody, Effort::Patient)).await?;
        let client = &payload.credential.payload;
        self.check_pin(&client.client.user, &client.key)?;
        self.check_pair(group, &client.client.user, &client.key)
    }

    async fn send_join(&mut self, group: &GroupId) -> Result<(), ClientError> {
        let record = self.group(group)?;
        let Some(sent) = record.sent.clone() else { return Ok(()) };
        let route = self.group_route(group)?;
        let key = self.group(group)?.leaf.key.clone();
        let auth = Auth::new(Sender::NewKey(key.verifying_key()), Arc::new(key));
        let request = JoinConnectionGroupRequest::decode(&sent.body)?;
        match self.call::<JoinConnectionGroup>(&route, Some(&auth), &request).await {
            Ok(_) => self.finish_joining(group).await,
            Err(error) if error.is_transient() => Err(error),
            // It may be the echo of a try, of an earlier call perhaps, whose answer was lost: then our queue says that it
            // was accepted.
            Err(_) if self.was_accepted(group, sent.hash).await? => Ok(()),
            Err(error) => {
                self.forget(group);
                Err(error)
            }
        }
    }

    /// The DS accepted our external commit: the connection stands, if the group is who the offer said.
    pub(crate) async fn finish_joining(&mut self, group: &GroupId) -> Result<(), ClientError> {
        let record = self.group_mut(group)?;
        let Some(sent) = record.sent.take() else { return Ok(()) };
        record.merged = sent.hash;
        record.standing = Standing::Member;
        let own = LeafIndex(self.mls(group)?.0.own_leaf_index().u32());
        self.know_ourselves(group, own)?;
        let offers = self.state.offers.iter();
        let id = offers.filter(|(_, it)| it.offer.payload.group == *group).map(|(id, _)| *id).next();
        let Some(Offered { offer, .. }) = id.and_then(|id| self.state.offers.remove(&id)) else {
            return Ok(());
        };
        let client = &offer.payload.credential.payload;
        let answer = Answer {
            user: client.client.user.clone(),
            key: client.key.clone(),
            credential: offer.payload.credential.fingerprint(),
            friendship: offer.payload.friendship.clone(),
        };
        if let Err(error) = self.befriend(group, answer) {
            self.forget(group);
            return Err(error);
        }
        let now = self.now();
        self.meet_members(group, now, Tell::Nobody).await
    }

    /// What the commit tells the members: our link key, and, for whoever made the offer, our friendship keys.
    fn join_aad(&mut self, payload: &ConnectionOfferTbs, leaf: &OwnLeaf) -> Result<CommitAad, ClientError> {
        let pseudonym = leaf.credential.pseudonym;
        let link_key = seal_link_key(&payload.credential_key, pseudonym, &leaf.link_key, &mut self.chance)?;
        let friendship = self.record()?.friendship.encode();
        let sealed =
            seal_with_key(&payload.credential_key, &payload.group.encode(), &friendship, &mut self.chance);
        let keys = List::new(vec![MemberKeys { link_key, profile_key: Opaque::default() }])?;
        Ok(CommitAad { keys, sealed: Opaque::new(sealed)? })
    }

    fn external_commit(
        &self,
        group: &GroupId,
        info: &ExternalCommitInfoReply,
        leaf: &OwnLeaf,
        aad: &CommitAad,
    ) -> Result<(MlsGroup, Mls, GroupInfoUpdate), ClientError> {
        let verifiable = group_info(&info.group_info)?;
        if *verifiable.group_id() != mls_group_id(group) {
            return Err(ClientError::Unexpected("the state of another group"));
        }
        let proposals = info.proposals.iter().filter_map(|it| match protocol_message(it) {
            Ok(ProtocolMessage::PublicMessage(message)) => Some(*message),
            _ => None,
        });
        let signer = mls_signer(&leaf.key);
        let (mls_group, bundle) = MlsGroup::external_commit_builder()
            .with_ratchet_tree(ratchet_tree(&info.tree)?)
            .with_config(join_config())
            .with_proposals(proposals.collect())
            .with_aad(aad.encode().to_vec())
            .build_group(&self.provider, verifiable, leaf.credential_with_key())
            .map_err(mls("join a group"))?
            .leaf_node_parameters(LeafNodeParameters::builder().with_capabilities(capabilities()).build())
            .load_psks(self.provider.storage())
            .map_err(mls("join a group"))?
            .create_group_info(true)
            .use_ratchet_tree_extension(false)
            .build(self.provider.rand(), self.provider.crypto(), &signer, |_| true)
            .map_err(mls("join a group"))?
            .finalize(&self.provider)
            .map_err(mls("join a group"))?;
        let update = group_info_update(bundle.group_info())?;
        Ok((mls_group, message(bundle.commit())?, update))
    }
}

/// The leaves of a group, with their signature keys.
pub(crate) fn leaves(group: &MlsGroup) -> impl Iterator<Item = (LeafIndex, Vec<u8>)> + '_ {
    group.members().map(|member| (LeafIndex(member.index.u32()), member.signature_key))
}
