//! `remove_client`: a client of the caller's user is no more, be it the caller itself (04).
//!
//! The last one may go, too: the user logs in anew with the password.

use phoenix_core::{
    Failure, Reject,
    api::{Empty, auth},
    credential::VerifiedClientCredential,
    operation::{Authorised, Context, Decision, Decoded, Effort, Operation, Peers, Proven, Reading, Rows},
    port::Wanted,
    wire::List,
};

use crate::{
    AuthService, account,
    attempts::Recent,
    kinds,
    login::Caller,
    record::{self, Client, User},
    revocations::{self, Revocations},
};

/// Removes, and revokes.
pub(crate) struct RemoveClient;

/// The caller and, where its login was completed, what it is about.
pub(crate) struct State {
    caller: Caller,
    opened: Option<Opened>,
}

/// What a completed login opens.
pub(crate) struct Opened {
    revocations: Revocations,
    client: Option<Client>,
    tried: Vec<Recent>,
}

impl Operation for RemoveClient {
    type Endpoint = auth::RemoveClient;
    type Service = AuthService;
    type State = State;
    type Sender = VerifiedClientCredential;
    /// The list of revocations is read and written whole.
    const EFFORT: Effort = Effort::Heavy;

    fn locate(
        call: &Decoded<Self>,
        found: &Rows,
        cx: &Context<AuthService>,
    ) -> Result<Vec<Reading>, Failure> {
        let (request, id) = (call.request(), account::claimed_local(call, cx)?);
        match found.len() {
            0 => Ok(Caller::readings(id, &request.factor)),
            Caller::PLACES => {
                let Some(login) = Caller::found(found, id, &request.factor, cx)?.login else {
                    return Ok(Vec::new());
                };
                let client = kinds::client(&account::named(&id.user, request.client));
                let mut readings = vec![
                    revocations::reading_to_change(),
                    Reading::change(client, Wanted::Keys(vec![record::ROW])),
                ];
                readings.extend(login.by().readings(&id.user, cx));
                Ok(readings)
            }
            _ => Ok(Vec::new()),
        }
    }

    fn open(call: &Decoded<Self>, found: Rows, cx: &Context<AuthService>) -> Result<State, Failure> {
        let id = account::claimed(call)?;
        let caller = Caller::found(&found, id, &call.request().factor, cx)?;
        let Some(login) = &caller.login else { return Ok(State { caller, opened: None }) };
        let place = |at: usize| Caller::PLACES.saturating_add(at);
        let opened = Opened {
            revocations: Revocations::found(&found, place(0))?,
            client: account::found(&found, place(1))?,
            tried: login.by().found(&id.user, (&found, place(2)), cx)?,
        };
        Ok(State { caller, opened: Some(opened) })
    }

    fn authenticate(
        call: &Decoded<Self>,
        state: &State,
        _: &Peers,
        cx: &Context<AuthService>,
    ) -> Result<Proven<VerifiedClientCredential>, Failure> {
        Ok(account::prove(call.frame()?, state.caller.client.as_ref(), cx)?)
    }

    fn decide(
        state: State,
        call: Authorised<Self>,
        _: &Peers,
        cx: &Context<AuthService>,
    ) -> Result<Decision<Empty>, Failure> {
        let Caller { client: caller, user, login } = state.caller;
        let (login, opened) = login.zip(state.opened).ok_or(Reject::Unauthenticated)?;
        let Opened { revocations, client, tried } = opened;
        let (id, uuid) = (call.sender().client(), call.request().client);
        let user = user.filter(|user| user.clients.contains(&uuid)).ok_or(Reject::NotFound)?;
        let clients = user.clients.iter().copied().filter(|it| *it != uuid).collect();
        let user = User { clients: List::new(clients).map_err(Reject::from)?, ..user };
        let decision = login.used(Decision::reply(Empty {}), tried);
        let decision = decision.put(kinds::user(&id.user), record::ROW, record::encode(&user));
        let decision = account::seen(decision, id, caller.filter(|_| id.client != uuid), cx);
        let removed = account::named(&id.user, uuid);
        let decision = account::removed(&removed, client.as_ref(), decision, cx);
        Ok(revocations.revoking(&id.user, &client, decision, cx))
    }
}
