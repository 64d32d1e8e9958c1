//! `update_queue_config`: where a member's messages go from now on.

use phoenix_core::{
    Failure, LeafIndex, Reject,
    api::{Empty, delivery as api},
    limit::Loads,
    operation::{Authorised, Context, Decision, Decoded, Operation, Peers, Proven, Purpose, Reading, Rows},
    port::Alarm,
};

use crate::{
    accept::forgotten,
    group::{Members, Site, prove_leaf},
    kinds, loads,
    roster::Member,
    rules,
    service::DeliveryService,
};

/// Replaces a member's queue config. A joiner that does so has joined: its snapshot may go.
pub struct UpdateQueueConfig;

impl Operation for UpdateQueueConfig {
    type Endpoint = api::UpdateQueueConfig;
    type Service = DeliveryService;
    type State = Members;
    type Sender = LeafIndex;

    fn locate(
        call: &Decoded<Self>,
        found: &Rows,
        cx: &Context<DeliveryService>,
    ) -> Result<Vec<Reading>, Failure> {
        if !found.is_empty() {
            return Ok(Vec::new());
        }
        let site = Site::of(&call.request().access, cx)?;
        // Only an AddPackage, made before its group is known, has a config that any DS may use.
        if call.request().config.any.is_set() {
            return Err(Reject::Malformed("queue config").into());
        }
        rules::check_domain(&call.request().config, cx)?;
        Ok(vec![site.reading(vec![kinds::ROSTER], Purpose::Change)])
    }

    fn open(call: &Decoded<Self>, found: Rows, cx: &Context<DeliveryService>) -> Result<Members, Failure> {
        Members::open(&call.request().access, &found, cx)
    }

    fn authenticate(
        call: &Decoded<Self>,
        members: &Members,
        _: &Peers,
        _: &Context<DeliveryService>,
    ) -> Result<Proven<LeafIndex>, Failure> {
        Ok(prove_leaf(call.frame()?, &call.request().access.group, &members.roster, |leaf| leaf)?)
    }

    fn loads(call: &Decoded<Self>, _: &Members, sender: &LeafIndex, _: &Context<DeliveryService>) -> Loads {
        loads::change(&call.request().access.group, *sender)
    }

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

#[cfg(test)]
mod tests;
