//! `report`: a member reports another to the operator. Nothing is kept of it here, and nothing comes of it by itself.

use phoenix_core::{
    Failure, LeafIndex, Pseudonym, Reject,
    api::{
        Empty,
        delivery::{self as api, ReportRequest},
    },
    limit::Loads,
    operation::{
        Authorised, Context, Decision, Decoded, Hint, Operation, Peers, Proven, Purpose, Reading, Rows,
    },
    port::AbuseReport,
};

use crate::{
    group::{Members, Site, prove_leaf},
    kinds, loads,
    service::DeliveryService,
};

/// Reports a member.
pub struct Report;

impl Operation for Report {
    type Endpoint = api::Report;
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
        // For a hint: who was a member a moment ago may report, and be reported.
        Ok(vec![site.reading(vec![kinds::ROSTER], Purpose::Glance)])
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
