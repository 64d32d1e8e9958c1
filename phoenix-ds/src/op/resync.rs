//! `resync`: a member that fell behind comes back by external commit.

use phoenix_core::{
    Failure, LeafIndex,
    api::delivery::{self as api, CommitRequest, Joined},
    limit::Loads,
    operation::{
        Authorised, Context, Decision, Decoded, Effort, Operation, Peers, Proven, Purpose, Reading, Rows,
    },
};

use crate::{
    accept::accept,
    commit::{Committer, Submission, stage},
    group::{Group, prove_leaf},
    loads,
    rules::{self, Act},
    service::DeliveryService,
};

/// Puts a member back into its group, as who it was: same key, same credential, same rights, same queue.
pub struct Resync;

impl Operation for Resync {
    type Endpoint = api::Resync;
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
    ) -> Result<Decision<Joined>, Failure> {
        let CommitRequest { access, commit, group_info: update } = call.request();
        let sender = *call.sender();
        rules::check_role(&group, sender, Act::Return)?;
        let submission = Submission { access, commit, update };
        let staged = stage(group, submission, Committer::Returning(sender), Act::Return)?;
        accept(staged, Vec::new(), cx, |arrived| Joined { leaf: arrived.committer, epoch: arrived.epoch })
    }
}

#[cfg(test)]
mod tests;
