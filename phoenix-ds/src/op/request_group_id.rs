//! `request_group_id`: a fresh group id, which nobody keeps.

use phoenix_core::{
    Failure, GroupId, Uuid,
    api::delivery::{self as api, GroupReservation},
    operation::{Anyone, Authorised, Context, Decision, Decoded, Operation, Peers, Proven, Reading, Rows},
    time::MINUTE,
};

use crate::service::DeliveryService;

/// Makes a group id.
pub struct RequestGroupId;

impl Operation for RequestGroupId {
    type Endpoint = api::RequestGroupId;
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
    ) -> Result<Decision<GroupReservation>, Failure> {
        let uuid = Uuid::from_random(cx.chance("group id").bytes());
        let group = GroupId { uuid, domain: cx.domain.clone() };
        let expires = cx.now.plus_secs(VALIDITY_S).as_secs();
        let mac = *cx.keys.service.reservation_mac(&group, expires).expose();
        Ok(Decision::reply(GroupReservation { group, expires, mac }))
    }
}

/// For how long a reservation holds (07).
const VALIDITY_S: u64 = 10 * MINUTE;

#[cfg(test)]
mod tests;
