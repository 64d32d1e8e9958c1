//! Accepting a commit (07, "Accepting a commit"): one way for all endpoints.

use openmls::{
    group::{PublicProcessMessageError, StageCommitError},
    prelude::{
        ProcessedMessageContent, ProposalValidationError, PublicMessageIn, Sender as MlsSender, StagedCommit,
    },
};
use openmls_rust_crypto::RustCrypto;
use phoenix_core::{
    Failure, LeafIndex, Reject,
    api::delivery::{CommitAad, CommitRequest, GroupAccess, GroupInfoUpdate, MemberKeys, Mls},
    wire::Wire,
};

use crate::{
    group::Group,
    mls::{context::Change, frames},
    roles::{self, Effect},
    rules::{self, Act},
};

/// What a request brings for a commit.
#[derive(Clone, Copy)]
pub(crate) struct Submission<'a> {
    /// The group.
    pub(crate) access: &'a GroupAccess,
    /// The commit, as an MLSMessage.
    pub(crate) commit: &'a Mls,
    /// For the GroupInfo of the next epoch.
    pub(crate) update: &'a GroupInfoUpdate,
}

impl<'a> From<&'a CommitRequest> for Submission<'a> {
    fn from(request: &'a CommitRequest) -> Self {
        let CommitRequest { access, commit, group_info: update } = request;
        Self { access, commit, update }
    }
}

/// Who commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Committer {
    /// A member.
    Member(LeafIndex),
    /// Who joins by it.
    Joiner,
    /// The member at this leaf, which comes back by it.
    Returning(LeafIndex),
}

/// A commit that is valid for its group and allowed at its endpoint; nothing is changed yet.
pub(crate) struct Staged<'a> {
    /// The group before it.
    pub(crate) group: Group,
    /// What was submitted.
    pub(crate) submission: Submission<'a>,
    /// Who commits.
    pub(crate) committer: Committer,
    /// What it does.
    pub(crate) commit: StagedCommit,
    /// What it changes of the group's context.
    pub(crate) change: Option<Change>,
    /// Keys of the path's leaf, where its credential is new.
    pub(crate) path_keys: Option<MemberKeys>,
    /// Keys of added leaves, in the order of the Adds.
    pub(crate) added_keys: Vec<MemberKeys>,
    /// For what follows.
    pub(crate) crypto: RustCrypto,
}

/// Validates a commit as a receiving client would, and by the rules of its endpoint. A stale epoch comes first,
/// since it is what happens in a race, and costs nothing: also whoever lost its right by the winning commit, which may
/// be its own, learns of that.
///
/// # Errors
/// [`Reject::Conflict`] with the current epoch; [`Reject::Forbidden`] for members that may not; [`Reject::PendingProposals`]; [`Reject::DuplicateKey`];
/// [`Reject::Malformed`] for all that clients would not take.
pub(crate) fn stage<'a>(
    group: Group,
    submission: Submission<'a>,
    committer: Committer,
    act: Act,
) -> Result<Staged<'a>, Failure> {
    let message = current(&group, submission)?;
    if let Committer::Member(sender) | Committer::Returning(sender) = committer {
        rules::check_role(&group, sender, act)?;
    }
    let crypto = RustCrypto::default();
    let (commit, aad) = process(&group, &crypto, message, committer)?;
    rules::check_proposals(&commit, act)?;
    let change = rules::context_change(&group, &commit)?;
    let new_path = match committer {
        Committer::Member(leaf) => {
            rules::check_coverage(&group, &commit, leaf)?;
            let effect = Effect::of(&group.members.roster, &commit, leaf)?;
            roles::check(&effect, change.as_ref(), &rules::roles(&group)?, act)?;
            rules::check_path_key(&group, &commit, Some(leaf))?;
            rules::check_path(&group, &commit, leaf)?
        }
        Committer::Joiner => {
            rules::check_path_key(&group, &commit, None)?;
            true
        }
        Committer::Returning(leaf) => {
            rules::check_return(&group, &commit, leaf)?;
            false
        }
    };
    rules::check_keys(&aad, new_path, commit.add_proposals().count())?;
    let mut keys = aad.keys.into_vec();
    let added_keys = keys.split_off(usize::from(new_path).min(keys.len()));
    let path_keys = keys.pop();
    Ok(Staged { group, submission, committer, commit, change, path_keys, added_keys, crypto })
}

/// The commit, if it is for the group's current epoch.
///
/// # Errors
/// [`Reject::Conflict`] with the current epoch where it is not; [`Reject::Malformed`] where it is no commit.
pub(crate) fn current(group: &Group, submission: Submission<'_>) -> Result<PublicMessageIn, Reject> {
    let message = frames::commit(submission.commit, &submission.access.group)?;
    let epoch = group.members.roster.epoch.0;
    if message.epoch().as_u64() == epoch { Ok(message) } else { Err(Reject::Conflict(Some(epoch))) }
}

fn process(
    group: &Group,
    crypto: &RustCrypto,
    message: PublicMessageIn,
    committer: Committer,
) -> Result<(StagedCommit, CommitAad), Reject> {
    let processed = group.tree.group.process_message(crypto, message).map_err(|error| refusal(&error))?;
    let expected = match (committer, processed.sender()) {
        (Committer::Member(leaf), MlsSender::Member(index)) => index.u32() == leaf.0,
        (Committer::Joiner | Committer::Returning(_), MlsSender::NewMemberCommit) => true,
        _ => false,
    };
    if !expected {
        return Err(Reject::Malformed("committer"));
    }
    let aad = CommitAad::decode(processed.aad()).map_err(|_| Reject::Malformed("authenticated data"))?;
    match processed.into_content() {
        ProcessedMessageContent::StagedCommitMessage(staged) => Ok((*staged, aad)),
        _ => Err(Reject::Malformed("commit")),
    }
}

/// Keys that are in the group already have an error of their own, since another AddPackage helps.
const fn refusal(error: &PublicProcessMessageError) -> Reject {
    match error {
        PublicProcessMessageError::InvalidCommit(StageCommitError::ProposalValidationError(
            ProposalValidationError::DuplicateSignatureKey
            | ProposalValidationError::DuplicateEncryptionKey
            | ProposalValidationError::DuplicateInitKey,
        )) => Reject::DuplicateKey,
        _ => Reject::Malformed("commit"),
    }
}

#[cfg(test)]
mod tests;
