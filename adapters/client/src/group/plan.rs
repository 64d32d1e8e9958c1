//! Making the commit of a plan.

use std::collections::BTreeSet;

use bytes::Bytes;
use openmls::prelude::{CommitMessageBundle, Extensions, GroupContext, LeafNodeIndex, NewSignerBundle};
use openmls_traits::OpenMlsProvider;
use phoenix_core::{
    GroupId, LeafIndex, Pseudonym, UserId,
    api::delivery::{AddUsersRequest, CommitAad, CommitRequest, DsPublicKeys, Joiner, MemberKeys, Mls},
    crypto::sha256,
    wire::{List, Opaque, Wire},
};

use super::{
    Act, GroupRecord, LeafKeys, Sent,
    invite::Invitees,
    join::AttributionTbs,
    roles::{leaving, to_appoint},
    seal_link_key,
};
use crate::{
    error::{ClientError, mls},
    mls::{
        encoding::{encrypted_group_info_hash, group_info_update, message},
        extensions,
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
    /// Remove all leaves that do not prove who is behind them, or broke the group twice.
    Expel,
    /// Update our leaf, and cover what others propose.
    Update,
    /// The same, with a leaf that shows our present credential.
    Renew,
    /// Update our leaf, and tell the members something: sealed, for them alone.
    Tell(Vec<u8>),
    /// Make these users admins, and no others of those that are named second.
    Roles(Vec<UserId>, Vec<UserId>),
    /// Put the DS's published keys into the group.
    Senders(DsPublicKeys),
    /// Remove everybody else, and end the group.
    Delete,
}

impl Plan {
    /// What tells a plan from others, if it may be asked for again: none for those that are made anew each time.
    pub(crate) fn digest(&self) -> Option<[u8; 32]> {
        match self {
            Self::Add(_) | Self::Expel | Self::Senders(_) => None,
            Self::Update => Some(sha256(b"update")),
            Self::Renew => Some(sha256(b"renew")),
            Self::Delete => Some(sha256(b"delete")),
            Self::Tell(sealed) => Some(sha256(&[b"tell".as_slice(), sealed].concat())),
            Self::Remove(users) => Some(sha256(&[b"remove".as_slice(), &names(users)].concat())),
            Self::Roles(up, down) => {
                Some(sha256(&[b"roles".as_slice(), &names(up), b"not", &names(down)].concat()))
            }
        }
    }

    /// By which endpoint it is carried out.
    const fn act(&self) -> Act {
        match self {
            Self::Add(_) => Act::Add,
            Self::Remove(_) | Self::Expel => Act::Remove,
            Self::Update | Self::Renew | Self::Tell(_) => Act::Update,
            Self::Roles(..) | Self::Senders(_) => Act::Roles,
            Self::Delete => Act::Delete,
        }
    }
}

/// What stands in a commit, beside what others have proposed.
struct Draft<'a> {
    act: Act,
    plan: &'a Plan,
    removed: Vec<LeafIndex>,
    extensions: Option<Extensions<GroupContext>>,
    new_leaf: Option<&'a OwnLeaf>,
    aad: &'a CommitAad,
}

impl Session {
    /// Makes the commit of a plan; none where there is nothing to do any more.
    pub(crate) fn make_commit(&mut self, group: &GroupId, plan: &Plan) -> Result<Option<Sent>, ClientError> {
        self.withdraw_own_removal(group)?;
        let mut removed = self.removed_by(group, plan)?;
        let is_empty = match plan {
            Plan::Add(invitees) => invitees.clients.is_empty(),
            _ => plan.act() == Act::Remove && removed.is_empty(),
        };
        if is_empty {
            return Ok(None);
        }
        // Whom others propose to remove goes by their proposals, which every commit covers.
        let proposed = leaving(self.mls(group)?.0);
        removed.retain(|leaf| !proposed.contains(leaf));
        let act = if plan.act() == Act::Remove && removed.is_empty() { Act::Update } else { plan.act() };
        let new_leaf = self.new_leaf(group, plan)?;
        let pseudonym = new_leaf.as_ref().map(|leaf| leaf.credential.pseudonym);
        let extensions = self.extensions_by(group, plan, (&removed, pseudonym))?;
        if plan.act() == Act::Roles && extensions.is_none() {
            return Ok(None);
        }
        let (aad, fresh) = self.commit_aad(group, plan, new_leaf.as_ref())?;
        let draft = Draft { act, plan, removed, extensions, new_leaf: new_leaf.as_ref(), aad: &aad };
        let bundle = self.build_commit(group, draft)?;
        let (hash, body) = self.request_of(group, plan, &bundle)?;
        Ok(Some(Sent { act, plan: plan.digest(), hash, body: Opaque::new(body)?, fresh, leaf: new_leaf }))
    }

    fn request_of(
        &mut self,
        group: &GroupId,
        plan: &Plan,
        bundle: &CommitMessageBundle,
    ) -> Result<([u8; 32], Bytes), ClientError> {
        let commit = message(bundle.commit())?;
        let hash = sha256(&commit);
        let group_info = group_info_update(bundle.group_info())?;
        let access = self.group(group)?.access.clone();
        let Plan::Add(invitees) = plan else {
            return Ok((hash, CommitRequest { access, commit, group_info }.encode()));
        };
        let welcome = bundle.to_welcome_msg().ok_or(ClientError::State("a commit without Welcome"))?;
        let welcome = message(&welcome)?;
        let joiners = List::new(self.joiners(group, invitees, &welcome)?)?;
        let batches = List::new(invitees.batches.clone())?;
        Ok((hash, AddUsersRequest { access, commit, group_info, welcome, joiners, batches }.encode()))
    }

    fn removed_by(&mut self, group: &GroupId, plan: &Plan) -> Result<Vec<LeafIndex>, ClientError> {
        let own = LeafIndex(self.mls(group)?.0.own_leaf_index().u32());
        Ok(match plan {
            Plan::Remove(users) => self.leaves_of(group, users)?,
            Plan::Expel => self.group(group)?.unwanted(),
            Plan::Delete => {
                let members = self.group(group)?.members.keys();
                members.copied().filter(|leaf| *leaf != own).collect()
            }
            Plan::Add(_)
            | Plan::Update
            | Plan::Renew
            | Plan::Tell(_)
            | Plan::Roles(..)
            | Plan::Senders(_) => Vec::new(),
        })
    }

    /// The group context's extensions that a commit brings, where it changes them: who is admin, or the DS's keys; and
    /// the member that acts as admin where no admin is left (07, "Roles").
    fn extensions_by(
        &mut self,
        group: &GroupId,
        plan: &Plan,
        (removed, pseudonym): (&[LeafIndex], Option<Pseudonym>),
    ) -> Result<Option<Extensions<GroupContext>>, ClientError> {
        if let Plan::Roles(up, down) = plan {
            return self.roles_of(group, up, down);
        }
        let (mls_group, _) = self.mls(group)?;
        // Where nobody is listed any more, who acts as admin is written down first: the DS's keys come with the next.
        match (to_appoint(mls_group, removed, pseudonym).filter(|_| plan.act() != Act::Delete), plan) {
            (Some(pseudonym), _) => extensions::with_admins(mls_group, vec![pseudonym]),
            (None, Plan::Senders(keys)) => extensions::with_senders(mls_group, (&group.domain, keys)),
            (None, _) => Ok(None),
        }
    }

    /// A leaf in place of ours: of another pseudonym, where ours came from a last-resort package, whose keys others
    /// may know us by; else under the same, where it is renewed.
    fn new_leaf(&mut self, group: &GroupId, plan: &Plan) -> Result<Option<OwnLeaf>, ClientError> {
        match self.group(group)?.is_leaf_shared.is_set() || matches!(plan, Plan::Renew) {
            true => self.prepare_leaf(group).map(Some),
            false => Ok(None),
        }
    }

    /// The link keys of new leaves, sealed for the members: the path leaf's first, then those of the Adds.
    fn commit_aad(
        &mut self,
        group: &GroupId,
        plan: &Plan,
        new_leaf: Option<&OwnLeaf>,
    ) -> Result<(CommitAad, LeafKeys), ClientError> {
        let GroupRecord { credential_key, profile_key, .. } = self.group(group)?;
        let sealing = (credential_key.clone(), profile_key.clone());
        let (mut keys, mut fresh) = (Vec::new(), LeafKeys::default());
        let mut bring = |leaf_key: &[u8], sealed: MemberKeys| {
            fresh.insert(Blob(leaf_key.to_vec()), sealed.clone());
            keys.push(sealed);
        };
        if let Some(leaf) = new_leaf {
            bring(&leaf.key.verifying_key().key, self.seal_keys((&sealing.0, &sealing.1), leaf)?);
        }
        if let Plan::Add(invitees) = plan {
            for it in &invitees.clients {
                let link_key = seal_link_key(&sealing.0, it.pseudonym, &it.link_key, &mut self.chance)?;
                let sealed = MemberKeys { link_key, profile_key: Opaque::default() };
                bring(it.package.leaf_node().signature_key().as_slice(), sealed);
            }
        }
        let sealed = match plan {
            Plan::Tell(sealed) => Opaque::new(sealed.clone())?,
            _ => Opaque::default(),
        };
        Ok((CommitAad { keys: List::new(keys)?, sealed }, fresh))
    }

    fn build_commit(
        &mut self,
        group: &GroupId,
        draft: Draft<'_>,
    ) -> Result<CommitMessageBundle, ClientError> {
        let Draft { act, plan, removed, extensions, new_leaf, aad } = draft;
        let signer = mls_signer(&self.group(group)?.leaf.key);
        let (mls_group, provider) = self.mls(group)?;
        mls_group.set_aad(aad.encode().to_vec());
        let added = match plan {
            Plan::Add(invitees) => invitees.clients.iter().map(|it| it.package.clone()).collect(),
            _ => Vec::new(),
        };
        let mut builder = mls_group
            .commit_builder()
            .propose_adds(added)
            .propose_removals(removed.iter().map(|leaf| LeafNodeIndex::new(leaf.0)))
            .force_self_update(matches!(act, Act::Update | Act::Delete));
        if let Some(extensions) = extensions {
            builder = builder.propose_group_context_extensions(extensions).map_err(mls("make a commit"))?;
        }
        let builder = builder
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

/// Users in an order of their own.
fn names(users: &[UserId]) -> Vec<u8> {
    let users: BTreeSet<_> = users.iter().collect();
    users.into_iter().flat_map(|user| user.encode().to_vec()).collect()
}
