//! `welcome_info`: what a joiner needs beside its Welcome.

use phoenix_core::{
    Failure, Reject,
    api::delivery::{self as api, WelcomeInfoReply, WelcomeInfoRequest},
    operation::{
        Anyone, Authorised, Context, Decision, Decoded, Operation, Peers, Proven, Purpose, Reading, Rows,
    },
    wire::Sender,
};

use crate::{
    group::Site,
    kinds,
    service::DeliveryService,
    snapshot::{Snapshot, SnapshotJoiner},
};

/// Gives a joiner the tree and the roster of the epoch that it was added in.
pub struct WelcomeInfo;

impl Operation for WelcomeInfo {
    type Endpoint = api::WelcomeInfo;
    type Service = DeliveryService;
    type State = Snapshot;
    type Sender = Anyone;

    fn locate(
        call: &Decoded<Self>,
        found: &Rows,
        cx: &Context<DeliveryService>,
    ) -> Result<Vec<Reading>, Failure> {
        let WelcomeInfoRequest { access, epoch, .. } = call.request();
        let row = kinds::snapshot(&Site::of(access, cx)?.ear, *epoch);
        Site::readings(access, found, (&[row], Purpose::Glance), cx)
    }

    fn open(call: &Decoded<Self>, found: Rows, cx: &Context<DeliveryService>) -> Result<Snapshot, Failure> {
        let WelcomeInfoRequest { access, epoch, .. } = call.request();
        let site = Site::of(access, cx)?;
        let row = kinds::snapshot(&site.ear, *epoch);
        site.open(&row, &found)
    }

    fn authenticate(
        call: &Decoded<Self>,
        snapshot: &Snapshot,
        _: &Peers,
        cx: &Context<DeliveryService>,
    ) -> Result<Proven<Anyone>, Failure> {
        let (frame, request) = (call.frame()?, call.request());
        let named = matches!(frame.sender(), Sender::KeyPackage(group, package)
            if *group == request.access.group && *package == request.package);
        // A snapshot stays until the next commit, but not for those whose KeyPackage has expired since.
        let is_joiner =
            |it: &&SnapshotJoiner| it.package == request.package && cx.now.as_secs() <= it.expires;
        let joiner = snapshot.joiners.iter().find(|it| named && is_joiner(it));
        Ok(frame.prove(&joiner.ok_or(Reject::Unauthenticated)?.key, Anyone)?)
    }

    fn decide(
        snapshot: Snapshot,
        _: Authorised<Self>,
        _: &Peers,
        _: &Context<DeliveryService>,
    ) -> Result<Decision<WelcomeInfoReply>, Failure> {
        let Snapshot { joiners: _, tree, roster } = snapshot;
        Ok(Decision::reply(WelcomeInfoReply { tree, roster }))
    }
}

#[cfg(test)]
mod tests;
