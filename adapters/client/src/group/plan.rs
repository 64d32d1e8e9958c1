//! Making the commit of a plan.

use std::collections::BTreeSet;

use openmls::prelude::{CommitMessageBundle, LeafNodeIndex, NewSignerBundle};
use openmls_traits::OpenMlsProvider;
use phoenix_core::{
    GroupId, LeafIndex, Pseudonym, UserId,
    api::delivery::{AddUsersRequest, CommitAad, CommitRequest, Joiner, MemberKeys, Mls},
    crypto::sha256,
    wire::{List, Opaque, Wire},
};

use super::{
    Act, GroupRecord, Sent, invite::Invitees, join::AttributionTbs, members::LinkKeys, seal_link_key,
};
use crate::{
    error::{ClientError, mls},
    mls::{
        encoding::{encrypted_group_info_hash, group_info_update, message},
        leaf::OwnLeaf,
        mls_signer,
        provider::Blob,
    },
    session::Session,
};

/// What a commit is to do.
#[derive(Clone, Debug)]
pub(crate) enum Plan {
    /// Add these clients.
    Add(Invitees),
    /// Remove all clients of these users.
    Remove(Vec<UserId>),
    /// Remove all leaves that do not prove who is behind them.
    Expel,
    /// Update our leaf, and cover what others propose.
    Update,
    /// The same, with a leaf that shows our present credential.
    Renew,
}

impl Plan {
    /// What tells a plan from others, if it may be asked for again: none for those that are made anew each time.
    pub(crate) fn digest(&self) -> Option<[u8; 32]> {
        match self {
            Self::Add(_) | Self::Expel => None,
            Self::Update => Some(sha256(b"update")),
            Self::Renew => Some(sha256(b"renew")),
            Self::Remove(users) => {
                let users: BTreeSet<_> = users.iter().collect();
                let users: Vec<_> = users.into_iter().map(Wire::encode).collect();
                Some(sha256(&[b"remove".as_slice(), &users.concat()].concat()))
            }
        }
    }
}

impl Session {
    /// Makes the commit of a plan; none where there is nothing to do any more.
    pub(super) fn make_commit(&mut self, group: &GroupId, plan: &Plan) -> Result<Option<Sent>, ClientError> {
        let removed = match plan {
            Plan::Remove(users) => self.leaves_of(group, users)?,
            Plan::Expel => self.group(group)?.leaves_where(|it| it.trust.is_bad()),
            Plan::Add(_) | Plan::Update | Plan::Renew => Vec::new(),
        };
        if matches!(plan, Plan::Remove(_) | Plan::Expel) && removed.is_empty() {
            return Ok(None);
        }
        let new_leaf = self.new_leaf(group, plan)?;
        let (aad, fresh) = self.commit_aad(group, plan, new_leaf.as_ref())?;
        let bundle = self.build_commit(group, plan, &removed, (new_leaf.as_ref(), &aad))?;
        let commit = message(bundle.commit())?;
        let hash = sha256(&commit);
        let update = group_info_update(bundle.group_info())?;
        let access = self.group(group)?.access.clone();
        let (act, body) = match plan {
            Plan::Add(invitees) => {
                let welcome =
                    bundle.to_welcome_msg().ok_or(ClientError::State("a commit without Welcome"))?;
                let welcome = message(&welcome)?;
                let joiners = self.joiners(group, invitees, &welcome)?;
                let batches = List::new(invitees.batches.clone())?;
                let request = AddUsersRequest {
                    access,
                    commit,
                    group_info: update,
                    welcome,
                    joiners: List::new(joiners)?,
                    batches,
                };
                (Act::Add, request.encode())
            }
            Plan::Remove(_) | Plan::Expel => {
                (Act::Remove, CommitRequest { access, commit, group_info: update }.encode())
            }
            Plan::Update | Plan::Renew => {
                (Act::Update, CommitRequest { access, commit, group_info: update }.encode())
            }
        };
        Ok(Some(Sent { act, plan: plan.digest(), hash, body: Opaque::new(body)?, fresh, leaf: new_leaf }))
    }

    /// A leaf in place of ours: of another pseudonym, where ours came from a last-resort package, whose keys others
    /// may know us by; else under the same, where it is renewed.
    fn new_leaf(&mut self, group: &GroupId, plan: &Plan) -> Result<Option<OwnLeaf>, ClientError> {
        let record = self.group(group)?;
        let (suite, pseudonym) = (record.leaf.key.suite(), record.leaf.credential.pseudonym);
        let pseudonym = match (record.is_leaf_shared.is_set(), plan) {
            (true, _) => Pseudonym(self.chance.bytes()),
            (false, Plan::Renew) => pseudonym,
            (false, _) => return Ok(None),
        };
        let identity = (&self.state.account.credential, self.signer.as_ref());
        let now = self.ports.clock.now();
        Ok(Some(OwnLeaf::of(pseudonym, suite, identity, (now, &mut self.chance))?))
    }

    /// The link keys of new leaves, sealed for the members: the path leaf's first, then those of the Adds.
    fn commit_aad(
        &mut self,
        group: &GroupId,
        plan: &Plan,
        new_leaf: Option<&OwnLeaf>,
    ) -> Result<(CommitAad, LinkKeys), ClientError> {
        let credential_key = self.group(group)?.credential_key.clone();
        let mut leaves = Vec::new();
        if let Some(leaf) = new_leaf {
            leaves.push((
                leaf.key.verifying_key().key.to_vec(),
                leaf.credential.pseudonym,
                leaf.link_key.clone(),
            ));
        }
        if let Plan::Add(invitees) = plan {
            leaves.extend(invitees.clients.iter().map(|it| {
                (
                    it.package.leaf_node().signature_key().as_slice().to_vec(),
                    it.pseudonym,
                    it.link_key.clone(),
                )
            }));
        }
        let (mut keys, mut fresh) = (Vec::new(), LinkKeys::default());
        for (leaf_key, pseudonym, link_key) in leaves {
            let link_key = seal_link_key(&credential_key, pseudonym, &link_key, &mut self.chance)?;
            fresh.insert(Blob(leaf_key), link_key.clone());
            keys.push(MemberKeys { link_key, profile_key: Opaque::default() });
        }
        Ok((CommitAad { keys: List::new(keys)?, sealed: Opaque::default() }, fresh))
    }

    fn build_commit(
        &mut self,
        group: &GroupId,
        plan: &Plan,
        removed: &[LeafIndex],
        (new_leaf, aad): (Option<&OwnLeaf>, &CommitAad),
    ) -> Result<CommitMessageBundle, ClientError> {
        let signer = mls_signer(&self.group(group)?.leaf.key);
        let (mls_group, provider) = self.mls(group)?;
        mls_group.set_aad(aad.encode().to_vec());
        let added = match plan {
            Plan::Add(invitees) => invitees.clients.iter().map(|it| it.package.clone()).collect(),
            Plan::Remove(_) | Plan::Expel | Plan::Update | Plan::Renew => Vec::new(),
        };
        let builder = mls_group
            .commit_builder()
            .propose_adds(added)
            .propose_removals(removed.iter().map(|leaf| LeafNodeIndex::new(leaf.0)))
            .force_self_update(matches!(plan, Plan::Update | Plan::Renew))
            .load_psks(provider.storage())
            .map_err(mls("make a commit"))?
            .create_group_info(true)
            .use_ratchet_tree_extension(false);
        let (rand, crypto) = (provider.rand(), provider.crypto());
        let built = match new_leaf {
            None => builder.build(rand, crypto, &signer, |_| true),
            Some(leaf) => {
                let new_signer = mls_signer(&leaf.key);
                let bundle =
                    NewSignerBundle { signer: &new_signer, credential_with_key: leaf.credential_with_key() };
                builder.build_with_new_signer(rand, crypto, &signer, bundle, |_| true)
            }
        };
        built.map_err(mls("make a commit"))?.stage_commit(provider).map_err(mls("make a commit"))
    }

    fn joiners(
        &mut self,
        group: &GroupId,
        invitees: &Invitees,
        welcome: &Mls,
    ) -> Result<Vec<Joiner>, ClientError> {
        let group_info = encrypted_group_info_hash(welcome)?;
        let mut joiners = Vec::new();
        for invitee in &invitees.clients {
            let GroupRecord { credential_key, profile_key, .. } = self.group(group)?;
            let payload = AttributionTbs {
                credential: self.state.account.credential.clone(),
                credential_key: credential_key.clone(),
                profile_key: profile_key.clone(),
                group: group.clone(),
                group_info,
                package: invitee.reference,
            };
            let signer = self.signer.clone();
            let attribution = payload.seal(signer.as_ref(), &invitee.attribution_key, &mut self.chance)?;
            joiners.push(Joiner { config: invitee.config.clone(), attribution });
        }
        Ok(joiners)
    }
}
