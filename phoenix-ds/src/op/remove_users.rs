//! `remove_users`: a commit that removes members.

use phoenix_core::{
    Failure, LeafIndex,
    api::delivery::{self as api, Accepted},
    operation::{Authorised, Context, Decision, Effort, Operation, Peers},
};

use crate::{accept::decide_commit, group::Group, rules::Act, service::DeliveryService};

/// Removes members.
pub struct RemoveUsers;

impl Operation for RemoveUsers {
    type Endpoint = api::RemoveUsers;
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
        decide_commit(group, call.request(), *call.sender(), Act::Remove, cx)
    }
}

#[cfg(test)]
mod tests;
