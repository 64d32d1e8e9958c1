//! `update_client`: a commit that updates its sender's leaf.

use phoenix_core::{
    Failure, LeafIndex,
    api::delivery::{self as api, Accepted},
    operation::{Authorised, Context, Decision, Effort, Operation, Peers},
};

use crate::{accept::decide_commit, group::Group, rules::Act, service::DeliveryService};

/// Updates a member's leaf.
pub struct UpdateClient;

impl Operation for UpdateClient {
    type Endpoint = api::UpdateClient;
    type Service = DeliveryService;
    type State = Group;
    type Sender = LeafIndex;
    const EFFORT: Effort = Effort::Heavy;

    by_leaf!(Group, Change);

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
