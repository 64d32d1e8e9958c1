//! `register_finish`: from here on the user exists (04).
//!
//! The credential is signed here and nowhere before, in the batch that makes the user and its client: there is no
//! signature for a client without a record. The first to finish for a user id wins. Whoever finished and lost the
//! answer gets the same credential again, for the same CSR, as long as the client stands: what is signed is in the
//! record, and the frame shows that the key is held.

use phoenix_core::{
    Failure, Reject,
    api::auth::{self, RegisterFinishRequest},
    credential::{ClientCredential, Csr},
    operation::{
        Anyone, Authorised, Context, Decision, Decoded, FRAME_WINDOW_S, Operation, Peers, Proven, Reading,
        Rows,
    },
    port::{Alarm, Wanted, Write},
    time::Month,
    wire::List,
};

use crate::{
    AuthService, account, direct_queue, kinds, opaque,
    record::{self, Client, Registration, User},
};

/// Signs the first credential of a user.
pub(crate) struct RegisterFinish;

/// What is there already.
pub(crate) struct State {
    registration: Option<Registration>,
    user: Option<User>,
    client: Option<Client>,
}

impl Operation for RegisterFinish {
    type Endpoint = auth::RegisterFinish;
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
        let client = &request.csr.payload.client;
        if client.user.domain != cx.domain {
            return Err(Reject::Malformed("client").into());
        }
        let places =
            [kinds::registration(&request.registration), kinds::user(&client.user), kinds::client(client)];
        let wanted = || Wanted::Keys(vec![record::ROW]);
        Ok(places.into_iter().map(|at| Reading::change(at, wanted())).collect())
    }

    fn open(_: &Decoded<Self>, found: Rows, cx: &Context<AuthService>) -> Result<State, Failure> {
        let is_over = found.place(0)?.alarm.is_some_and(|alarm| alarm <= cx.now);
        let registration = found.row(0, &record::ROW)?.filter(|_| !is_over);
        let registration = registration.map(|stored| record::decode(stored)).transpose()?;
        let user = found.row(1, &record::ROW)?.map(|stored| record::decode(stored)).transpose()?;
        Ok(State { registration, user, client: account::found(&found, 2)? })
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
        let State { registration, user, client } = state;
        if let Some(credential) = client.map(|client| client.credential).filter(|it| is_of(it, &request.csr))
        {
            return Ok(Decision::reply(credential));
        }
        let is_begun = registration.is_some_and(|begun| begun.user == request.csr.payload.client.user);
        if !is_begun {
            return Err(Reject::NotFound.into());
        }
        if user.is_some() {
            return Err(Reject::AlreadyExists.into());
        }
        create(request, cx)
    }
}

/// Whether a credential was signed for this CSR, or one that asked for the same: keys in hardware sign differently
/// each time.
fn is_of(credential: &ClientCredential, csr: &Csr) -> bool {
    credential.payload == csr.payload
}

/// Signs, and makes the user, the client and its queue.
fn create(
    request: &RegisterFinishRequest,
    cx: &Context<AuthService>,
) -> Result<Decision<ClientCredential>, Failure> {
    check_validity(&request.csr, cx)?;
    let opaque = opaque::checked_record(&request.record)?;
    let id = request.csr.payload.client.clone();
    let (intermediate, key) = cx.keys.service.intermediate();
    let credential = ClientCredential::issue(request.csr.clone(), intermediate, key, cx.now)?;
    let queue = direct_queue::creation(&request.queue_key, cx)?;
    let user = User { opaque, clients: List::new(vec![id.client]).map_err(Reject::from)? };
    let client = Client { credential, activity: Month::of(cx.now) };
    let alarm = client.alarm();
    let client_row = Write::Put(record::ROW, record::encode(&client));
    let begun = kinds::registration(&request.registration);
    Ok(Decision::reply(client.credential)
        .change(begun, vec![Write::Drop], Alarm::Never)
        .put(kinds::user(&id.user), record::ROW, record::encode(&user))
        .change(kinds::client(&id), vec![client_row], alarm)
        .change(kinds::client_queue(&id), queue, alarm))
}

/// The validity must have begun, and end within the longest that is given, as far as clocks agree; that it lies
/// within the intermediate's is seen when it is signed.
fn check_validity(csr: &Csr, cx: &Context<AuthService>) -> Result<(), Reject> {
    let validity = csr.payload.validity;
    let begins_by = cx.now.plus_secs(FRAME_WINDOW_S).as_secs();
    let ends_by = begins_by.saturating_add(cx.settings.client_validity_s);
    let is_allowed = validity.not_before <= begins_by && validity.not_after <= ends_by;
    if is_allowed { Ok(()) } else { Err(Reject::Malformed("validity")) }
}
