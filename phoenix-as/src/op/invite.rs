//! `invite`: the operator invites (05, "Registration policy").

use phoenix_core::{
    Failure,
    api::{Description, Endpoint, ServiceName, auth::Invitation},
    operation::{Anyone, Authorised, Context, Decision, Decoded, Operation, Peers, Proven, Reading, Rows},
};

use crate::{AuthService, invitations};

/// Makes an invitation that is good for so many seconds.
pub struct Invite;

impl Endpoint for Invite {
    const DESCRIPTION: Description = Description::new(0x01f1, ServiceName::As, "invite").internal();
    type Request = u64;
    type Reply = Invitation;
}

impl Operation for Invite {
    type Endpoint = Self;
    type Service = AuthService;
    type State = ();
    type Sender = Anyone;

    fn locate(_: &Decoded<Self>, _: &Rows, _: &Context<AuthService>) -> Result<Vec<Reading>, Failure> {
        Ok(Vec::new())
    }

    fn open(_: &Decoded<Self>, _: Rows, _: &Context<AuthService>) -> Result<(), Failure> {
        Ok(())
    }

    fn authenticate(
        _: &Decoded<Self>,
        (): &(),
        _: &Peers,
        _: &Context<AuthService>,
    ) -> Result<Proven<Anyone>, Failure> {
        Ok(Proven::anyone())
    }

    fn decide(
        (): (),
        call: Authorised<Self>,
        _: &Peers,
        cx: &Context<AuthService>,
    ) -> Result<Decision<Invitation>, Failure> {
        Ok(invitations::made(*call.request(), cx))
    }
}
