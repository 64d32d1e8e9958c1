//! `qs_keys`: the published keys of the QS.

use phoenix_core::{
    Failure,
    api::queue::{QsKeys as Endpoint, QsPublicKeys},
    operation::{Anyone, Authorised, Context, Decision, Decoded, Operation, Peers, Proven, Reading, Rows},
};

use crate::service::QueueService;

/// Tells the keys of the QS, current and next.
pub struct QsKeys;

impl Operation for QsKeys {
    type Endpoint = Endpoint;
    type Service = QueueService;
    type State = ();
    type Sender = Anyone;

    fn locate(_: &Decoded<Self>, _: &Rows, _: &Context<QueueService>) -> Result<Vec<Reading>, Failure> {
        Ok(Vec::new())
    }

    fn open(_: &Decoded<Self>, _: Rows, _: &Context<QueueService>) -> Result<(), Failure> {
        Ok(())
    }

    fn authenticate(
        _: &Decoded<Self>,
        (): &(),
        _: &Peers,
        _: &Context<QueueService>,
    ) -> Result<Proven<Anyone>, Failure> {
        Ok(Proven::anyone())
    }

    fn decide(
        (): (),
        _: Authorised<Self>,
        _: &Peers,
        cx: &Context<QueueService>,
    ) -> Result<Decision<QsPublicKeys>, Failure> {
        Ok(Decision::reply(cx.keys.service.public(cx.now)))
    }
}
