//! `change_roles`: a commit that says who is admin, or brings the DS's keys up to date.

use phoenix_core::{
    Failure, LeafIndex,
    api::delivery::{self as api, Accepted},
    operation::{Authorised, Context, Decision, Effort, Operation, Peers},
};

use crate::{
    accept::accept,
    commit::{Committer, stage},
    group::Group,
    mls::context,
    rules::Act,
    service::DeliveryService,
};

/// Changes roles, or the external senders.
pub struct ChangeRoles;

impl Operation for ChangeRoles {
    type Endpoint = api::ChangeRoles;
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
        let staged = stage(group, call.request().into(), Committer::Member(*call.sender()), Act::Roles)?;
        if let Some(senders) = staged.change.as_ref().and_then(|change| change.senders.as_ref()) {
            let suite = staged.group.tree.suite()?;
            context::check_published(senders, &cx.keys.service.public(cx.now), suite)?;
        }
        accept(staged, Vec::new(), cx)
    }
}

#[cfg(test)]
mod tests;
