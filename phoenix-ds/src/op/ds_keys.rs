//! `ds_keys`: what verifies this DS.

use phoenix_core::{
    Failure,
    api::delivery::{self as api, DsPublicKeys},
    operation::{Anyone, Authorised, Context, Decision, Decoded, Operation, Peers, Proven, Reading, Rows},
};

use crate::service::DeliveryService;

/// The published keys of the DS.
pub struct DsKeys;

impl Operation for DsKeys {
    type Endpoint = api::DsKeys;
    type Service = DeliveryService;
    type State = ();
    type Sender = Anyone;

    fn locate(_: &Decoded<Self>, _: &Rows, _: &Context<DeliveryService>) -> Result<Vec<Reading>, Failure> {
        Ok(Vec::new())
    }

    fn open(_: &Decoded<Self>, _: Rows, _: &Context<DeliveryService>) -> Result<(), Failure> {
        Ok(())
    }

    fn authenticate(
        _: &Decoded<Self>,
        (): &(),
        _: &Peers,
        _: &Context<DeliveryService>,
    ) -> Result<Proven<Anyone>, Failure> {
        Ok(Proven::anyone())
    }

    fn decide(
        (): (),
        _: Authorised<Self>,
        _: &Peers,
        cx: &Context<DeliveryService>,
    ) -> Result<Decision<DsPublicKeys>, Failure> {
        Ok(Decision::reply(cx.keys.service.public(cx.now)))
    }
}
