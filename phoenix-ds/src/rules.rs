//! What may stand in a commit, by endpoint (07, "Endpoints", "Roles", "Proposal store").

use openmls::prelude::{Proposal, ProposalOrRefType, StagedCommit};
use phoenix_core::{
    Failure, LeafIndex, Refusal, Reject,
    api::{delivery::CommitAad, mls::Roles},
    wire::Wire,
};

use crate::{
    group::Group,
    mls::{self, context},
};

/// What an endpoint is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Adding members.
    Add,
    /// Removing members.
    Remove,
    /// Updating one's leaf.
    Update,
    /// Joining by external commit.
    Join,
}

/// Checks that the sender may do what the endpoint is for.
///
/// # Errors
/// [`Reject::Forbidden`] for members that are no admins.
pub(crate) fn check_role(group: &Group, sender: LeafIndex, act: Act) -> Result<(), Reject> {
    let member = group.members.roster.member(sender).ok_or(Reject::Unauthenticated)?;
    match act {
        Act::Add | Act::Remove if !group.members.roster.is_admin(member) => Err(Reject::Forbidden),
        Act::Add | Act::Remove | Act::Update | Act::Join => Ok(()),
    }
}

/// Checks that a commit brings by itself what the endpoint is for, and nothing else. Stored proposals were checked
/// when they were stored.
///
/// # Errors
/// [`Reject::Malformed`] where it does not.
pub(crate) fn check_proposals(staged: &StagedCommit, act: Act) -> Result<(), Reject> {
    let inline =
        |it: &&openmls::prelude::QueuedProposal| it.proposal_or_ref_type() == ProposalOrRefType::Proposal;
    let mut count = 0_usize;
    for proposal in staged.queued_proposals().filter(inline) {
        match (proposal.proposal(), act) {
            (Proposal::Add(_), Act::Add)
            | (Proposal::Remove(_), Act::Remove)
            | (Proposal::ExternalInit(_), Act::Join) => count = count.saturating_add(1),
            _ => return Err(Reject::Malformed("proposal")),
        }
    }
    let enough = match act {
        Act::Add | Act::Remove | Act::Join => count > 0,
        Act::Update => staged.update_path_leaf_node().is_some(),
    };
    if enough { Ok(()) } else { Err(Reject::Malformed("proposals")) }
}

/// Checks that a member's commit covers all stored proposals.
///
/// # Errors
/// [`Reject::PendingProposals`] with them where it does not.
pub(crate) fn check_coverage(group: &Group, staged: &StagedCommit) -> Result<(), Failure> {
    let stored = group.tree.stored()?;
    let covered =
        |reference: &_| staged.queued_proposals().any(|it| it.proposal_reference_ref() == reference);
    if stored.iter().all(covered) {
        return Ok(());
    }
    Err(Refusal { reject: Reject::PendingProposals, detail: group.tree.proposals.encode() }.into())
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

/// Checks that a pseudonym is nobody's, neither in the tree nor among the roles.
///
/// # Errors
/// [`Reject::DuplicateKey`] where it is somebody's.
pub(crate) fn check_pseudonym(
    group: &Group,
    roles: &Roles,
    pseudonym: &phoenix_core::Pseudonym,
) -> Result<(), Reject> {
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
