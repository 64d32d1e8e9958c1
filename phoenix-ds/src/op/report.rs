//! `report`: a member reports another to the operator. Nothing is kept of it here, and nothing comes of it by itself.

use phoenix_core::{
    Failure, LeafIndex, Pseudonym, Reject,
    api::{
        Empty,
        delivery::{self as api, ReportRequest},
    },
    operation::{Authorised, Context, Decision, Hint, Operation, Peers},
    port::AbuseReport,
};

use crate::{group::Members, service::DeliveryService};

/// Reports a member.
pub struct Report;

impl Operation for Report {
    type Endpoint = api::Report;
    type Service = DeliveryService;
    type State = Members;
    type Sender = LeafIndex;

    by_leaf!(Members, Glance);

    fn decide(
        members: Members,
        call: Authorised<Self>,
        _: &Peers,
        cx: &Context<DeliveryService>,
    ) -> Result<Decision<Empty>, Failure> {
        let ReportRequest { access, accused, reason, evidence } = call.request();
        let reporter: Pseudonym =
            members.roster.member(*call.sender()).ok_or(Reject::Unauthenticated)?.pseudonym;
        if reporter == *accused {
            return Err(Reject::Malformed("accused").into());
        }
        if !members.roster.has_pseudonym(accused) {
            return Err(Reject::NotFound.into());
        }
        let report = AbuseReport {
            group: access.group.clone(),
            accused: *accused,
            reporter,
            reason: *reason,
            evidence: evidence.bytes(),
            reported_at: cx.now,
        };
        Ok(Decision::reply(Empty {}).hint(Hint::Report(Box::new(report))))
    }
}

#[cfg(test)]
mod tests;
