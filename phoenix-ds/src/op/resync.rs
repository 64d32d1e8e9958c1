//! `resync`: a member that fell behind comes back by external commit.

use phoenix_core::{
    Failure, LeafIndex,
    api::delivery::{self as api, Joined},
    operation::{Authorised, Context, Decision, Effort, Operation, Peers},
};

use crate::{
    accept::accept,
    commit::{Committer, stage},
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
        let staged = stage(group, call.request().into(), Committer::Returning(*call.sender()), Act::Return)?;
        accept(staged, Vec::new(), cx)
    }
}

#[cfg(test)]
mod tests;
