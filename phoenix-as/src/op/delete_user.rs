//! `delete_user`: the user is no more, with all that is its own (04).
//!
//! What cannot be found from the user ends by itself: begun logins and changes of password, which nothing completes
//! any more, within ten minutes, and counts of issued tokens with their windows.

use phoenix_core::{
    ClientId, Failure, Reject, Uuid,
    api::{Empty, auth},
    credential::VerifiedClientCredential,
    operation::{
        Authorised, Context, Decision, Decoded, Effort, Local, Operation, Peers, Proven, Reading, Rows,
    },
    port::{Alarm, Wanted, Write},
};

use super::visit;
use crate::{
    AuthService, account,
    audiences::{self, Audiences},
    kinds,
    login::Caller,
    notices,
    record::{self, Client, User},
    revocations::{self, Revocations},
};

/// Deletes, and revokes.
pub(crate) struct DeleteUser;

/// The caller and, where its login was completed, what is the user's.
pub(crate) struct State {
    caller: Caller,
    opened: Option<Opened>,
}

/// What a completed login opens.
pub(crate) struct Opened {
    revocations: Revocations,
    audiences: Audiences,
    clients: Vec<(Uuid, Option<Client>)>,
}

impl Operation for DeleteUser {
    type Endpoint = auth::DeleteUser;
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
                let Caller { user, login, .. } = Caller::found(found, id, &request.factor, cx)?;
                let Some((user, _)) = user.zip(login) else { return Ok(Vec::new()) };
                let mut readings = vec![revocations::reading_to_change(), audiences::reading(&id.user)];
                let wanted = || Wanted::Keys(vec![record::ROW]);
                let places = user.clients.iter().map(|it| kinds::client(&account::named(&id.user, *it)));
                readings.extend(places.map(|at| Reading::change(at, wanted())));
                Ok(readings)
            }
            _ => Ok(Vec::new()),
        }
    }

    fn open(call: &Decoded<Self>, found: Rows, cx: &Context<AuthService>) -> Result<State, Failure> {
        let id = account::claimed(call)?;
        let caller = Caller::found(&found, id, &call.request().factor, cx)?;
        let (Some(User { clients, .. }), Some(_)) = (&caller.user, &caller.login) else {
            return Ok(State { caller, opened: None });
        };
        let revocations = Revocations::found(&found, Caller::PLACES)?;
        let audiences = Audiences::found(&found, Caller::PLACES.saturating_add(1))?;
        let places = Caller::PLACES.saturating_add(2)..;
        let clients = clients.iter().zip(places).map(|(uuid, at)| Ok((*uuid, account::found(&found, at)?)));
        let clients = clients.collect::<Result<_, Failure>>()?;
        Ok(State { caller, opened: Some(Opened { revocations, audiences, clients }) })
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
        let (login, opened) = state.caller.login.zip(state.opened).ok_or(Reject::Unauthenticated)?;
        let Opened { revocations, audiences, clients } = opened;
        let id = call.sender().client();
        let serial = revocations.next_serial(cx);
        let told = call.request().domains.iter().cloned().chain(audiences.live(cx.now));
        // What the login counted goes with its client.
        let mut decision = login.used(Decision::reply(Empty {}), Vec::new());
        for (uuid, client) in &clients {
            decision = account::removed(&account::named(&id.user, *uuid), client.as_ref(), decision, cx);
        }
        let decision = own(id, cx)
            .into_iter()
            .fold(decision, |decision, at| decision.change(at, vec![Write::Drop], Alarm::Never));
        let decision = visit::gone(&id.user, decision, cx);
        let decision = notices::begun(decision, (&id.user, serial), told, cx)?;
        let decision = decision.put(kinds::former_user(&id.user, cx), record::ROW, record::encode(&Empty {}));
        let clients = clients.iter().filter_map(|(_, client)| client.as_ref());
        Ok(revocations.revoking(&id.user, clients, decision, cx))
    }
}

/// What is the user's own, beside its clients and its account.
fn own(id: &ClientId, cx: &Context<AuthService>) -> [Local; 5] {
    let user = &id.user;
    [
        kinds::user(user),
        kinds::profile(user),
        kinds::logins(user, cx),
        kinds::additions(user, cx),
        kinds::audiences(user),
    ]
}
