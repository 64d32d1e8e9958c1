//! `delete_group`: a commit that removes all others, after which nothing is left of the group but that its id is barred.

use bytes::Bytes;
use phoenix_core::{
    Failure, LeafIndex,
    api::delivery::{self as api, Accepted},
    operation::{Authorised, Context, Decision, Effort, Operation, Peers},
    port::{Alarm, Write},
    time::DAY,
};

use crate::{
    accept::farewell,
    commit::{Committer, stage},
    group::Group,
    kinds,
    rules::Act,
    service::DeliveryService,
};

/// Ends a group.
pub struct DeleteGroup;

impl Operation for DeleteGroup {
    type Endpoint = api::DeleteGroup;
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
        let staged = stage(group, call.request().into(), Committer::Member(*call.sender()), Act::Delete)?;
        let (fan_out, accepted, at) = farewell(staged, cx)?;
        // Only this one row stays, and its alarm drops it.
        let writes = vec![Write::DeleteBelow(kinds::BARRED), Write::Put(kinds::BARRED, Bytes::new())];
        Ok(fan_out.decide(Decision::reply(accepted), at, writes, Alarm::At(cx.now.plus_secs(BARRED_S)))?)
    }
}

/// For how long the id of a deleted group is not given to another (07).
const BARRED_S: u64 = 90 * DAY;

#[cfg(test)]
mod tests;
