//! Who may write roles, and what (07, "Roles").

use std::collections::BTreeSet;

use openmls::prelude::{Proposal, Sender as MlsSender, StagedCommit};
use phoenix_core::{LeafIndex, Pseudonym, Reject, api::mls::Roles};

use crate::{
    mls::{self, context::Change},
    roster::Roster,
    rules::Act,
};

/// What a commit does to the members of a group: stored proposals and its own.
pub(crate) struct Effect {
    /// Who stays, in the order of leaves.
    staying: Vec<Staying>,
    /// How many are added.
    newcomers: usize,
    /// Whether an admin was there before.
    had_admin: bool,
}

struct Staying {
    /// As after the commit.
    pseudonym: Pseudonym,
    /// Whether the roles from before list it.
    admin: bool,
}

impl Effect {
    /// The effect of a member's commit.
    ///
    /// # Errors
    /// [`Reject::Malformed`] where a member is removed twice.
    pub(crate) fn of(roster: &Roster, commit: &StagedCommit, committer: LeafIndex) -> Result<Self, Reject> {
        let removed = removed(commit)?;
        let path = commit.update_path_leaf_node().map(mls::credential).transpose()?;
        let staying = roster.members.iter().filter(|member| !removed.contains(&member.leaf));
        let staying = staying.map(|member| {
            let renamed = path.as_ref().filter(|_| member.leaf == committer).map(|path| path.pseudonym);
            Staying { pseudonym: renamed.unwrap_or(member.pseudonym), admin: member.admin.is_set() }
        });
        Ok(Self {
            staying: staying.collect(),
            newcomers: commit.add_proposals().count(),
            had_admin: roster.members.iter().any(|member| member.admin.is_set()),
        })
    }

    fn keeps_admin(&self) -> bool {
        self.staying.iter().any(|member| member.admin)
    }

    fn is_of_several(&self) -> bool {
        self.staying.len().saturating_add(self.newcomers) > 1
    }

    fn has(&self, pseudonym: &Pseudonym) -> bool {
        self.staying.iter().any(|member| member.pseudonym == *pseudonym)
    }
}

/// Checks what a member's commit says of roles, and what it leaves unsaid. That its sender may use the endpoint was
/// checked before.
///
/// # Errors
/// [`Reject::Malformed`] where it may not say that, there, or has to say more.
pub(crate) fn check(
    effect: &Effect,
    change: Option<&Change>,
    before: &Roles,
    act: Act,
) -> Result<(), Reject> {
    match (change, act) {
        (Some(Change { roles: Some(roles), .. }), Act::Roles) => check_list(effect, roles, before),
        (Some(Change { roles: None, senders: Some(_) }), Act::Roles) | (None, _) => check_silence(effect),
        (Some(Change { roles: Some(roles), senders: None }), _) => check_succession(effect, roles),
        (Some(_), _) => Err(PROPOSAL),
    }
}

/// An admin's own list: it makes nobody admin that is no member, and somebody that is.
fn check_list(effect: &Effect, roles: &Roles, before: &Roles) -> Result<(), Reject> {
    let mut seen = BTreeSet::new();
    let may_be = |it: &Pseudonym| effect.has(it) || before.admins.contains(it);
    let is_valid = roles.admins.iter().all(|it| seen.insert(*it) && may_be(it));
    let has_admin = roles.admins.iter().any(|it| effect.has(it));
    if is_valid && (has_admin || !effect.is_of_several()) { Ok(()) } else { Err(ROLES) }
}

/// A commit that says nothing of roles: who has lost the last admin through no choice of its own need not say so;
/// the next must.
fn check_silence(effect: &Effect) -> Result<(), Reject> {
    let may_be_silent = effect.had_admin || effect.keeps_admin() || !effect.is_of_several();
    if may_be_silent { Ok(()) } else { Err(ROLES) }
}

/// Any member's commit may write down who acts as admin, where no admin is left, and nothing else.
fn check_succession(effect: &Effect, roles: &Roles) -> Result<(), Reject> {
    if effect.keeps_admin() {
        return Err(PROPOSAL);
    }
    let acting = effect.staying.first().ok_or(ROLES)?;
    if *roles.admins == [acting.pseudonym] { Ok(()) } else { Err(ROLES) }
}

/// Whom a commit removes.
///
/// # Errors
/// [`Reject::Malformed`] where it removes somebody twice.
pub(crate) fn removed(commit: &StagedCommit) -> Result<BTreeSet<LeafIndex>, Reject> {
    let mut removed = BTreeSet::new();
    for queued in commit.queued_proposals() {
        let leaf = match (queued.proposal(), queued.sender()) {
            (Proposal::Remove(remove), _) => remove.removed(),
            (Proposal::SelfRemove, MlsSender::Member(leaf)) => *leaf,
            _ => continue,
        };
        if !removed.insert(mls::leaf_index(leaf)) {
            return Err(Reject::Malformed("proposals"));
        }
    }
    Ok(removed)
}

const PROPOSAL: Reject = Reject::Malformed("proposal");
const ROLES: Reject = Reject::Malformed("roles");
