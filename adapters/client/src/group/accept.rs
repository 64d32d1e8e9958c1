//! Accepting an offer: joining its connection group by external commit (04, step 5).

use std::sync::Arc;

use openmls::prelude::MlsGroup;
use phoenix_core::{
    ConfigId, GroupId, LeafIndex,
    api::delivery::{
        CommitAad, ExternalCommitInfo, ExternalCommitInfoRequest, GroupAccess, JoinConnectionGroup,
        JoinConnectionGroupRequest,
    },
    crypto::{seal_with_key, sha256},
    port::Circuit,
    wire::{List, Opaque, Sender, Wire},
};

use super::{
    Act, Answer, GroupRecord, Sent, Standing,
    external::External,
    members::{Tell, roster_keys},
    trust::Effort,
};
use crate::{
    call::{Auth, Route},
    error::ClientError,
    event::OfferId,
    mls::{encoding::group_info, leaf::OwnLeaf, provider::Blob, suite_of},
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
        let config_id = ConfigId(self.chance.bytes());
        let config = self.make_group_config(config_id, &group.domain).await?;
        let request =
            ExternalCommitInfoRequest { access: access.clone(), join_code: Some(payload.join_code.clone()) };
        let info = self.call::<ExternalCommitInfo>(&route, None, &request).await?;
        let identity = (&self.state.account.credential, self.signer.as_ref());
        let suite = suite_of(group_info(&info.group_info)?.ciphersuite())?;
        let leaf = OwnLeaf::generate(suite, identity, self.ports.clock.now(), &mut self.chance)?;
        let aad = self.join_aad(payload, &leaf)?;
        let External { mls_group, commit, group_info } = self.external_commit(&group, &info, &leaf, &aad)?;
        let own_key = Blob(leaf.key.verifying_key().key.to_vec());
        let mut fresh = roster_keys(&info.roster, leaves(&mls_group));
        fresh.insert(own_key, aad.keys.first().cloned().unwrap_or_default());
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
        let (config_generation, queue) = (self.record()?.generation, self.record()?.client);
        let record = GroupRecord {
            standing: Standing::Joining,
            config_generation,
            config_until: self.config_due(),
            sent: Some(Sent { act: Act::Join, plan: None, hash, body, fresh: fresh.clone(), leaf: None }),
            ..GroupRecord::new(circuit, access, keys, (leaf, config_id, queue))
        };
        self.state.configs.insert(config_id, group.clone());
        self.state.groups.insert(group.clone(), record);
        self.keep(group.clone(), mls_group);
        self.draw_config(&group)?;
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
        let (now, told) = (self.now(), self.profile_version());
        let record = self.group_mut(group)?;
        let Some(sent) = record.sent.take() else { return Ok(()) };
        record.merged = sent.hash;
        record.standing = Standing::Member;
        record.committed_at = now;
        record.profile_told = told;
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
        self.meet_members(group, now, Tell::Nobody).await
    }

    /// What the commit tells the members: our link key, and, for whoever made the offer, our friendship keys.
    fn join_aad(&mut self, payload: &ConnectionOfferTbs, leaf: &OwnLeaf) -> Result<CommitAad, ClientError> {
        let keys = self.seal_keys((&payload.credential_key, &payload.profile_key), leaf)?;
        let friendship = self.record()?.friendship.encode();
        let sealed =
            seal_with_key(&payload.credential_key, &payload.group.encode(), &friendship, &mut self.chance);
        Ok(CommitAad { keys: List::new(vec![keys])?, sealed: Opaque::new(sealed)? })
    }
}

/// The leaves of a group, with their signature keys.
pub(crate) fn leaves(group: &MlsGroup) -> impl Iterator<Item = (LeafIndex, Vec<u8>)> + '_ {
    group.members().map(|member| (LeafIndex(member.index.u32()), member.signature_key))
}
