//! `as_credentials`: what vouches for the clients of this domain (04). Served from the keys; nothing is read.

use phoenix_core::{
    Failure,
    api::auth,
    credential::AsIdentity,
    operation::{Anyone, Authorised, Context, Decision, Decoded, Operation, Peers, Proven, Reading, Rows},
};

use crate::AuthService;

/// Answers with roots, statement, intermediates and revocation list.
pub(crate) struct AsCredentials;

impl Operation for AsCredentials {
    type Endpoint = auth::AsCredentials;
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
        _: Authorised<Self>,
        _: &Peers,
        cx: &Context<AuthService>,
    ) -> Result<Decision<AsIdentity>, Failure> {
        Ok(Decision::reply(cx.keys.service.identity(cx.now)?))
    }
}
