//! Who may do what in a group (07, "Roles").

use std::collections::BTreeSet;

use openmls::prelude::{
    Extensions, GroupContext, LeafNodeIndex, MlsGroup, Proposal, ProposalOrRefType, QueuedProposal,
    Sender as MlsSender, StagedCommit,
};
use openmls_traits::OpenMlsProvider;
use phoenix_core::{
    GroupId, LeafIndex, Pseudonym, UserId,
    api::{delivery::DS_LEAF, mls::Roles},
};

use super::{ConnectionState, OpenOffer, Standing};
use crate::{
    error::{ClientError, mls},
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
        let judge = Judge::of(mls_group, from, staged);
        let is_resync = is_resync(mls_group, staged);
        let mut violators = BTreeSet::new();
        if *from == MlsSender::NewMemberCommit && !is_open && !is_resync {
            violators.insert(sender);
        }
        if !judge.allows_path(mls_group, from, staged) || !judge.allows_silence(mls_group, from, staged) {
            violators.insert(sender);
        }
        for queued in staged.queued_proposals() {
            let (proposer, proposal) = (queued.sender(), queued.proposal());
            let is_allowed = match proposer {
                MlsSender::Member(leaf) => judge.allows(mls_group, *leaf, proposal),
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

    /// Whether we are admin of a group, or act as one.
    pub(crate) fn is_admin(&mut self, group: &GroupId) -> Result<bool, ClientError> {
        let (mls_group, _) = self.mls(group)?;
        Ok(Admins::of(mls_group).leaves.contains(&mls_group.own_leaf_index().u32()))
    }

    /// Whether it is us who commits what others propose, so that not all do at once: the first of the admins who are
    /// not proposed for removal themselves.
    pub(crate) fn is_first_admin(&mut self, group: &GroupId) -> Result<bool, ClientError> {
        let (mls_group, _) = self.mls(group)?;
        let gone = leaving(mls_group);
        let mut admins = Admins::of(mls_group).leaves;
        admins.retain(|leaf| !gone.contains(&LeafIndex(*leaf)));
        let members = || mls_group.members().map(|it| it.index.u32());
        let first = admins.first().copied();
        let first = first.or_else(|| members().filter(|leaf| !gone.contains(&LeafIndex(*leaf))).min());
        Ok(first == Some(mls_group.own_leaf_index().u32()))
    }

    /// The extensions by which users become admins, and others are none any more; none where that is so.
    ///
    /// # Errors
    /// [`ClientError::State`] where one is no member, or nobody would be admin.
    pub(super) fn roles_of(
        &mut self,
        group: &GroupId,
        up: &[UserId],
        down: &[UserId],
    ) -> Result<Option<Extensions<GroupContext>>, ClientError> {
        // Another commit may have removed one while ours was on its way.
        self.check_present(group, up)?;
        self.check_present(group, down)?;
        let members = self.group(group)?.members.clone();
        let (mls_group, _) = self.mls(group)?;
        let mut admins: Vec<_> = extensions::roles(mls_group).admins.into_vec();
        admins.retain(|admin| members.values().any(|it| it.pseudonym == *admin));
        let of = |users: &[UserId]| -> Vec<Pseudonym> {
            let is_one = |user: &UserId| users.contains(user);
            let theirs = members.values().filter(|it| it.proven.as_ref().is_some_and(is_one));
            theirs.map(|it| it.pseudonym).collect()
        };
        let (up, down) = (of(up), of(down));
        let before = admins.clone();
        admins.retain(|admin| !down.contains(admin));
        admins.extend(up.into_iter().filter(|it| !admins.contains(it)).collect::<Vec<_>>());
        // That others are listed who have gone is no reason for a commit, which only admins may make.
        if admins == before {
            return Ok(None);
        }
        if admins.is_empty() {
            return Err(ClientError::State("nobody would be admin"));
        }
        extensions::with_admins(mls_group, admins)
    }

    /// A commit of ours does not cover that we are to be removed: where it is for inactivity, it withdraws that.
    pub(super) fn withdraw_own_removal(&mut self, group: &GroupId) -> Result<(), ClientError> {
        let (mls_group, provider) = self.mls(group)?;
        let own = mls_group.own_leaf_index();
        let ours = mls_group.pending_proposals().filter(|it| leaves(it) == Some(own));
        let ours: Vec<_> = ours.map(|it| it.proposal_reference_ref().clone()).collect();
        for reference in ours {
            mls_group
                .remove_pending_proposal(provider.storage(), &reference)
                .map_err(mls("withdraw a proposal"))?;
        }
        Ok(())
    }

    /// Whether a proposal is for us to cover: not where we wait to be removed ourselves.
    pub(crate) fn must_cover(&mut self, group: &GroupId) -> Result<bool, ClientError> {
        let is_member = self.group(group)?.standing == Standing::Member;
        Ok(is_member && self.mls(group)?.0.has_pending_proposals())
    }
}

/// Whether a proposal may wait in the store, for whoever commits next to take along: members propose to leave, the
/// DS that others do. `sender` is the leaf that the DS names.
pub(crate) fn may_be_stored(queued: &QueuedProposal, sender: Option<LeafIndex>) -> bool {
    let is_named = |leaf: LeafIndex| sender.is_none_or(|sender| sender == leaf);
    match (queued.sender(), queued.proposal()) {
        (MlsSender::Member(leaf), Proposal::SelfRemove) => is_named(LeafIndex(leaf.u32())),
        (MlsSender::Member(leaf), Proposal::Remove(remove)) => {
            remove.removed() == *leaf && is_named(LeafIndex(leaf.u32()))
        }
        (MlsSender::External(_), Proposal::Remove(_)) => is_named(DS_LEAF),
        _ => false,
    }
}

/// The leaf that is gone once a proposal is committed.
fn leaves(queued: &QueuedProposal) -> Option<LeafNodeIndex> {
    match (queued.sender(), queued.proposal()) {
        (MlsSender::Member(leaf), Proposal::SelfRemove) => Some(*leaf),
        (_, Proposal::Remove(remove)) => Some(remove.removed()),
        _ => None,
    }
}

/// The leaves that are gone once what is proposed is committed.
pub(super) fn leaving(group: &MlsGroup) -> BTreeSet<LeafIndex> {
    group.pending_proposals().filter_map(leaves).map(|leaf| LeafIndex(leaf.u32())).collect()
}

/// Whom a commit makes admin, since none stays after it: the member with the lowest leaf of those that do stay, by the
/// pseudonym that it has then.
pub(super) fn to_appoint(
    group: &MlsGroup,
    removed: &[LeafIndex],
    own: Option<Pseudonym>,
) -> Option<Pseudonym> {
    let gone = leaving(group);
    let is_gone = |leaf: LeafIndex| gone.contains(&leaf) || removed.contains(&leaf);
    if Admins::stays(group, is_gone) {
        return None;
    }
    let (leaf, pseudonym) = lowest(group, is_gone)?;
    let is_own = leaf.0 == group.own_leaf_index().u32();
    Some(own.filter(|_| is_own).unwrap_or(pseudonym))
}

/// The member with the lowest leaf of those that stay: it acts as admin where there is none.
fn lowest(group: &MlsGroup, is_gone: impl Fn(LeafIndex) -> bool) -> Option<(LeafIndex, Pseudonym)> {
    let staying = group.members().filter(|it| !is_gone(LeafIndex(it.index.u32())));
    let lowest = staying.min_by_key(|it| it.index.u32())?;
    let credential = leaf_credential(&lowest.credential).ok()?;
    Some((LeafIndex(lowest.index.u32()), credential.pseudonym))
}

/// Who is admin in an epoch: those that are listed; where none of them is left, the member with the lowest leaf.
struct Admins {
    leaves: BTreeSet<u32>,
}

impl Admins {
    fn of(group: &MlsGroup) -> Self {
        let mut leaves: BTreeSet<_> = Self::listed(group).collect();
        if leaves.is_empty() {
            leaves.extend(group.members().map(|member| member.index.u32()).min());
        }
        Self { leaves }
    }

    /// Whether one of those that are listed stays.
    fn stays(group: &MlsGroup, is_gone: impl Fn(LeafIndex) -> bool) -> bool {
        Self::listed(group).any(|leaf| !is_gone(LeafIndex(leaf)))
    }

    fn listed(group: &MlsGroup) -> impl Iterator<Item = u32> + '_ {
        let roles = extensions::roles(group);
        let listed = group.members().filter(move |member| {
            leaf_credential(&member.credential).is_ok_and(|it| roles.admins.contains(&it.pseudonym))
        });
        listed.map(|member| member.index.u32())
    }
}

/// What a commit may do, by who proposes it.
struct Judge {
    admins: Admins,
    /// The leaves that it removes.
    removed: BTreeSet<LeafIndex>,
    /// Pseudonyms that are somebody's, in the tree or among the roles.
    taken: BTreeSet<Pseudonym>,
    /// Those that it adds.
    added: Vec<Option<Pseudonym>>,
    /// The leaf that its path renews, and the pseudonym that it has then.
    path: Option<(LeafIndex, Pseudonym)>,
    /// How many proposals it brings itself.
    inline: usize,
}

impl Judge {
    fn of(group: &MlsGroup, from: &MlsSender, staged: &StagedCommit) -> Self {
        let pseudonyms = group.members().filter_map(|it| leaf_credential(&it.credential).ok());
        let mut taken: BTreeSet<_> = pseudonyms.map(|it| it.pseudonym).collect();
        taken.extend(extensions::roles(group).admins.iter().copied());
        let added = staged.add_proposals().map(|add| {
            let credential = add.add_proposal().key_package().leaf_node().credential();
            leaf_credential(credential).ok().map(|it| it.pseudonym)
        });
        let removed = staged.queued_proposals().filter_map(leaves);
        let inline =
            staged.queued_proposals().filter(|it| it.proposal_or_ref_type() == ProposalOrRefType::Proposal);
        let path = staged.update_path_leaf_node().and_then(|it| leaf_credential(it.credential()).ok());
        let path = path.and_then(|it| match from {
            MlsSender::Member(leaf) => Some((LeafIndex(leaf.u32()), it.pseudonym)),
            _ => None,
        });
        Self {
            admins: Admins::of(group),
            removed: removed.map(|leaf| LeafIndex(leaf.u32())).collect(),
            taken,
            added: added.collect(),
            path,
            inline: inline.count(),
        }
    }

    fn allows(&self, group: &MlsGroup, leaf: LeafNodeIndex, proposal: &Proposal) -> bool {
        let is_admin = self.admins.leaves.contains(&leaf.u32());
        match proposal {
            Proposal::SelfRemove => true,
            Proposal::Remove(remove) => is_admin || remove.removed() == leaf,
            Proposal::GroupContextExtensions(changed) => {
                self.allows_extensions(group, is_admin, changed.extensions())
            }
            Proposal::Add(add) => {
                let credential = leaf_credential(add.key_package().leaf_node().credential());
                is_admin && credential.is_ok_and(|it| self.is_new(it.pseudonym, 1))
            }
            _ => false,
        }
    }

    /// Admins change who is admin, and put the DS's keys in, by a commit that does nothing else; where none stays after a
    /// commit, it may write down who acts as one. What lists may say is what the DS takes (decision 45).
    fn allows_extensions(
        &self,
        group: &MlsGroup,
        is_admin: bool,
        changed: &Extensions<GroupContext>,
    ) -> bool {
        let Some(change) = extensions::change(group.extensions(), changed) else { return false };
        let extensions::Change { roles, senders } = change;
        let are_senders_right = !senders || extensions::has_senders(changed);
        let is_list_right = match &roles {
            Some(roles) if !senders && self.is_succession(group, roles) => return true,
            Some(roles) => self.allows_list(group, roles),
            None => senders,
        };
        is_admin && self.inline == 1 && is_list_right && are_senders_right
    }

    /// A list names nobody twice, and nobody but who stays or was listed before; in a group of several, somebody who
    /// stays.
    fn allows_list(&self, group: &MlsGroup, roles: &Roles) -> bool {
        let before = extensions::roles(group).admins;
        let staying = self.staying(group);
        let mut seen = BTreeSet::new();
        let may_be = |it: &Pseudonym| staying.contains(it) || before.contains(it);
        let is_valid = roles.admins.iter().all(|it| seen.insert(*it) && may_be(it));
        let has_admin = roles.admins.iter().any(|it| staying.contains(it));
        is_valid && (has_admin || !self.leaves_several(group))
    }

    /// Whether roles write down who acts as admin after the commit, where none of the listed stays.
    fn is_succession(&self, group: &MlsGroup, roles: &Roles) -> bool {
        let is_gone = |leaf| self.removed.contains(&leaf);
        let acting = lowest(group, is_gone).map(|(leaf, pseudonym)| self.renamed(leaf, pseudonym));
        let is_acting = roles.admins.len() == 1 && roles.admins.first().copied() == acting;
        is_acting && !Admins::stays(group, is_gone)
    }

    /// A member's commit may say nothing of roles where somebody was listed before it; else it must say who acts, if
    /// the group is one of several after it.
    fn allows_silence(&self, group: &MlsGroup, from: &MlsSender, staged: &StagedCommit) -> bool {
        let says = staged.queued_proposals().any(|queued| match queued.proposal() {
            Proposal::GroupContextExtensions(changed) => {
                let change = extensions::change(group.extensions(), changed.extensions());
                change.is_some_and(|change| change.roles.is_some())
            }
            _ => false,
        });
        let is_member = matches!(from, MlsSender::Member(_));
        !is_member || says || Admins::listed(group).next().is_some() || !self.leaves_several(group)
    }

    /// The pseudonyms of those that stay, as they are after the commit.
    fn staying(&self, group: &MlsGroup) -> BTreeSet<Pseudonym> {
        let members = group.members().filter_map(|it| {
            let leaf = LeafIndex(it.index.u32());
            let credential = leaf_credential(&it.credential).ok()?;
            (!self.removed.contains(&leaf)).then(|| self.renamed(leaf, credential.pseudonym))
        });
        members.collect()
    }

    fn renamed(&self, leaf: LeafIndex, pseudonym: Pseudonym) -> Pseudonym {
        self.path.filter(|(path, _)| *path == leaf).map_or(pseudonym, |(_, renewed)| renewed)
    }

    fn leaves_several(&self, group: &MlsGroup) -> bool {
        let staying = group.members().filter(|it| !self.removed.contains(&LeafIndex(it.index.u32())));
        staying.count().saturating_add(self.added.len()) > 1
    }

    /// A member keeps its pseudonym; but for its first commit where it came by a last-resort package, as nobody who is
    /// named in the roles.
    fn allows_path(&self, group: &MlsGroup, from: &MlsSender, staged: &StagedCommit) -> bool {
        let Some(leaf) = staged.update_path_leaf_node() else { return true };
        let Ok(credential) = leaf_credential(leaf.credential()) else { return false };
        let MlsSender::Member(index) = from else { return true };
        let former = group.member(*index).and_then(|it| leaf_credential(it).ok());
        let Some(former) = former else { return false };
        let is_listed = extensions::roles(group).admins.contains(&former.pseudonym);
        former.pseudonym == credential.pseudonym || !is_listed && self.is_new(credential.pseudonym, 0)
    }

    /// Whether a pseudonym is nobody's, and comes so often in the commit's Adds.
    fn is_new(&self, pseudonym: Pseudonym, times: usize) -> bool {
        let added = self.added.iter().filter(|it| **it == Some(pseudonym)).count();
        !self.taken.contains(&pseudonym) && added == times
    }
}

/// Whether an external commit puts a leaf in the place of itself: same key, same credential.
fn is_resync(group: &MlsGroup, staged: &StagedCommit) -> bool {
    let inline = |it: &&QueuedProposal| *it.sender() == MlsSender::NewMemberCommit;
    let mut removed = staged.queued_proposals().filter(inline).filter_map(leaves);
    let (Some(index), None) = (removed.next(), removed.next()) else { return false };
    let former = group.members().find(|member| member.index == index);
    let Some((former, leaf)) = former.zip(staged.update_path_leaf_node()) else { return false };
    former.signature_key == leaf.signature_key().as_slice() && former.credential == *leaf.credential()
}
