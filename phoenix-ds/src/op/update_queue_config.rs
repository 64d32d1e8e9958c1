//! `update_queue_config`: where a member's messages go from now on.

use phoenix_core::{
    Failure, LeafIndex, Reject,
    api::{
        Empty,
        delivery::{self as api, UpdateQueueConfigRequest},
    },
    operation::{Authorised, Context, Decision, Operation, Peers},
    port::Alarm,
};

use crate::{accept::forgotten, group::Members, roster::Member, rules, service::DeliveryService};

/// Replaces a member's queue config. A joiner that does so has joined: its snapshot may go.
pub struct UpdateQueueConfig;

impl Operation for UpdateQueueConfig {
    type Endpoint = api::UpdateQueueConfig;
    type Service = DeliveryService;
    type State = Members;
    type Sender = LeafIndex;

    by_leaf!(Members, Change, check);

    fn decide(
        members: Members,
        call: Authorised<Self>,
        _: &Peers,
        cx: &Context<DeliveryService>,
    ) -> Result<Decision<Empty>, Failure> {
        let (sender, config) = (*call.sender(), call.request().config.clone());
        let Members { site, roster: before } = members;
        if before.uses_config(&config.sealed, Some(sender)) {
            return Err(Reject::DuplicateKey.into());
        }
        let member = before.member(sender).cloned().ok_or(Reject::Unauthenticated)?;
        let roster = before.clone().with(Member { config, awaited: None, ..member })?;
        let members = Members { site, roster };
        let mut writes = vec![members.write(&mut cx.chance("group"))?];
        writes.extend(forgotten(&members, &before));
        Ok(Decision::reply(Empty {}).change(members.site.at, writes, Alarm::Keep))
    }
}

fn check(request: &UpdateQueueConfigRequest, cx: &Context<DeliveryService>) -> Result<(), Failure> {
    Ok(rules::check_own_config(&request.config, cx)?)
}

#[cfg(test)]
mod tests;
