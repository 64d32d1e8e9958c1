//! `external_commit_info`: what an external commit needs.

use phoenix_core::{
    Failure, Reject,
    api::delivery::{self as api, ExternalCommitInfoReply, ExternalCommitInfoRequest},
    operation::{
        Anyone, Authorised, Context, Decision, Decoded, Effort, Operation, Peers, Proven, Purpose, Reading,
        Rows,
    },
};

use crate::{
    group::{Group, prove_leaf},
    mls::context,
    service::DeliveryService,
};

/// Gives members that resync, and whoever holds the join code of an open connection, the state to join by.
pub struct ExternalCommitInfo;

impl Operation for ExternalCommitInfo {
    type Endpoint = api::ExternalCommitInfo;
    type Service = DeliveryService;
    type State = Group;
    type Sender = Anyone;
    const EFFORT: Effort = Effort::Heavy;

    fn locate(
        call: &Decoded<Self>,
        found: &Rows,
        cx: &Context<DeliveryService>,
    ) -> Result<Vec<Reading>, Failure> {
        Group::readings(&call.request().access, found, Purpose::Glance, cx)
    }

    fn open(call: &Decoded<Self>, found: Rows, cx: &Context<DeliveryService>) -> Result<Group, Failure> {
        Group::open(&call.request().access, &found, cx)
    }

    fn authenticate(
        call: &Decoded<Self>,
        group: &Group,
        _: &Peers,
        cx: &Context<DeliveryService>,
    ) -> Result<Proven<Anyone>, Failure> {
        let ExternalCommitInfoRequest { access, join_code } = call.request();
        let roster = &group.members.roster;
        let Some(code) = join_code else {
            return Ok(prove_leaf(call.frame()?, &access.group, roster, |_| Anyone)?);
        };
        if call.frame().is_ok() {
            return Err(Reject::Malformed("join code").into());
        }
        if roster.closed.is_set() {
            return Err(Reject::NotFound.into());
        }
        context::check_join_code(group.tree.group.group_context(), code, cx.now)?;
        Ok(Proven::anyone())
    }

    fn decide(
        group: Group,
        _: Authorised<Self>,
        _: &Peers,
        _: &Context<DeliveryService>,
    ) -> Result<Decision<ExternalCommitInfoReply>, Failure> {
        let tree = group.tree.ratchet_tree()?;
        let roster = group.members.roster.published()?;
        let (proposals, group_info) = (group.tree.proposals(), group.tree.group_info);
        Ok(Decision::reply(ExternalCommitInfoReply { group_info, tree, roster, proposals }))
    }
}

#[cfg(test)]
mod tests;
