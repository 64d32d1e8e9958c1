//! `change_password`: another OPAQUE record takes the old one's place (04).
//!
//! The first step completes a login with the old password and begins a registration, the second finishes it: only for
//! the client that began, and only where no other change came in between. Logins begun with the old password, and
//! other changes of it, come to nothing from then on.

use phoenix_core::{
    ClientId, Failure, Fault, Reject,
    api::auth::{self, ChangePasswordReply, ChangePasswordRequest, RegisterInitReply},
    credential::VerifiedClientCredential,
    crypto::sha256,
    operation::{Authorised, Context, Decision, Decoded, Operation, Peers, Proven, Reading, Rows},
    port::{Alarm, Wanted, Write},
};

use crate::{
    AuthService, account,
    attempts::Recent,
    kinds,
    login::{Caller, Completed},
    opaque,
    record::{self, Client, PasswordChange, User},
};

/// Registers the new password, in two steps.
pub(crate) struct ChangePassword;

/// The caller, its user, and how far the change got.
pub(crate) struct State {
    client: Option<Client>,
    user: Option<User>,
    step: Step,
}

pub(crate) enum Step {
    /// The login, where it was completed, and what it counted.
    Begin(Option<(Completed, Vec<Recent>)>),
    /// What was begun, where it was and is not over.
    Finish(Option<PasswordChange>),
}

impl Operation for ChangePassword {
    type Endpoint = auth::ChangePassword;
    type Service = AuthService;
    type State = State;
    type Sender = VerifiedClientCredential;

    fn locate(
        call: &Decoded<Self>,
        found: &Rows,
        cx: &Context<AuthService>,
    ) -> Result<Vec<Reading>, Failure> {
        let id = account::claimed_local(call, cx)?;
        match (call.request(), found.len()) {
            (ChangePasswordRequest::Begin { factor, .. }, 0) => Ok(Caller::readings(id, factor)),
            (ChangePasswordRequest::Begin { factor, .. }, Caller::PLACES) => {
                let login = Caller::found(found, id, factor, cx)?.login;
                Ok(login.map(|login| login.by().readings(&id.user, cx)).unwrap_or_default())
            }
            (ChangePasswordRequest::Finish { registration, .. }, 0) => {
                let places = [kinds::client(id), kinds::user(&id.user), kinds::password_change(registration)];
                let wanted = || Wanted::Keys(vec![record::ROW]);
                Ok(places.into_iter().map(|at| Reading::change(at, wanted())).collect())
            }
            _ => Ok(Vec::new()),
        }
    }

    fn open(call: &Decoded<Self>, found: Rows, cx: &Context<AuthService>) -> Result<State, Failure> {
        let id = account::claimed(call)?;
        let factor = match call.request() {
            ChangePasswordRequest::Begin { factor, .. } => factor,
            ChangePasswordRequest::Finish { .. } => {
                let is_over = found.place(2)?.alarm.is_some_and(|alarm| alarm <= cx.now);
                let begun = found.row(2, &record::ROW)?.filter(|_| !is_over);
                let step = Step::Finish(begun.map(|stored| record::decode(stored)).transpose()?);
                return Ok(State {
                    client: account::found(&found, 0)?,
                    user: account::user(&found, 1)?,
                    step,
                });
            }
        };
        let Caller { client, user, login } = Caller::found(&found, id, factor, cx)?;
        let Some(login) = login else { return Ok(State { client, user, step: Step::Begin(None) }) };
        let tried = login.by().found(&id.user, (&found, Caller::PLACES), cx)?;
        Ok(State { client, user, step: Step::Begin(Some((login, tried))) })
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
    ) -> Result<Decision<ChangePasswordReply>, Failure> {
        let State { client, user, step } = state;
        let user = user.ok_or(Reject::NotFound)?;
        let id = call.sender().client();
        let decision = match (call.request(), step) {
            (ChangePasswordRequest::Begin { factor: _, opaque }, Step::Begin(login)) => {
                let (login, tried) = login.ok_or(Reject::Unauthenticated)?;
                login.used(begin(id, &user, opaque, cx)?, tried)
            }
            (ChangePasswordRequest::Finish { registration, record }, Step::Finish(begun)) => {
                finish((id, user), begun, (registration, record))?
            }
            _ => return Err(Fault::Broken("a step that was not asked for").into()),
        };
        Ok(account::seen(decision, id, client, cx))
    }
}

/// Answers the registration request, and keeps that it was begun.
fn begin(
    id: &ClientId,
    user: &User,
    opaque: &[u8],
    cx: &Context<AuthService>,
) -> Result<Decision<ChangePasswordReply>, Failure> {
    let registration = cx.chance("registration").bytes();
    let opaque = cx.keys.service.opaque().register(opaque, &id.user, &registration)?;
    let begun = PasswordChange { client: id.clone(), of: sha256(&user.opaque) };
    let writes = vec![Write::Put(record::ROW, record::encode(&begun))];
    let alarm = Alarm::At(cx.now.plus_secs(cx.settings.registration_s));
    let reply = ChangePasswordReply::Begun(RegisterInitReply { registration, opaque });
    Ok(Decision::reply(reply).change(kinds::password_change(&registration), writes, alarm))
}

/// Puts the new record in the old one's place.
fn finish(
    (id, user): (&ClientId, User),
    begun: Option<PasswordChange>,
    (registration, record): (&[u8; 16], &[u8]),
) -> Result<Decision<ChangePasswordReply>, Failure> {
    let opaque = opaque::checked_record(record)?;
    let decision = Decision::reply(ChangePasswordReply::Done);
    if opaque == user.opaque {
        // It was finished, and the answer got lost.
        return Ok(decision);
    }
    let of = sha256(&user.opaque);
    begun.filter(|begun| begun.client == *id && begun.of == of).ok_or(Reject::NotFound)?;
    let user = record::encode(&User { registration: *registration, opaque, ..user });
    Ok(decision.change(kinds::password_change(registration), vec![Write::Drop], Alarm::Never).put(
        kinds::user(&id.user),
        record::ROW,
        user,
    ))
}
