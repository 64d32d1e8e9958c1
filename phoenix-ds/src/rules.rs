//! What may stand in a commit, by endpoint (07, "Endpoints", "Roles", "Proposal store").

use openmls::prelude::{Proposal, ProposalOrRefType, QueuedProposal, StagedCommit};
use phoenix_core::{
    Failure, LeafIndex, Pseudonym, Refusal, Reject,
    api::{delivery::CommitAad, mls::Roles, queue::ClientQueueConfig},
    operation::Context,
    wire::Wire,
};

use crate::{
    group::Group,
    mls::{
        self,
        context::{self, Change},
    },
    service::DeliveryService,
    tree::{Pending, Reason},
};

/// What an endpoint is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Adding members.
    Add,
    /// Removing members.
    Remove,
    /// Changing roles, or the external senders.
    Roles,
    /// Updating one's leaf.
    Update,
    /// Joining by external commit.
    Join,
    /// Removing all others, to end the group.
    Delete,
    /// Coming back by external commit.
    Return,
}

/// Checks that the sender may do what the endpoint is for: who is proposed for removal may do nothing, but for
/// inactivity, which its commit withdraws (07, "Proposal store").
///
/// # Errors
/// [`Reject::Forbidden`] for members that may not.
pub(crate) fn check_role(group: &Group, sender: LeafIndex, act: Act) -> Result<(), Reject> {
    let member = group.members.roster.member(sender).ok_or(Reject::Unauthenticated)?;
    if group.tree.pending(sender).is_some_and(|pending| pending.reason != Reason::Inactive) {
        return Err(Reject::Forbidden);
    }
    match act {
        Act::Add | Act::Remove | Act::Roles | Act::Delete if !group.members.roster.is_admin(member) => {
            Err(Reject::Forbidden)
        }
        Act::Add | Act::Remove | Act::Roles | Act::Delete | Act::Update | Act::Join | Act::Return => Ok(()),
    }
}

/// Checks that a commit brings by itself what the endpoint is for, and nothing else; a member's may also change the
/// group's context, if [`roles::check`](crate::roles::check) allows it. Stored proposals were checked when they were
/// stored.
///
/// # Errors
/// [`Reject::Malformed`] where it does not.
pub(crate) fn check_proposals(staged: &StagedCommit, act: Act) -> Result<(), Reject> {
    let (mut count, mut own) = (0_usize, 0_usize);
    for proposal in inline(staged) {
        let counted = match (proposal, act) {
            (Proposal::Add(_), Act::Add)
            | (Proposal::Remove(_), Act::Remove | Act::Delete)
            | (Proposal::GroupContextExtensions(_), Act::Roles)
            | (Proposal::ExternalInit(_), Act::Join | Act::Return) => &mut count,
            (Proposal::GroupContextExtensions(_), Act::Add | Act::Remove | Act::Update)
            | (Proposal::Remove(_), Act::Return) => &mut own,
            _ => return Err(Reject::Malformed("proposal")),
        };
        *counted = counted.saturating_add(1);
    }
    let enough = match act {
        Act::Add | Act::Remove | Act::Roles | Act::Join => count > 0,
        Act::Return => count > 0 && own == 1,
        Act::Update => staged.update_path_leaf_node().is_some(),
        // That nobody else is left is seen once it is merged: there may be nobody else, or others may leave by proposal.
        Act::Delete => true,
    };
    if enough { Ok(()) } else { Err(Reject::Malformed("proposals")) }
}

/// What a commit changes of the group's context.
///
/// # Errors
/// [`Reject::Malformed`] where it changes what stays for ever.
pub(crate) fn context_change(group: &Group, staged: &StagedCommit) -> Result<Option<Change>, Reject> {
    let mut proposed = inline(staged).filter_map(|proposal| match proposal {
        Proposal::GroupContextExtensions(it) => Some(it.extensions()),
        _ => None,
    });
    let context = group.tree.group.group_context();
    proposed.next().map(|extensions| context::change(context, extensions)).transpose()
}

fn inline(staged: &StagedCommit) -> impl Iterator<Item = &Proposal> {
    let inline =
        staged.queued_proposals().filter(|it| it.proposal_or_ref_type() == ProposalOrRefType::Proposal);
    inline.map(QueuedProposal::proposal)
}

/// Checks that a member's commit covers all stored proposals. Its own removal for inactivity it cannot take along:
/// that lapses.
///
/// # Errors
/// [`Reject::PendingProposals`] with them where it does not.
pub(crate) fn check_coverage(group: &Group, staged: &StagedCommit, sender: LeafIndex) -> Result<(), Failure> {
    let covered = |it: &Pending| {
        staged.queued_proposals().any(|queued| *queued.proposal_reference_ref() == it.reference)
    };
    if group.tree.pending.iter().all(|it| it.leaf == sender || covered(it)) {
        return Ok(());
    }
    Err(Refusal { reject: Reject::PendingProposals, detail: group.tree.proposals().encode() }.into())
}

/// Checks the path's leaf of a member's commit: a LeafCredential, with the pseudonym that the member has. Tells
/// whether the credential is a new one.
///
/// # Errors
/// [`Reject::Malformed`] for another type or pseudonym; [`Reject::DuplicateKey`] where a pseudonym that may be new
/// is somebody's.
pub(crate) fn check_path(group: &Group, staged: &StagedCommit, sender: LeafIndex) -> Result<bool, Reject> {
    let Some(leaf) = staged.update_path_leaf_node() else { return Ok(false) };
    let member = group.members.roster.member(sender).ok_or(Reject::Unauthenticated)?;
    let before = group.tree.leaf(sender).ok_or(Reject::Unauthenticated)?;
    let credential = mls::credential(leaf)?;
    if credential.pseudonym != member.pseudonym {
        if !member.last_resort.is_set() || member.admin.is_set() {
            return Err(Reject::Malformed("pseudonym"));
        }
        check_pseudonym(group, &roles(group)?, &credential.pseudonym)?;
    }
    Ok(leaf.credential() != before.credential())
}

/// Checks that a member that comes back is the one that it was, byte for byte, and takes nobody's place but its own.
///
/// # Errors
/// [`Reject::Malformed`] where it is another, or removes another.
pub(crate) fn check_return(group: &Group, staged: &StagedCommit, sender: LeafIndex) -> Result<(), Reject> {
    let is_own =
        |it: &Proposal| !matches!(it, Proposal::Remove(it) if mls::leaf_index(it.removed()) != sender);
    if !inline(staged).all(is_own) {
        return Err(Reject::Malformed("proposal"));
    }
    let before = group.tree.leaf(sender).ok_or(Reject::Unauthenticated)?;
    let leaf = staged.update_path_leaf_node().ok_or(Reject::Malformed("commit"))?;
    if leaf.signature_key() != before.signature_key() || leaf.credential() != before.credential() {
        return Err(Reject::Malformed("leaf"));
    }
    Ok(())
}

/// Checks that the signature key of a path's leaf is nobody else's: neither a member's nor that of a member that the
/// same commit adds. OpenMLS compares those of added leaves only.
///
/// # Errors
/// [`Reject::DuplicateKey`] where it is somebody's.
pub(crate) fn check_path_key(
    group: &Group,
    staged: &StagedCommit,
    own: Option<LeafIndex>,
) -> Result<(), Reject> {
    let Some(leaf) = staged.update_path_leaf_node() else { return Ok(()) };
    let key = mls::signature_key(group.tree.suite()?, leaf)?;
    let mut others = group.members.roster.others(own);
    let is_added = |it: &Proposal| matches!(it, Proposal::Add(it) if it.key_package().leaf_node().signature_key() == leaf.signature_key());
    if others.any(|member| member.key == key) || inline(staged).any(is_added) {
        return Err(Reject::DuplicateKey);
    }
    Ok(())
}

/// Checks that the operator has not blocked the domain of a queue.
///
/// # Errors
/// [`Reject::Forbidden`] where it has.
pub(crate) fn check_domain(config: &ClientQueueConfig, cx: &Context<DeliveryService>) -> Result<(), Reject> {
    if cx.federation.is_blocked(&config.domain) { Err(Reject::Forbidden) } else { Ok(()) }
}

/// Checks a queue config that its own member brings: only an AddPackage, made before its group is known, has one that
/// any DS may use.
///
/// # Errors
/// [`Reject::Malformed`] for such a one; [`Reject::Forbidden`] where the operator has blocked its domain.
pub(crate) fn check_own_config(
    config: &ClientQueueConfig,
    cx: &Context<DeliveryService>,
) -> Result<(), Reject> {
    if config.any.is_set() { Err(Reject::Malformed("queue config")) } else { check_domain(config, cx) }
}

/// Checks that a pseudonym is nobody's, neither in the tree nor among the roles.
///
/// # Errors
/// [`Reject::DuplicateKey`] where it is somebody's.
pub(crate) fn check_pseudonym(group: &Group, roles: &Roles, pseudonym: &Pseudonym) -> Result<(), Reject> {
    if group.members.roster.has_pseudonym(pseudonym) || roles.admins.contains(pseudonym) {
        return Err(Reject::DuplicateKey);
    }
    Ok(())
}

/// Checks that a commit brings keys for each new LeafCredential.
///
/// # Errors
/// [`Reject::Malformed`] for fewer or more.
pub(crate) fn check_keys(aad: &CommitAad, new_path: bool, adds: usize) -> Result<(), Reject> {
    let expected = adds.saturating_add(usize::from(new_path));
    if aad.keys.len() == expected { Ok(()) } else { Err(Reject::Malformed("keys")) }
}

/// The roles of a group.
///
/// # Errors
/// [`Reject::Malformed`] where there are none, which no stored group can have.
pub(crate) fn roles(group: &Group) -> Result<Roles, Reject> {
    context::roles(group.tree.group.group_context())
}
