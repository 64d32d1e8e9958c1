//! `registration_challenge`: what a registration must bring (05), and nothing at all while registration is closed.

use phoenix_core::{
    Failure,
    api::auth::{self, ChallengeReply},
    operation::{Anyone, Authorised, Context, Decision, Decoded, Operation, Peers, Proven, Reading, Rows},
};

use crate::{
    AuthService,
    policy::{self, Requirement},
    work::{self, Purpose},
};

/// Answers with what the policy asks for.
pub(crate) struct RegistrationChallenge;

/// Whether registration is closed, and else at what rate users register.
pub(crate) enum State {
    Closed,
    Open { rate: u32 },
}

impl Operation for RegistrationChallenge {
    type Endpoint = auth::RegistrationChallenge;
    type Service = AuthService;
    type State = State;
    type Sender = Anyone;

    fn locate(_: &Decoded<Self>, found: &Rows, cx: &Context<AuthService>) -> Result<Vec<Reading>, Failure> {
        if !found.is_empty() {
            return Ok(Vec::new());
        }
        let mut readings = vec![policy::reading_switch()];
        if cx.settings.registration.policy.demands(Requirement::Work) {
            readings.extend(policy::reading_rate(cx));
        }
        Ok(readings)
    }

    fn open(_: &Decoded<Self>, found: Rows, _: &Context<AuthService>) -> Result<State, Failure> {
        if policy::is_closed(&found, 0)? {
            return Ok(State::Closed);
        }
        let rate = if found.len() > 1 { policy::rate(&found, 1)? } else { 0 };
        Ok(State::Open { rate })
    }

    fn authenticate(
        _: &Decoded<Self>,
        _: &State,
        _: &Peers,
        _: &Context<AuthService>,
    ) -> Result<Proven<Anyone>, Failure> {
        Ok(Proven::anyone())
    }

    fn decide(
        state: State,
        _: Authorised<Self>,
        _: &Peers,
        cx: &Context<AuthService>,
    ) -> Result<Decision<ChallengeReply>, Failure> {
        let settings = &cx.settings.registration;
        let told = match state {
            State::Closed => ChallengeReply { alternatives: Default::default() },
            State::Open { rate } => {
                settings.told(&work::challenge(Purpose::Registration, settings.work.bits_at(rate), cx))?
            }
        };
        Ok(Decision::reply(told))
    }
}
