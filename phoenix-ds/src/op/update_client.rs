//! `update_client`: a commit that updates its sender's leaf.

use phoenix_core::{
    Failure, LeafIndex,
    api::delivery::{self as api, Accepted},
    limit::Loads,
    operation::{
        Authorised, Context, Decision, Decoded, Effort, Operation, Peers, Proven, Purpose, Reading, Rows,
    },
};

use crate::{
    accept::decide_commit,
    group::{Group, prove_leaf},
    loads,
    rules::Act,
    service::DeliveryService,
};

/// Updates a member's leaf.
pub struct UpdateClient;

impl Operation for UpdateClient {
    type Endpoint = api::UpdateClient;
    type Service = DeliveryService;
    type State = Group;
    type Sender = LeafIndex;
    const EFFORT: Effort = Effort::Heavy;

    fn locate(
        call: &Decoded<Self>,
        found: &Rows,
        cx: &Context<DeliveryService>,
    ) -> Result<Vec<Reading>, Failure> {
        if !found.is_empty() {
            return Ok(Vec::new());
        }
        Ok(vec![Group::reading(&call.request().access, Purpose::Change, cx)?])
    }

    fn open(call: &Decoded<Self>, found: Rows, cx: &Context<DeliveryService>) -> Result<Group, Failure> {
        Group::open(&call.request().access, &found, cx)
    }

    fn authenticate(
        call: &Decoded<Self>,
        group: &Group,
        _: &Peers,
        _: &Context<DeliveryService>,
    ) -> Result<Proven<LeafIndex>, Failure> {
        Ok(prove_leaf(call.frame()?, &call.request().access.group, &group.members.roster, |leaf| leaf)?)
    }

    fn loads(call: &Decoded<Self>, _: &Group, sender: &LeafIndex, _: &Context<DeliveryService>) -> Loads {
        loads::change(&call.request().access.group, *sender)
    }

    fn decide(
        group: Group,
        call: Authorised<Self>,
        _: &Peers,
        cx: &Context<DeliveryService>,
    ) -> Result<Decision<Accepted>, Failure> {
        decide_commit(group, call.request(), *call.sender(), Act::Update, cx)
    }
}

#[cfg(test)]
mod tests;
