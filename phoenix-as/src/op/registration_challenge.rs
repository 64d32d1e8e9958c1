//! `registration_challenge`: what a registration must bring (05). The open policy asks for nothing.

use phoenix_core::{
    Failure, Reject,
    api::auth::{self, ChallengeReply},
    operation::{Anyone, Authorised, Context, Decision, Decoded, Operation, Peers, Proven, Reading, Rows},
    wire::List,
};

use crate::AuthService;

/// Answers with what the policy asks for.
pub(crate) struct RegistrationChallenge;

impl Operation for RegistrationChallenge {
    type Endpoint = auth::RegistrationChallenge;
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
        _: &Context<AuthService>,
    ) -> Result<Decision<ChallengeReply>, Failure> {
        let open = List::new(vec![List::default()]).map_err(Reject::from)?;
        Ok(Decision::reply(ChallengeReply { alternatives: open }))
    }
}
