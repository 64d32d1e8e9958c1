//! `self_remove`: a member's proposal to leave, stored for whoever commits next.

use openmls::prelude::{
    ProcessedMessageContent, Proposal, ProposalType, QueuedProposal, Sender as MlsSender,
};
use openmls_rust_crypto::RustCrypto;
use phoenix_core::{
    Failure, LeafIndex, Reject,
    api::delivery::{self as api, Accepted, MAX_PROPOSAL, Proposals, SelfRemoveRequest},
    operation::{Authorised, Context, Decision, Effort, Operation, Peers},
    port::Alarm,
    wire::{List, Wire},
};

use crate::{
    accept::forgotten,
    fanout::FanOut,
    group::{Group, Members},
    induced::{self, Induced},
    mls::{self, frames},
    roster::Member,
    service::DeliveryService,
    tree::{Reason, Tree},
};

/// Stores a member's wish to leave.
pub struct SelfRemove;

impl Operation for SelfRemove {
    type Endpoint = api::SelfRemove;
    type Service = DeliveryService;
    type State = Group;
    type Sender = LeafIndex;
    const EFFORT: Effort = Effort::Heavy;

    by_leaf!(Group, Change, check);

    fn decide(
        mut group: Group,
        call: Authorised<Self>,
        _: &Peers,
        cx: &Context<DeliveryService>,
    ) -> Result<Decision<Accepted>, Failure> {
        let (SelfRemoveRequest { access, proposal }, sender) = (call.request(), *call.sender());
        let message = frames::proposal(proposal, &access.group.encode())?;
        let epoch = group.members.roster.epoch;
        if message.epoch().as_u64() != epoch.0 {
            return Err(Reject::Conflict(Some(epoch.0)).into());
        }
        let others = group.members.roster.others(sender).map(|it| &it.config.domain);
        let accepted = Decision::reply(Accepted { epoch, delayed: cx.delays.towards(others, cx.now) });
        if group.tree.pending(sender).is_some() {
            return Ok(accepted);
        }
        check_others(&group, sender)?;
        let processed = group.tree.group.process_message(&RustCrypto::default(), message);
        let ProcessedMessageContent::ProposalMessage(queued) =
            processed.map_err(|_| PROPOSAL)?.into_content()
        else {
            return Err(PROPOSAL.into());
        };
        check_own(&queued, &group.tree, sender)?;
        group.tree.store(*queued, (sender, Reason::Left), proposal.clone())?;
        let wish = List::new(vec![proposal.clone()]).map_err(Reject::from)?;
        conclude(group, &call, wish, accepted, cx)
    }
}

fn check(request: &SelfRemoveRequest, _: &Context<DeliveryService>) -> Result<(), Failure> {
    if request.proposal.len() > MAX_PROPOSAL { Err(Reject::TooLarge("proposal").into()) } else { Ok(()) }
}

/// What is written and sent: the wish to all others, and what the DS found to propose beside it to everybody.
fn conclude(
    group: Group,
    call: &Authorised<SelfRemove>,
    wish: Proposals,
    accepted: Decision<Accepted>,
    cx: &Context<DeliveryService>,
) -> Result<Decision<Accepted>, Failure> {
    let (access, sender) = (&call.request().access, *call.sender());
    let Induced { group, writes: noted, issued } = induced::propose(group, &[], sender, cx)?;
    let Group { members: Members { site, roster: before }, clear, graveyard, tree } = group;
    let mut fan_out = FanOut::new(access, &site.at, cx);
    fan_out.propose(&wish, sender, before.others(sender))?;
    fan_out.propose(&issued, api::DS_LEAF, &before.members)?;
    let member = before.member(sender).cloned().ok_or(Reject::Unauthenticated)?;
    // Who wants to leave is there, and needs no snapshot to join by.
    let roster = before.clone().with(Member { awaited: None, ..member })?;
    let group = Group { members: Members { site, roster }, clear, graveyard, tree };
    let mut writes = group.writes(&mut cx.chance("group"))?;
    writes.extend(noted);
    writes.extend(forgotten(&group.members, &before));
    Ok(fan_out.decide(accepted, group.members.site.at, writes, Alarm::Keep)?)
}

/// Somebody must be left whose commit takes the proposal along: nobody commits its own removal.
fn check_others(group: &Group, sender: LeafIndex) -> Result<(), Reject> {
    let may_commit =
        |leaf: LeafIndex| group.tree.pending(leaf).is_none_or(|it| it.reason == Reason::Inactive);
    let mut others = group.members.roster.others(sender);
    if others.any(|member| may_commit(member.leaf)) { Ok(()) } else { Err(Reject::Forbidden) }
}

/// Checks that a commit of the proposal alone would be valid: a SelfRemove is for groups in which every leaf lists
/// it (07, "Proposal store").
fn check_own(queued: &QueuedProposal, tree: &Tree, sender: LeafIndex) -> Result<(), Reject> {
    let is_own = |leaf| mls::leaf_index(leaf) == sender;
    let from_sender = matches!(queued.sender(), MlsSender::Member(leaf) if is_own(*leaf));
    let is_valid = match queued.proposal() {
        Proposal::SelfRemove => tree
            .group
            .treesync()
            .full_leaves()
            .all(|(_, leaf)| leaf.capabilities().proposals().contains(&ProposalType::SelfRemove)),
        Proposal::Remove(remove) => is_own(remove.removed()),
        _ => false,
    };
    if from_sender && is_valid { Ok(()) } else { Err(PROPOSAL) }
}

const PROPOSAL: Reject = Reject::Malformed("proposal");

#[cfg(test)]
mod tests;
