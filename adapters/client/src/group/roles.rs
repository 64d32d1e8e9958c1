//! Who may do what in a group (07, "Roles").

use std::collections::BTreeSet;

use openmls::prelude::{
    LeafNodeIndex, MlsGroup, Proposal, QueuedProposal, Sender as MlsSender, StagedCommit,
};
use phoenix_core::{GroupId, LeafIndex};

use super::{ConnectionState, OpenOffer};
use crate::{
    error::ClientError,
    event::Event,
    mls::{extensions, leaf::leaf_credential},
    session::Session,
};

impl Session {
    /// Tells where a member did more than its role allows; the commit is merged all the same. `sender` is the leaf
    /// by the frame of the request. Answers whether all was right.
    pub(crate) fn check_roles(
        &mut self,
        group: &GroupId,
        sender: LeafIndex,
        from: &MlsSender,
        staged: &StagedCommit,
    ) -> Result<bool, ClientError> {
        let connection = &self.group(group)?.connection;
        let is_open = matches!(connection, ConnectionState::Open(OpenOffer { answer: None, .. }));
        let (mls_group, _) = self.mls(group)?;
        let admins = Admins::of(mls_group);
        let is_resync = is_resync(mls_group, staged);
        let mut violators = BTreeSet::new();
        if *from == MlsSender::NewMemberCommit && !is_open && !is_resync {
            violators.insert(sender);
        }
        for queued in staged.queued_proposals() {
            let (proposer, proposal) = (queued.sender(), queued.proposal());
            let is_allowed = match proposer {
                MlsSender::Member(leaf) => admins.allow(*leaf, proposal),
                MlsSender::External(_) => matches!(proposal, Proposal::Remove(_)),
                MlsSender::NewMemberCommit => match proposal {
                    Proposal::ExternalInit(_) => true,
                    Proposal::Remove(_) => is_resync,
                    _ => false,
                },
                MlsSender::NewMemberProposal => false,
            };
            if !is_allowed {
                violators.insert(if let MlsSender::Member(leaf) = proposer {
                    LeafIndex(leaf.u32())
                } else {
                    sender
                });
            }
        }
        let is_right = violators.is_empty();
        for leaf in violators {
            self.tell(Event::RoleViolated { group: group.clone(), leaf });
        }
        Ok(is_right)
    }
}

/// Whether a proposal may wait in the store, for whoever commits next to take along: members propose to leave, the
/// DS that others do.
pub(crate) fn may_be_stored(queued: &QueuedProposal) -> bool {
    match (queued.sender(), queued.proposal()) {
        (MlsSender::Member(_), Proposal::SelfRemove) | (MlsSender::External(_), Proposal::Remove(_)) => true,
        (MlsSender::Member(leaf), Proposal::Remove(remove)) => remove.removed() == *leaf,
        _ => false,
    }
}

/// Who is admin in an epoch.
struct Admins {
    leaves: BTreeSet<u32>,
    /// The listed ones are gone: a commit may appoint another.
    none_listed: bool,
}

impl Admins {
    fn of(group: &MlsGroup) -> Self {
        let roles = extensions::roles(group);
        let listed = group.members().filter(|member| {
            leaf_credential(&member.credential).is_ok_and(|it| roles.admins.contains(&it.pseudonym))
        });
        let mut leaves: BTreeSet<_> = listed.map(|member| member.index.u32()).collect();
        let none_listed = leaves.is_empty();
        if none_listed {
            leaves.extend(group.members().map(|member| member.index.u32()).min());
        }
        Self { leaves, none_listed }
    }

    fn allow(&self, leaf: LeafNodeIndex, proposal: &Proposal) -> bool {
        let is_admin = self.leaves.contains(&leaf.u32());
        match proposal {
            Proposal::SelfRemove => true,
            Proposal::Remove(remove) => is_admin || remove.removed() == leaf,
            Proposal::GroupContextExtensions(_) => is_admin || self.none_listed,
            Proposal::Add(_) => is_admin,
            _ => false,
        }
    }
}

/// Whether an external commit puts a leaf in the place of itself: same key, same credential.
fn is_resync(group: &MlsGroup, staged: &StagedCommit) -> bool {
    let mut removed = staged.remove_proposals();
    let (Some(first), None) = (removed.next(), removed.next()) else { return false };
    let index = first.remove_proposal().removed();
    let former = group.members().find(|member| member.index == index);
    let Some((former, leaf)) = former.zip(staged.update_path_leaf_node()) else { return false };
    former.signature_key == leaf.signature_key().as_slice() && former.credential == *leaf.credential()
}
