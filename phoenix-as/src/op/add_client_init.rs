//! `add_client_init`: whoever knows the password begins to add a client (04).
//!
//! A user that is not there is answered as one that is, by the same reads, writes and cryptography. After many logins
//! that nobody completed it takes work to begin another, the more the more there were: the refusal carries what to do.

use phoenix_core::{
    Failure, Refusal, Reject,
    api::auth::{self, LoginReply, MAX_BITS},
    operation::{Anyone, Authorised, Context, Decision, Decoded, Operation, Peers, Proven, Reading, Rows},
    port::Wanted,
    wire::Wire,
};

use crate::{
    AuthService, account,
    attempts::Recent,
    kinds,
    login::{self, By},
    record::{self, User},
    work::{self, Purpose},
};

/// Answers KE1.
pub(crate) struct AddClientInit;

/// The user, and what was tried lately.
pub(crate) struct State {
    user: Option<User>,
    tried: Vec<Recent>,
    /// Whether the work that the caller brought was used before.
    is_used: bool,
}

impl Operation for AddClientInit {
    type Endpoint = auth::AddClientInit;
    type Service = AuthService;
    type State = State;
    type Sender = Anyone;

    fn locate(
        call: &Decoded<Self>,
        found: &Rows,
        cx: &Context<AuthService>,
    ) -> Result<Vec<Reading>, Failure> {
        if !found.is_empty() {
            return Ok(Vec::new());
        }
        let request = call.request();
        if request.user.domain != cx.domain {
            return Err(Reject::Malformed("user").into());
        }
        let user = Reading::watch(kinds::user(&request.user), Wanted::Keys(vec![record::ROW]));
        let mut readings = vec![user];
        readings.extend(by(cx).readings(&request.user, cx));
        readings.extend(request.work.as_ref().map(|proof| work::reading(proof, cx)));
        Ok(readings)
    }

    fn open(call: &Decoded<Self>, found: Rows, cx: &Context<AuthService>) -> Result<State, Failure> {
        let tried = by(cx).found(&call.request().user, (&found, 1), cx)?;
        let has_work = call.request().work.is_some();
        let is_used = has_work && work::is_used(&found, tried.len().saturating_add(1))?;
        Ok(State { user: account::user(&found, 0)?, tried, is_used })
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
        call: Authorised<Self>,
        _: &Peers,
        cx: &Context<AuthService>,
    ) -> Result<Decision<LoginReply>, Failure> {
        let State { user, tried, is_used } = state;
        let request = call.request();
        let wait = tried.iter().filter_map(|tried| tried.must_wait(cx)).max();
        let harder = tried.iter().map(Recent::doublings).max().unwrap_or(0);
        let bits = cx.settings.logins.work_bits.saturating_add(harder).min(MAX_BITS);
        let proof = request.work.as_ref().filter(|proof| {
            wait.is_some()
                && !is_used
                && work::is_enough(proof, bits)
                && work::holds(proof, Purpose::Login, &request.user, cx)
        });
        if let (Some(seconds), None) = (wait, proof) {
            let challenge = work::challenge(Purpose::Login, bits, cx);
            return Err(Refusal { reject: Reject::RateLimited(seconds), detail: challenge.encode() }.into());
        }
        let begun = login::begin((&request.user, user.as_ref()), by(cx), &request.ke1, cx)?;
        let begun = tried.into_iter().fold(begun, |decision, tried| tried.counted(decision, cx));
        Ok(match proof {
            Some(proof) => work::used(begun, proof, cx),
            None => begun,
        })
    }
}

fn by(cx: &Context<AuthService>) -> By {
    By::Anyone(cx.origin.prefix())
}
