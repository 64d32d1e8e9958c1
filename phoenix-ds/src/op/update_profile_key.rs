//! `update_profile_key`: the key that opens a member's profile, told to all. The tree is not read: what members know each
//! other by is in the roster.

use phoenix_core::{
    Failure, LeafIndex, Reject,
    api::{
        delivery::{
            self as api, Accepted, ContentKind, GroupContent, MemberKeys, ProfileKeyUpdated,
            UpdateProfileKeyRequest,
        },
        queue::NotifyClass,
    },
    limit::Loads,
    operation::{Authorised, Context, Decision, Decoded, Operation, Peers, Proven, Purpose, Reading, Rows},
    port::Alarm,
    wire::{Opaque, Wire},
};

use crate::{
    fanout::FanOut,
    group::{Members, Site, prove_leaf},
    kinds, loads,
    roster::Member,
    service::DeliveryService,
};

/// Replaces a member's profile key.
pub struct UpdateProfileKey;

impl Operation for UpdateProfileKey {
    type Endpoint = api::UpdateProfileKey;
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
    ) -> Result<Decision<Accepted>, Failure> {
        let UpdateProfileKeyRequest { access, profile_key } = call.request();
        let (sender, Members { site, roster: before }) = (*call.sender(), members);
        let member = before.member(sender).cloned().ok_or(Reject::Unauthenticated)?;
        let told = ProfileKeyUpdated { member: member.pseudonym, profile_key: profile_key.clone() };
        let message = Opaque::new(told.encode()).map_err(Reject::from)?;
        let content = GroupContent { kind: ContentKind::ProfileKey, sender, message };
        let mut fan_out = FanOut::new(access, &site.at, cx);
        fan_out.send(NotifyClass::Silent, &content, before.others(sender).map(|it| &it.config))?;
        let delayed = cx.delays.towards(before.others(sender).map(|it| &it.config.domain), cx.now);
        let accepted = Decision::reply(Accepted { epoch: before.epoch, delayed });
        let keys = MemberKeys { profile_key: profile_key.clone(), ..member.keys.clone() };
        let members = Members { site, roster: before.with(Member { keys, ..member })? };
        let writes = vec![members.write(&mut cx.chance("group"))?];
        Ok(fan_out.decide(accepted, members.site.at, writes, Alarm::Keep)?)
    }
}

#[cfg(test)]
mod tests;
