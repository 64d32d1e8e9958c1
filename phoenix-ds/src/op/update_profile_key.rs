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
    operation::{Authorised, Context, Decision, Operation, Peers},
    port::Alarm,
    wire::{Opaque, Wire},
};

use crate::{fanout::FanOut, group::Members, roster::Member, service::DeliveryService};

/// Replaces a member's profile key.
pub struct UpdateProfileKey;

impl Operation for UpdateProfileKey {
    type Endpoint = api::UpdateProfileKey;
    type Service = DeliveryService;
    type State = Members;
    type Sender = LeafIndex;

    by_leaf!(Members, Change);

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
