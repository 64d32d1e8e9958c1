//! `update_user`: other keys for a user record.

use phoenix_core::{
    Failure, QsUserId, Reject,
    api::queue::{Route, UpdateUser as Endpoint},
    operation::{Authorised, Context, Decision, Decoded, Operation, Peers, Proven, Reading, Rows},
    port::Wanted,
};

use crate::{
    callers::claimed_user,
    friendship,
    kinds::{RECORD, user},
    record::{UserRecord, read_row, to_row},
    service::QueueService,
};

/// Changes who signs for a user record and who may fetch its AddPackages.
pub struct UpdateUser;

/// The user, if there is one.
pub struct State(Option<UserRecord>);

impl Operation for UpdateUser {
    type Endpoint = Endpoint;
    type Service = QueueService;
    type State = State;
    type Sender = QsUserId;

    fn locate(
        call: &Decoded<Self>,
        found: &Rows,
        _: &Context<QueueService>,
    ) -> Result<Vec<Reading>, Failure> {
        if !found.is_empty() {
            return Ok(Vec::new());
        }
        if let Some(key) = &call.request().auth_key {
            key.check()?;
        }
        Ok(vec![Reading::change(user(&claimed_user(call)?), Wanted::Keys(vec![RECORD]))])
    }

    fn open(_: &Decoded<Self>, found: Rows, cx: &Context<QueueService>) -> Result<State, Failure> {
        let record = read_row(&found, 0, &RECORD)?;
        Ok(State(record.and_then(|record: UserRecord| record.current(cx.now))))
    }

    fn authenticate(
        call: &Decoded<Self>,
        State(record): &State,
        _: &Peers,
        _: &Context<QueueService>,
    ) -> Result<Proven<QsUserId>, Failure> {
        let frame = call.frame()?;
        if let Some(key) = &call.request().auth_key {
            frame.co_signed_by(key)?;
        }
        // Who does not exist and who cannot sign are told the same.
        Ok(frame.prove_known(record.as_ref().map(|record| &record.auth_key), claimed_user(call)?)?)
    }

    fn decide(
        State(record): State,
        call: Authorised<Self>,
        _: &Peers,
        cx: &Context<QueueService>,
    ) -> Result<Decision<Route>, Failure> {
        let (request, id, at_rest) = (call.request(), *call.sender(), &cx.keys.at_rest);
        let record = record.ok_or(Reject::Unauthenticated)?;
        let secret = request.friendship_secret.as_ref().map(|secret| friendship::hash(at_rest, &id, secret));
        let mut record = record.rotated(secret, request.former, cx.now);
        if let Some(key) = &request.auth_key {
            record.auth_key = key.clone();
        }
        let route = friendship::route(at_rest, &id, &mut cx.chance("route"))?;
        Ok(Decision::reply(route).put(user(&id), RECORD, to_row(&record)))
    }
}
