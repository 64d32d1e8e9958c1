//! `registration_switch`: closes registration at once, on all replicas, and opens it again.

use phoenix_core::{
    Failure,
    api::{Description, Endpoint, ServiceName},
    operation::{Anyone, Authorised, Context, Decision, Decoded, Operation, Peers, Proven, Reading, Rows},
    port::{Alarm, Write},
    wire::Flag,
};

use crate::{AuthService, kinds, policy, record};

/// Closes registration, or opens it for whom the policy lets in; without a request it is only looked at. Answers
/// whether it is closed from now on: then no user comes to be, also none whose registration was begun before.
pub struct RegistrationSwitch;

impl Endpoint for RegistrationSwitch {
    const DESCRIPTION: Description =
        Description::new(0x01f0, ServiceName::As, "registration_switch").internal();
    /// Whether it is to be closed.
    type Request = Option<Flag>;
    type Reply = Flag;
}

impl Operation for RegistrationSwitch {
    type Endpoint = Self;
    type Service = AuthService;
    /// Whether it is closed now.
    type State = bool;
    type Sender = Anyone;

    fn locate(_: &Decoded<Self>, found: &Rows, _: &Context<AuthService>) -> Result<Vec<Reading>, Failure> {
        Ok(if found.is_empty() { vec![policy::reading_switch()] } else { Vec::new() })
    }

    fn open(_: &Decoded<Self>, found: Rows, _: &Context<AuthService>) -> Result<bool, Failure> {
        Ok(policy::is_closed(&found, 0)?)
    }

    fn authenticate(
        _: &Decoded<Self>,
        _: &bool,
        _: &Peers,
        _: &Context<AuthService>,
    ) -> Result<Proven<Anyone>, Failure> {
        Ok(Proven::anyone())
    }

    fn decide(
        is_closed: bool,
        call: Authorised<Self>,
        _: &Peers,
        _: &Context<AuthService>,
    ) -> Result<Decision<Flag>, Failure> {
        let at = kinds::registration_switch();
        Ok(match *call.request() {
            None => Decision::reply(Flag::from(is_closed)),
            Some(Flag::Yes) => Decision::reply(Flag::Yes).put(at, record::ROW, record::encode(&Flag::Yes)),
            Some(Flag::No) => Decision::reply(Flag::No).change(at, vec![Write::Drop], Alarm::Never),
        })
    }
}
