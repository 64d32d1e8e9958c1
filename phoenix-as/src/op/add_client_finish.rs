//! `add_client_finish`: from here on the user has a further client (04).
//!
//! As in `register_finish`, the credential is signed in the batch that makes the client's record, and whoever lost the
//! answer gets the same again for the same CSR. What a login does not open is `unauthenticated`, whatever is wrong,
//! and nothing but the login and the user is looked at then: whoever does not know the password learns nothing.
//!
//! Clients of the user that have ended make room, and what is left of them goes in the same batch: so none that is
//! renewed at that moment stays without being one of the user's.

use phoenix_core::{
    Failure, Reject, Timestamp, Uuid,
    api::auth::{self, AddClientFinishRequest, MAX_CLIENTS},
    credential::ClientCredential,
    operation::{Anyone, Authorised, Context, Decision, Decoded, Operation, Peers, Proven, Reading, Rows},
    port::Wanted,
    wire::List,
};

use crate::{
    AuthService, account,
    attempts::{self, Limit, Recent},
    kinds,
    login::{self, By, Completed},
    profiles,
    record::{self, Client, User},
};

/// Signs the credential of a further client.
pub(crate) struct AddClientFinish;

/// What is there already.
pub(crate) struct State {
    client: Option<Client>,
    opened: Option<Opened>,
}

/// What a completed login opens.
pub(crate) struct Opened {
    login: Completed,
    user: User,
    /// Whether a client of this name was removed lately.
    is_former: bool,
    added: Recent,
    /// What the login counted.
    tried: Vec<Recent>,
    /// The user's clients that have not ended.
    standing: Vec<Uuid>,
    /// When the user's profile ends, if there is one.
    profile_ends: Option<Timestamp>,
}

impl Operation for AddClientFinish {
    type Endpoint = auth::AddClientFinish;
    type Service = AuthService;
    type State = State;
    type Sender = Anyone;

    fn locate(
        call: &Decoded<Self>,
        found: &Rows,
        cx: &Context<AuthService>,
    ) -> Result<Vec<Reading>, Failure> {
        let request = call.request();
        let id = &request.csr.payload.client;
        let row = || Wanted::Keys(vec![record::ROW]);
        match found.len() {
            0 if id.user.domain != cx.domain => Err(Reject::Malformed("client").into()),
            0 => Ok(vec![
                Reading::change(kinds::client(id), row()),
                Reading::change(kinds::user(&id.user), row()),
                login::reading(&request.factor),
            ]),
            FIRST => {
                let Some((login, user)) = opened(request, found, cx)? else { return Ok(Vec::new()) };
                let mut readings = vec![
                    Reading::watch(kinds::former_client(id, cx), Wanted::Mark),
                    attempts::reading(kinds::additions(&id.user, cx)),
                    profiles::reading_to_keep(&id.user),
                ];
                readings.extend(login.by().readings(&id.user, cx));
                let clients = user.clients.iter().map(|it| kinds::client(&account::named(&id.user, *it)));
                readings.extend(clients.map(|client| Reading::change(client, row())));
                Ok(readings)
            }
            _ => Ok(Vec::new()),
        }
    }

    fn open(call: &Decoded<Self>, found: Rows, cx: &Context<AuthService>) -> Result<State, Failure> {
        let request = call.request();
        let client = account::found(&found, 0)?;
        let Some((login, user)) = opened(request, &found, cx)? else {
            return Ok(State { client, opened: None });
        };
        let id = &request.csr.payload.client;
        let is_former = found.place(FIRST)?.mark.is_some();
        let added = (kinds::additions(&id.user, cx), Limit::a_month(cx.settings.additions));
        let added = Recent::found(&found, FIRST.saturating_add(1), added, cx)?;
        let mut place = FIRST.saturating_add(2);
        let profile_ends = found.place(place)?.alarm;
        place = place.saturating_add(1);
        let tried = login.by().found(&id.user, (&found, place), cx)?;
        place = place.saturating_add(tried.len());
        let mut standing = Vec::new();
        for (uuid, place) in user.clients.iter().zip(place..) {
            if account::found(&found, place)?.is_some_and(|client| client.stands(cx.now)) {
                standing.push(*uuid);
            }
        }
        let opened = Opened { login, user, is_former, added, tried, standing, profile_ends };
        Ok(State { client, opened: Some(opened) })
    }

    fn authenticate(
        call: &Decoded<Self>,
        _: &State,
        _: &Peers,
        _: &Context<AuthService>,
    ) -> Result<Proven<Anyone>, Failure> {
        Ok(call.frame()?.prove_new_key(&call.request().csr.payload.key, Anyone)?)
    }

    fn decide(
        state: State,
        call: Authorised<Self>,
        _: &Peers,
        cx: &Context<AuthService>,
    ) -> Result<Decision<ClientCredential>, Failure> {
        let request = call.request();
        let State { client, opened } = state;
        let same = client.as_ref().filter(|client| account::is_of(&client.credential, &request.csr));
        if let Some(client) = same {
            return Ok(Decision::reply(client.credential.clone()));
        }
        let opened = opened.ok_or(Reject::Unauthenticated)?;
        if client.is_some() || opened.is_former {
            return Err(Reject::AlreadyExists.into());
        }
        add(request, opened, cx)
    }
}

/// The login, where it is one of anyone's that KE3 completes, and its user.
fn opened(
    request: &AddClientFinishRequest,
    found: &Rows,
    cx: &Context<AuthService>,
) -> Result<Option<(Completed, User)>, Failure> {
    let user = account::user(found, 1)?;
    let id = &request.csr.payload.client;
    let login = login::completed((found, 2), &request.factor, (&id.user, user.as_ref()), cx)?;
    let login = login.filter(|login| matches!(login.by(), By::Anyone(_)));
    Ok(login.zip(user))
}

/// Signs, and makes the client and its queue, where the user may have another.
fn add(
    request: &AddClientFinishRequest,
    opened: Opened,
    cx: &Context<AuthService>,
) -> Result<Decision<ClientCredential>, Failure> {
    let Opened { login, user, is_former: _, added, tried, mut standing, profile_ends } = opened;
    let id = &request.csr.payload.client;
    if standing.len() >= MAX_CLIENTS {
        return Err(Reject::TooLarge("clients").into());
    }
    if let Some(seconds) = added.must_wait(cx) {
        return Err(Reject::RateLimited(seconds).into());
    }
    standing.push(id.client);
    let mut decision = account::enrolled(&request.csr, &request.queue_key, cx)?;
    for ended in user.clients.iter().filter(|it| !standing.contains(it)) {
        decision = account::removed(&account::named(&id.user, *ended), None, decision, cx);
    }
    let user = User { clients: List::new(standing).map_err(Reject::from)?, ..user };
    let decision = decision.put(kinds::user(&id.user), record::ROW, record::encode(&user));
    let decision = profiles::kept(decision, &id.user, profile_ends, cx);
    Ok(login.used(added.counted(decision, cx), tried))
}

/// Places of the first round.
const FIRST: usize = 3;
