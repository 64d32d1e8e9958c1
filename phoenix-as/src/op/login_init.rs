//! `login_init`: a client begins a login of its own user, as the second factor of what follows (04).
//!
//! It is counted for the client alone: nobody else can use up what a user may try.

use phoenix_core::{
    Failure, Reject,
    api::auth::{self, LoginReply},
    credential::VerifiedClientCredential,
    operation::{Authorised, Context, Decision, Decoded, Operation, Peers, Proven, Reading, Rows},
    port::Wanted,
};

use crate::{
    AuthService, account,
    attempts::Recent,
    kinds,
    login::{self, By},
    record::{self, Client, User},
};

/// Answers KE1.
pub(crate) struct LoginInit;

/// The caller, its user, and what it tried lately.
pub(crate) struct State {
    client: Option<Client>,
    user: Option<User>,
    tried: Vec<Recent>,
}

impl Operation for LoginInit {
    type Endpoint = auth::LoginInit;
    type Service = AuthService;
    type State = State;
    type Sender = VerifiedClientCredential;

    fn locate(
        call: &Decoded<Self>,
        found: &Rows,
        cx: &Context<AuthService>,
    ) -> Result<Vec<Reading>, Failure> {
        if !found.is_empty() {
            return Ok(Vec::new());
        }
        let client = account::claimed_local(call, cx)?;
        let user = Reading::watch(kinds::user(&client.user), Wanted::Keys(vec![record::ROW]));
        let mut readings = vec![account::reading(client), user];
        readings.extend(By::Client(client.client).readings(&client.user, cx));
        Ok(readings)
    }

    fn open(call: &Decoded<Self>, found: Rows, cx: &Context<AuthService>) -> Result<State, Failure> {
        let id = account::claimed(call)?;
        let tried = By::Client(id.client).found(&id.user, (&found, 2), cx)?;
        Ok(State { client: account::found(&found, 0)?, user: account::user(&found, 1)?, tried })
    }

    fn authenticate(
        call: &Decoded<Self>,
        state: &State,
        _: &Peers,
        cx: &Context<AuthService>,
    ) -> Result<Proven<VerifiedClientCredential>, Failure> {
        Ok(account::prove(call.frame()?, state.client.as_ref(), cx)?)
    }

    fn decide(
        state: State,
        call: Authorised<Self>,
        _: &Peers,
        cx: &Context<AuthService>,
    ) -> Result<Decision<LoginReply>, Failure> {
        let State { client, user, tried } = state;
        if let Some(seconds) = tried.iter().filter_map(|tried| tried.must_wait(cx)).max() {
            return Err(Reject::RateLimited(seconds).into());
        }
        let id = call.sender().client();
        let begun = login::begin((&id.user, user.as_ref()), By::Client(id.client), call.request(), cx)?;
        let begun = tried.into_iter().fold(begun, |decision, tried| tried.counted(decision, cx));
        Ok(account::seen(begun, id, client, cx))
    }
}
