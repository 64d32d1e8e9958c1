//! `register_finish`: from here on the user exists (04).
//!
//! The credential is signed here and nowhere before, in the batch that makes the user and its client: there is no
//! signature for a client without a record. The first to finish for a user id wins. Whoever finished and lost the
//! answer gets the same credential again, for the same CSR, as long as the client stands: what is signed is in the
//! record, and the frame shows that the key is held.
//!
//! An invitation goes in the same batch, so that of two who begin with one code only one finishes. While registration
//! is closed nobody finishes, also who began before: once the switch is set, no user comes to be.

use phoenix_core::{
    Failure, Fault, Reject,
    api::auth::{self, RegisterFinishRequest},
    credential::ClientCredential,
    operation::{Anyone, Authorised, Context, Decision, Decoded, Operation, Peers, Proven, Reading, Rows},
    port::{Alarm, Wanted, Write},
    wire::List,
};

use crate::{
    AuthService, account, invitations, kinds, opaque, policy,
    record::{self, Client, Registration, User},
};

/// Signs the first credential of a user.
pub(crate) struct RegisterFinish;

/// What is there already.
pub(crate) struct State {
    registration: Option<Registration>,
    /// Whether the user is there, or was.
    is_taken: bool,
    client: Option<Client>,
    is_closed: bool,
    /// Whether the invitation that is to be used up is good, where there is to be one.
    is_invited: bool,
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
        let request = call.request();
        let client = &request.csr.payload.client;
        match found.len() {
            0 if client.user.domain != cx.domain => Err(Reject::Malformed("client").into()),
            0 => {
                let places = [
                    kinds::registration(&request.registration),
                    kinds::user(&client.user),
                    kinds::client(client),
                    kinds::former_user(&client.user, cx),
                ];
                let wanted = || Wanted::Keys(vec![record::ROW]);
                let readings = places.into_iter().map(|at| Reading::change(at, wanted()));
                Ok(readings.chain([policy::reading_switch()]).collect())
            }
            FIRST => {
                let invitation = begun(found, cx)?.and_then(|begun| begun.invitation);
                Ok(invitation.iter().map(invitations::reading_to_use).collect())
            }
            _ => Ok(Vec::new()),
        }
    }

    fn open(_: &Decoded<Self>, found: Rows, cx: &Context<AuthService>) -> Result<State, Failure> {
        let registration = begun(&found, cx)?;
        let is_invited = match registration.as_ref().and_then(|begun| begun.invitation) {
            Some(_) => invitations::is_good(&found, FIRST, cx)?,
            None => true,
        };
        Ok(State {
            registration,
            is_taken: found.place(1)?.mark.is_some() || found.place(3)?.mark.is_some(),
            client: account::found(&found, 2)?,
            is_closed: policy::is_closed(&found, 4)?,
            is_invited,
        })
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
        let State { registration, is_taken, client, is_closed, is_invited } = state;
        if let Some(credential) =
            client.map(|client| client.credential).filter(|it| account::is_of(it, &request.csr))
        {
            return Ok(Decision::reply(credential));
        }
        let is_own = |begun: &Registration| begun.user == request.csr.payload.client.user;
        let begun = registration.filter(is_own).ok_or(Reject::NotFound)?;
        if is_closed || !is_invited {
            return Err(Reject::Forbidden.into());
        }
        if is_taken {
            return Err(Reject::AlreadyExists.into());
        }
        let decision = create(request, cx)?;
        Ok(match begun.invitation {
            Some(hash) => decision.change(kinds::invitation(&hash), vec![Write::Drop], Alarm::Never),
            None => decision,
        })
    }
}

/// The registration that was read, if it is not over.
fn begun(found: &Rows, cx: &Context<AuthService>) -> Result<Option<Registration>, Fault> {
    let is_over = found.place(0)?.alarm.is_some_and(|alarm| alarm <= cx.now);
    let stored = found.row(0, &record::ROW)?.filter(|_| !is_over);
    stored.map(|stored| record::decode(stored)).transpose()
}

/// Signs, and makes the user, the client and its queue.
fn create(
    request: &RegisterFinishRequest,
    cx: &Context<AuthService>,
) -> Result<Decision<ClientCredential>, Failure> {
    let opaque = opaque::checked_record(&request.record)?;
    let id = &request.csr.payload.client;
    let clients = List::new(vec![id.client]).map_err(Reject::from)?;
    let user = User { registration: request.registration, opaque, clients };
    let begun = kinds::registration(&request.registration);
    Ok(account::enrolled(&request.csr, &request.queue_key, cx)?
        .change(begun, vec![Write::Drop], Alarm::Never)
        .put(kinds::user(&id.user), record::ROW, record::encode(&user)))
}

/// Places of the first round.
const FIRST: usize = 5;
