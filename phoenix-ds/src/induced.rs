//! Removals that the DS proposes itself, as an external sender (07, "DS-induced removals").

use std::collections::{BTreeMap, BTreeSet};

use openmls::prelude::StagedCommit;
use openmls_rust_crypto::RustCrypto;
use phoenix_core::{
    Failure, Fqdn, LeafIndex, Timestamp,
    api::delivery::Proposals,
    operation::Context,
    port::Write,
    time::{DAY, Month},
    wire::List,
};

use crate::{
    group::{Graveyard, Group, Members},
    kinds,
    mls::{context, signer::ExternalSigner},
    roster::{Member, Roster},
    service::DeliveryService,
    tree::{Reason, Tree},
};

/// A group with the proposals that the DS has stored in it.
pub(crate) struct Induced {
    /// The group.
    pub(crate) group: Group,
    /// The write of its notes, where they changed.
    pub(crate) writes: Vec<Write>,
    /// What was stored just now.
    pub(crate) issued: Proposals,
}

/// Who wishes to leave, and is not let go by a commit: an external one takes along what it can.
pub(crate) fn wishes(tree: &Tree, commit: &StagedCommit) -> Vec<LeafIndex> {
    let removed: BTreeSet<_> = commit.queued_proposals().map(|it| it.proposal_reference_ref()).collect();
    let wish = tree.pending.iter().filter(|it| it.reason == Reason::Left);
    wish.filter(|it| !removed.contains(&it.reference)).map(|it| it.leaf).collect()
}

/// Proposes removals of this epoch: of those that wish to leave, whose queues are gone or at a blocked domain, or
/// who have not committed for long, but for the sender of the request in hand. Where the group lists no key of this
/// DS, there is nothing to sign with.
///
/// # Errors
/// [`Failure::Broken`] where the group's record is not what was stored.
pub(crate) fn propose(
    mut group: Group,
    wishes: &[LeafIndex],
    sender: LeafIndex,
    cx: &Context<DeliveryService>,
) -> Result<Induced, Failure> {
    let Dug { gone, graveyard, writes } = dig(group.graveyard, &group.members, &group.tree, cx.now)?;
    group.graveyard = graveyard;
    let (roster, tree) = (&group.members.roster, &mut group.tree);
    let reason = |member: &Member| reason(member, wishes, &gone, sender, cx);
    let mut found: Vec<_> = roster.members.iter().filter_map(|it| Some((it.leaf, reason(it)?))).collect();
    found.retain(|(leaf, _)| tree.pending(*leaf).is_none());
    if nobody_stays(roster, tree, &found) {
        // Nobody could take the proposals along: where all queues are gone, more likely a QS has forgotten them.
        found.retain(|(_, reason)| *reason != Reason::Gone);
    }
    let before = tree.pending.len();
    // Most commits find nobody, and cost nothing more.
    if !found.is_empty() {
        // The surest first, in case that they are too many.
        found.sort_by_key(|(_, reason)| *reason as u8);
        found.truncate(room(roster).min(tree.room_for_own(MOST)));
        issue(tree, found, cx)?;
    }
    let issued = tree.pending.iter().skip(before).map(|it| it.message.clone()).collect();
    let issued = List::new(issued).unwrap_or_default();
    Ok(Induced { group, writes, issued })
}

fn issue(
    tree: &mut Tree,
    found: Vec<(LeafIndex, Reason)>,
    cx: &Context<DeliveryService>,
) -> Result<(), Failure> {
    let listed = context::sender_keys(tree.group.group_context().extensions())?;
    let Some((place, key)) = cx.keys.service.signer(&listed, tree.suite()?, cx.now) else { return Ok(()) };
    let (crypto, signer) = (RustCrypto::default(), ExternalSigner { place, key });
    found.into_iter().try_for_each(|target| tree.propose(&crypto, &signer, target))
}

/// What notes say, and what stays of them.
struct Dug {
    /// Queues that are gone for good.
    gone: BTreeSet<[u8; 32]>,
    graveyard: Graveyard,
    /// The write of the notes, where they changed.
    writes: Vec<Write>,
}

/// Opens what was noted of queues that are gone, and keeps what is of members still.
fn dig(
    graveyard: Graveyard,
    Members { site, roster }: &Members,
    tree: &Tree,
    now: Timestamp,
) -> Result<Dug, Failure> {
    if graveyard.notes.is_empty() {
        return Ok(Dug { gone: BTreeSet::new(), graveyard, writes: Vec::new() });
    }
    let secret = graveyard.secret(site, tree.suite()?)?;
    let Graveyard { notes: before, key } = graveyard;
    let used = roster.members.iter().map(|member| member.config.sealed.digest()).collect();
    let (gone, notes) = before.clone().gone((&secret, site.at.key()), &used, now)?;
    let write =
        if notes.is_empty() { Write::Delete(kinds::NOTES) } else { Write::Put(kinds::NOTES, notes.row()) };
    let writes = if notes == before { Vec::new() } else { vec![write] };
    Ok(Dug { gone, graveyard: Graveyard { notes, key }, writes })
}

fn reason(
    member: &Member,
    wishes: &[LeafIndex],
    gone: &BTreeSet<[u8; 32]>,
    sender: LeafIndex,
    cx: &Context<DeliveryService>,
) -> Option<Reason> {
    if wishes.contains(&member.leaf) {
        return Some(Reason::Left);
    }
    if !gone.is_empty() && gone.contains(&member.config.sealed.digest()) {
        return Some(Reason::Gone);
    }
    if cx.federation.is_blocked(&member.config.domain) {
        return Some(Reason::Blocked);
    }
    (member.leaf != sender && is_inactive(member.active, cx.now)).then_some(Reason::Inactive)
}

/// Whether all members would be on their way out, by what is stored and what was found: whose commit would be taken is
/// whoever is proposed for nothing, or for inactivity alone.
fn nobody_stays(roster: &Roster, tree: &Tree, found: &[(LeafIndex, Reason)]) -> bool {
    let found: BTreeMap<_, _> = found.iter().copied().collect();
    let reason = |leaf| tree.pending(leaf).map(|it| it.reason).or_else(|| found.get(&leaf).copied());
    roster.members.iter().all(|member| reason(member.leaf).is_some_and(|it| it != Reason::Inactive))
}

/// A month counts to its end: within it, nobody knows when.
fn is_inactive(active: Month, now: Timestamp) -> bool {
    now > active.plus(1).start().plus_secs(INACTIVE_S)
}

/// How many proposals the DS issues at once, if it has issued none in this epoch: fewer than an epoch may have where
/// they would take too much of the batch, since every domain gets them for itself, and one at least.
fn room(roster: &Roster) -> usize {
    let domains: BTreeSet<&Fqdn> = roster.members.iter().map(|member| &member.config.domain).collect();
    let recipients = roster.members.len().saturating_mul(RECIPIENT);
    let envelopes = domains.len().saturating_mul(ENVELOPE);
    let rest = BUDGET.saturating_sub(recipients).saturating_sub(envelopes);
    let each = domains.len().saturating_mul(PROPOSAL).max(1);
    rest.checked_div(each).unwrap_or(MOST).clamp(1, MOST)
}

/// Members that have not committed for so long after the end of the month are proposed for removal (07).
const INACTIVE_S: u64 = 90 * DAY;
/// Proposals of the DS in an epoch at most (07).
const MOST: usize = 32;
/// Bytes of a batch for proposals: a quarter; the rest is for the group and the commit.
const BUDGET: usize = 2 << 20;
/// Bytes of a sealed queue config, in a list of recipients.
const RECIPIENT: usize = 512;
/// Bytes of one message beside its recipients and proposals.
const ENVELOPE: usize = 2 << 10;
/// Bytes of a removal by the DS.
const PROPOSAL: usize = 512;

#[cfg(test)]
mod tests;
