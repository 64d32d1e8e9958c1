//! `add_users`: a commit that adds members.

use phoenix_core::{
    Failure, LeafIndex,
    api::delivery::{self as api, Accepted, AddUsersRequest},
    operation::{Authorised, Context, Decision, Decoded, Effort, Need, Operation, Peers},
    wire::Sender,
};

use crate::{
    accept::accept,
    adds,
    commit::{Committer, Submission, current, stage},
    group::Group,
    rules::{self, Act},
    service::DeliveryService,
};

/// Adds members.
pub struct AddUsers;

impl Operation for AddUsers {
    type Endpoint = api::AddUsers;
    type Service = DeliveryService;
    type State = Group;
    type Sender = LeafIndex;
    const EFFORT: Effort = Effort::Heavy;

    by_leaf!(Group, Change);

    fn requires(call: &Decoded<Self>, group: &Group) -> Result<Vec<Need>, Failure> {
        // A lost race, and who may not add, are found out before any peer is asked.
        current(group, submission(call.request()))?;
        if let Sender::Leaf(_, leaf) = call.frame()?.sender() {
            rules::check_role(group, *leaf, Act::Add)?;
        }
        Ok(adds::needs(&call.request().batches)?)
    }

    fn decide(
        group: Group,
        call: Authorised<Self>,
        peers: &Peers,
        cx: &Context<DeliveryService>,
    ) -> Result<Decision<Accepted>, Failure> {
        let (request, sender) = (call.request(), *call.sender());
        let staged = stage(group, submission(request), Committer::Member(sender), Act::Add)?;
        let newcomers = adds::newcomers(&staged, request, peers, cx)?;
        accept(staged, newcomers, cx)
    }
}

const fn submission(request: &AddUsersRequest) -> Submission<'_> {
    Submission { access: &request.access, commit: &request.commit, update: &request.group_info }
}

#[cfg(test)]
mod tests;
