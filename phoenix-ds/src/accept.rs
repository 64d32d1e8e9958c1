//! The group after a commit: rows, fan-out and answer, all in one decision (07, "Accepting a commit").

use bytes::Bytes;
use openmls::prelude::StagedCommit;
use phoenix_core::{
    Epoch, Failure, Fault, KeyPackageRef, LeafIndex, Pseudonym, Reject,
    api::{
        delivery::{
            Accepted, CommitAccepted, CommitRequest, ContentKind, DS_LEAF, Delayed, GroupContent, Joined,
            MAX_ATTRIBUTION, MAX_DELAYED, MemberKeys, Mls, WelcomeBundle,
        },
        queue::{ClientQueueConfig, NotifyClass},
    },
    crypto::{Chance, HpkePublicKey, VerifyingKey, sha256},
    operation::{Context, Decision, Local},
    port::Write,
    time::Month,
    wire::{Flag, List, Opaque, Wire},
};

use crate::{
    commit::{Committer, Staged, Submission, stage},
    fanout::FanOut,
    group::{self, Clear, Group, Members},
    induced::{self, Induced},
    kinds,
    mls::{self, context},
    roster::{Awaited, Member, Roster},
    rules::Act,
    sealed::LEAST_TREE,
    service::DeliveryService,
    snapshot::{MAX_SNAPSHOTS, Snapshot, SnapshotJoiner},
    tree::Tree,
};

/// A member that a commit brings.
pub(crate) struct Newcomer {
    /// Its leaf's signature key.
    pub(crate) key: VerifyingKey,
    /// Its pseudonym.
    pub(crate) pseudonym: Pseudonym,
    /// Where its messages go.
    pub(crate) config: ClientQueueConfig,
    /// What members know it by.
    pub(crate) keys: MemberKeys,
    /// Set where it was added, rather than joined by itself.
    pub(crate) invitation: Option<Invitation>,
}

/// How a member that was added learns of it.
pub(crate) struct Invitation {
    /// The KeyPackage that it was added by.
    pub(crate) package: KeyPackageRef,
    /// The KeyPackage's init key.
    pub(crate) init_key: HpkePublicKey,
    /// Whether it is a last-resort package.
    pub(crate) last_resort: Flag,
    /// Last second of the KeyPackage.
    pub(crate) expires: u64,
    /// Its Welcome.
    pub(crate) welcome: Mls,
    /// The attribution info that its inviter made.
    pub(crate) attribution: Opaque<MAX_ATTRIBUTION>,
}

/// Where a commit led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arrived {
    /// The new epoch.
    pub(crate) epoch: Epoch,
    /// The committer's leaf.
    pub(crate) committer: LeafIndex,
    /// Domains of others, before it and invited by it, towards which delivery is delayed.
    pub(crate) delayed: List<Delayed, MAX_DELAYED>,
}

impl From<Arrived> for Accepted {
    fn from(Arrived { epoch, committer: _, delayed }: Arrived) -> Self {
        Self { epoch, delayed }
    }
}

impl From<Arrived> for Joined {
    fn from(Arrived { epoch, committer, delayed }: Arrived) -> Self {
        Self { leaf: committer, epoch, delayed }
    }
}

/// Decides a member's commit that needs nothing beside it: the member may act so, the commit does nothing else, and
/// brings nobody.
pub(crate) fn decide_commit(
    group: Group,
    request: &CommitRequest,
    sender: LeafIndex,
    act: Act,
    cx: &Context<DeliveryService>,
) -> Result<Decision<Accepted>, Failure> {
    accept(stage(group, request.into(), Committer::Member(sender), act)?, Vec::new(), cx)
}

/// Accepts a commit.
///
/// # Errors
/// [`Reject::Malformed`] where the GroupInfo does not verify; [`Reject::TooLarge`] over the group's limits.
pub(crate) fn accept<R: From<Arrived>>(
    staged: Staged<'_>,
    newcomers: Vec<Newcomer>,
    cx: &Context<DeliveryService>,
) -> Result<Decision<R>, Failure> {
    let Staged { group, submission, committer, commit, path_keys, crypto, change: _, added_keys: _ } = staged;
    let Group { members: Members { site, roster: before }, clear, graveyard, tree } = group;
    let wishes = induced::wishes(&tree, &commit);
    let step = Step::new(&tree, &commit, committer, (path_keys, &newcomers))?;
    let tree = tree.advance(&crypto, commit, step.leaf, submission.update)?;
    let roster = advance_roster(&before, &tree, &step, cx)?;
    let fan_out = FanOut::new(submission.access, &site.at, cx);
    let mut fan_out = announce(submission, &step, (&before, &roster), fan_out)?;
    let clear = Clear { month: Month::of(cx.now), ..clear };
    let group = Group { members: Members { site, roster }, clear, graveyard, tree };
    let Induced { group, writes: noted, issued } = induced::propose(group, &wishes, step.leaf, cx)?;
    fan_out.propose(&issued, DS_LEAF, &group.members.roster.members)?;
    let chance = &mut cx.chance("group");
    let mut writes = group.writes(chance)?;
    writes.extend(noted);
    writes.extend(snapshots(&group, &before, &newcomers, chance)?);
    let delayed = step.delayed(&before, cx);
    let arrived = Arrived { epoch: group.tree.epoch(), committer: step.leaf, delayed };
    let decision = Decision::reply(arrived.into());
    Ok(fan_out.decide(decision, group.members.site.at, writes, group::expiry(cx.now))?)
}

/// What is told of a commit that leaves its committer alone, where the group is not to go on, and where the group is.
///
/// # Errors
/// [`Reject::Malformed`] where somebody else is left, or the GroupInfo does not verify.
pub(crate) fn farewell(
    staged: Staged<'_>,
    cx: &Context<DeliveryService>,
) -> Result<(FanOut, Accepted, Local), Failure> {
    let Staged { group, submission, committer, commit, path_keys, crypto, change: _, added_keys: _ } = staged;
    let Group { members: Members { site, roster: before }, tree, .. } = group;
    let step = Step::new(&tree, &commit, committer, (path_keys, &[]))?;
    // Verified like any other, though nobody will join by it.
    let tree = tree.advance(&crypto, commit, step.leaf, submission.update)?;
    let roster = advance_roster(&before, &tree, &step, cx)?;
    if roster.members.len() != 1 {
        return Err(Reject::Malformed("proposals").into());
    }
    let fan_out = FanOut::new(submission.access, &site.at, cx);
    let fan_out = announce(submission, &step, (&before, &roster), fan_out)?;
    let accepted = Accepted { epoch: roster.epoch, delayed: step.delayed(&before, cx) };
    Ok((fan_out, accepted, site.at))
}

/// What a commit does to the roster, beside what the tree tells.
struct Step<'a> {
    /// The committer's leaf after it.
    leaf: LeafIndex,
    /// The committer's leaf before it, where it had one.
    before: Option<LeafIndex>,
    /// Whether the committer's leaf is a new one of its own making.
    renewed: bool,
    /// Whether it comes back by an external commit.
    returns: bool,
    path_keys: Option<MemberKeys>,
    newcomers: &'a [Newcomer],
}

impl<'a> Step<'a> {
    fn new(
        tree: &Tree,
        commit: &StagedCommit,
        committer: Committer,
        (path_keys, newcomers): (Option<MemberKeys>, &'a [Newcomer]),
    ) -> Result<Self, Fault> {
        let external =
            || tree.group.ext_commit_sender_index(commit).map(mls::leaf_index).map_err(|_| NO_LEAF);
        let (leaf, before) = match committer {
            Committer::Member(leaf) => (leaf, Some(leaf)),
            Committer::Joiner => (external()?, None),
            Committer::Returning(leaf) => (external()?, Some(leaf)),
        };
        let renewed = matches!(committer, Committer::Member(_)) && commit.update_path_leaf_node().is_some();
        let returns = matches!(committer, Committer::Returning(_));
        Ok(Self { leaf, before, renewed, returns, path_keys, newcomers })
    }

    /// Whom the commit's messages name as their sender: the leaf by its frame, or that of who has just come.
    fn sender(&self) -> LeafIndex {
        self.before.unwrap_or(self.leaf)
    }

    /// The members before it but for the committer.
    fn others<'b>(&self, before: &'b Roster) -> impl Iterator<Item = &'b Member> + use<'b> {
        before.others(self.before)
    }

    /// The domains towards which what is told of it is delayed.
    fn delayed(&self, before: &Roster, cx: &Context<DeliveryService>) -> List<Delayed, MAX_DELAYED> {
        let invited = self.newcomers.iter().filter(|it| it.invitation.is_some()).map(|it| &it.config);
        let configs = self.others(before).map(|member| &member.config).chain(invited);
        cx.delays.towards(configs.map(|config| &config.domain), cx.now)
    }
}

/// The roster of the next epoch, in the order of the tree's leaves.
fn advance_roster(
    before: &Roster,
    tree: &Tree,
    step: &Step<'_>,
    cx: &Context<DeliveryService>,
) -> Result<Roster, Failure> {
    let roles = context::roles(tree.group.group_context())?;
    let (epoch, month) = (tree.epoch(), Month::of(cx.now));
    let mut members = Vec::new();
    for leaf in tree.group.members() {
        let index = mls::leaf_index(leaf.index);
        let mut member = match step.newcomers.iter().find(|it| it.key.key.as_slice() == leaf.signature_key) {
            Some(newcomer) => join(newcomer, index, epoch, month),
            None if index == step.leaf => act(before, tree, step, month)?,
            None => before.member(index).cloned().ok_or(NO_MEMBER)?,
        };
        member.admin = roles.admins.contains(&member.pseudonym).into();
        member.awaited = member.awaited.filter(|it| it.expires >= cx.now.as_secs());
        members.push(member);
    }
    // A group may be over a limit that was lowered since: then nobody joins, and all else goes on.
    if !step.newcomers.is_empty() && members.len() > cx.settings.max_members {
        return Err(Reject::TooLarge("members").into());
    }
    let closed = Flag::from(before.closed.is_set() || !step.newcomers.is_empty());
    forget_oldest(&mut members);
    Ok(Roster { epoch, closed, members: List::new(members).map_err(Reject::from)? })
}

fn join(newcomer: &Newcomer, leaf: LeafIndex, epoch: Epoch, month: Month) -> Member {
    let awaited = newcomer.invitation.as_ref().map(|it| Awaited { epoch, expires: it.expires });
    Member {
        leaf,
        pseudonym: newcomer.pseudonym,
        key: newcomer.key.clone(),
        config: newcomer.config.clone(),
        admin: Flag::No,
        keys: newcomer.keys.clone(),
        active: month,
        active_epoch: epoch,
        since: epoch,
        last_resort: newcomer.invitation.as_ref().map_or(Flag::No, |it| it.last_resort),
        awaited,
    }
}

/// The committer after its own commit. Who comes back by one is a member from then on: what it sends is of the new
/// epoch.
fn act(before: &Roster, tree: &Tree, step: &Step<'_>, month: Month) -> Result<Member, Failure> {
    let member = step.before.and_then(|leaf| before.member(leaf)).cloned().ok_or(NO_MEMBER)?;
    let node = tree.leaf(step.leaf).ok_or(NO_LEAF)?;
    let key = mls::signature_key(tree.suite()?, node)?;
    let pseudonym = if step.renewed { mls::credential(node)?.pseudonym } else { member.pseudonym };
    let keys = step.path_keys.clone().unwrap_or_else(|| member.keys.clone());
    let last_resort = if step.renewed { Flag::No } else { member.last_resort };
    let (leaf, active_epoch) = (step.leaf, tree.epoch());
    let since = if step.returns { active_epoch } else { member.since };
    let seen = Member { awaited: None, active: month, active_epoch, ..member };
    Ok(Member { leaf, key, pseudonym, keys, last_resort, since, ..seen })
}

/// At most so many snapshots are kept: the joiners of older ones resync (07).
fn forget_oldest(members: &mut [Member]) {
    let mut epochs: Vec<_> = members.iter().filter_map(|it| it.awaited).map(|it| it.epoch).collect();
    epochs.sort_unstable();
    epochs.dedup();
    let oldest = epochs.len().checked_sub(MAX_SNAPSHOTS).and_then(|place| epochs.get(place)).copied();
    for member in members {
        member.awaited = member.awaited.filter(|it| oldest.is_none_or(|oldest| it.epoch >= oldest));
    }
}

/// The commit goes to all that were members before it, also to those that it removes; its committer learns what
/// became of it in the same order; those that it adds are invited.
fn announce(
    submission: Submission<'_>,
    step: &Step<'_>,
    (before, after): (&Roster, &Roster),
    mut fan_out: FanOut,
) -> Result<FanOut, Failure> {
    let message = submission.commit.clone();
    let own = after.member(step.leaf).ok_or(NO_LEAF)?;
    let accepted = CommitAccepted { epoch: after.epoch, hash: sha256(&message) };
    let content = GroupContent { kind: ContentKind::Commit, sender: step.sender(), message };
    fan_out.send(NotifyClass::Silent, &content, step.others(before).map(|member| &member.config))?;
    let message = Opaque::new(accepted.encode()).map_err(Reject::from)?;
    let content = GroupContent { kind: ContentKind::CommitAccepted, sender: step.sender(), message };
    fan_out.send(NotifyClass::Silent, &content, std::iter::once(&own.config))?;
    for newcomer in step.newcomers {
        invite(newcomer, submission, after, &mut fan_out)?;
    }
    Ok(fan_out)
}

fn invite(
    newcomer: &Newcomer,
    submission: Submission<'_>,
    after: &Roster,
    fan_out: &mut FanOut,
) -> Result<(), Failure> {
    let Some(invitation) = &newcomer.invitation else { return Ok(()) };
    let member = after.members.iter().find(|it| it.key == newcomer.key).ok_or(NO_LEAF)?;
    let bundle = WelcomeBundle {
        welcome: invitation.welcome.clone(),
        attribution: invitation.attribution.clone(),
        access: submission.access.clone(),
        epoch: after.epoch,
        leaf: member.leaf,
    };
    let sealed = bundle.seal(&invitation.init_key, &invitation.package, fan_out.chance())?;
    Ok(fan_out.send_sealed(NotifyClass::Normal, sealed, &newcomer.config)?)
}

/// Writes the snapshot of this epoch, where it has joiners, and removes those that nobody waits for any more.
fn snapshots(
    group: &Group,
    before: &Roster,
    newcomers: &[Newcomer],
    chance: &mut Chance,
) -> Result<Vec<Write>, Failure> {
    let Members { site, roster } = &group.members;
    let mut writes = forgotten(&group.members, before);
    let joiner = |it: &Newcomer| {
        let Invitation { package, expires, .. } = it.invitation.as_ref()?;
        Some(SnapshotJoiner { package: *package, key: it.key.clone(), expires: *expires })
    };
    let joiners: Vec<_> = newcomers.iter().filter_map(joiner).collect();
    if !joiners.is_empty() {
        let joiners = List::new(joiners).map_err(Reject::from)?;
        let snapshot = Snapshot { joiners, tree: group.tree.ratchet_tree()?, roster: roster.published()? };
        let row: Bytes = kinds::snapshot(&site.ear, roster.epoch);
        writes.push(Write::Put(row.clone(), site.ear.seal(&row, &snapshot, LEAST_TREE, chance)?));
    }
    Ok(writes)
}

/// Removes snapshots that were waited for, and are no more.
pub(crate) fn forgotten(members: &Members, before: &Roster) -> Vec<Write> {
    let awaited = members.roster.awaited();
    let gone = before.awaited().into_iter().filter(|epoch| !awaited.contains(epoch));
    gone.map(|epoch| Write::Delete(kinds::snapshot(&members.site.ear, epoch))).collect()
}

const NO_MEMBER: Fault = Fault::Broken("a leaf without a member");
const NO_LEAF: Fault = Fault::Broken("a committer or joiner without a leaf");
