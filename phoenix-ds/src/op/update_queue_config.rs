//! `update_queue_config`: where a member's messages go from now on.

use phoenix_core::{
    Failure, LeafIndex, Reject,
    api::{
        Empty,
        delivery::{self as api, ContentKind, GroupContent, UpdateQueueConfigRequest},
        queue::NotifyClass,
    },
    operation::{Authorised, Context, Decision, Operation, Peers},
    port::Alarm,
    wire::Opaque,
};

use crate::{
    accept::forgotten, fanout::FanOut, group::Members, roster::Member, rules, service::DeliveryService,
};

/// Replaces a member's queue config. A joiner that does so has joined: its snapshot may go. Who leaves the queue that
/// the former one leads to is told through it, in the order of the group, that nothing follows.
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
        let UpdateQueueConfigRequest { access, config, ends } = call.request();
        let (sender, config) = (*call.sender(), config.clone());
        let Members { site, roster: before } = members;
        if before.uses_config(&config.sealed, Some(sender)) {
            return Err(Reject::DuplicateKey.into());
        }
        let member = before.member(sender).cloned().ok_or(Reject::Unauthenticated)?;
        let mut fan_out = FanOut::new(access, &site.at, cx);
        if ends.is_set() {
            let content = GroupContent { kind: ContentKind::ConfigEnds, sender, message: Opaque::default() };
            fan_out.send(NotifyClass::Silent, &content, std::iter::once(&member.config))?;
        }
        let roster = before.clone().with(Member { config, awaited: None, ..member })?;
        let members = Members { site, roster };
        let mut writes = vec![members.write(&mut cx.chance("group"))?];
        writes.extend(forgotten(&members, &before));
        Ok(fan_out.decide(Decision::reply(Empty {}), members.site.at, writes, Alarm::Keep)?)
    }
}

fn check(request: &UpdateQueueConfigRequest, cx: &Context<DeliveryService>) -> Result<(), Failure> {
    Ok(rules::check_own_config(&request.config, cx)?)
}

#[cfg(test)]
mod tests;
