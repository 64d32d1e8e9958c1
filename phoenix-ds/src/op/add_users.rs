//! `add_users`: a commit that adds members.

use phoenix_core::{
    Failure, LeafIndex,
    api::delivery::{self as api, Accepted, AddUsersRequest},
    limit::Loads,
    operation::{
        Authorised, Context, Decision, Decoded, Effort, Need, Operation, Peers, Proven, Purpose, Reading,
        Rows,
    },
    wire::Sender,
};

use crate::{
    accept::accept,
    adds,
    commit::{Committer, Submission, current, stage},
    group::{Group, prove_leaf},
    loads,
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

    fn requires(call: &Decoded<Self>, group: &Group) -> Result<Vec<Need>, Failure> {
        // A lost race, and who may not add, are found out before any peer is asked.
        current(group, submission(call.request()))?;
        if let Sender::Leaf(_, leaf) = call.frame()?.sender() {
            rules::check_role(group, *leaf, Act::Add)?;
        }
        Ok(adds::needs(&call.request().batches)?)
    }

    fn loads(call: &Decoded<Self>, _: &Group, sender: &LeafIndex, _: &Context<DeliveryService>) -> Loads {
        loads::change(&call.request().access.group, *sender)
    }

    fn decide(
        group: Group,
        call: Authorised<Self>,
        peers: &Peers,
        cx: &Context<DeliveryService>,
    ) -> Result<Decision<Accepted>, Failure> {
        let (request, sender) = (call.request(), *call.sender());
        rules::check_role(&group, sender, Act::Add)?;
        let staged = stage(group, submission(request), Committer::Member(sender), Act::Add)?;
        let newcomers = adds::newcomers(&staged, request, peers, cx)?;
        accept(staged, newcomers, cx, |arrived| Accepted { epoch: arrived.epoch, delayed: arrived.delayed })
    }
}

const fn submission(request: &AddUsersRequest) -> Submission<'_> {
    Submission { access: &request.access, commit: &request.commit, update: &request.group_info }
}

#[cfg(test)]
mod tests;
