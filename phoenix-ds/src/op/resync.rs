//! `resync`: a member that fell behind comes back by external commit.

use phoenix_core::{
    Failure, LeafIndex,
    api::delivery::{self as api, CommitRequest, Joined},
    operation::{Authorised, Context, Decision, Effort, Operation, Peers},
};

use crate::{
    accept::{Arrived, accept},
    commit::{Committer, Submission, stage},
    group::Group,
    rules::Act,
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

    by_leaf!(Group, Change);

    fn decide(
        group: Group,
        call: Authorised<Self>,
        _: &Peers,
        cx: &Context<DeliveryService>,
    ) -> Result<Decision<Joined>, Failure> {
        let CommitRequest { access, commit, group_info: update } = call.request();
        let sender = *call.sender();
        let submission = Submission { access, commit, update };
        let staged = stage(group, submission, Committer::Returning(sender), Act::Return)?;
        accept(staged, Vec::new(), cx, |arrived| {
            let Arrived { epoch, committer, delayed } = arrived;
            Joined { leaf: committer, epoch, delayed }
        })
    }
}

#[cfg(test)]
mod tests;
