//! `set_push_token`: where a client wants to be pushed to.

use phoenix_core::{
    Failure, QsClientId, Reject,
    api::{
        Empty,
        queue::{MAX_SEALED_PUSH_TOKEN, SetPushToken as Endpoint},
    },
    operation::{Authorised, Context, Decision, Decoded, Operation, Peers, Proven, Reading, Rows},
    port::{Alarm, Wanted, Write},
};

use crate::{
    callers::claimed_client,
    kinds::{PUSH, RECORD, client},
    record::{ClientRecord, read_row, to_row},
    service::QueueService,
};

/// Keeps a client's push token as it is, sealed, or forgets it.
pub struct SetPushToken;

/// The client, if there is one.
pub struct State(Option<ClientRecord>);

impl Operation for SetPushToken {
    type Endpoint = Endpoint;
    type Service = QueueService;
    type State = State;
    type Sender = QsClientId;

    fn locate(
        call: &Decoded<Self>,
        found: &Rows,
        _: &Context<QueueService>,
    ) -> Result<Vec<Reading>, Failure> {
        if !found.is_empty() {
            return Ok(Vec::new());
        }
        // One of another length would tell clients apart.
        if call.request().token.as_ref().is_some_and(|token| token.0.len() != MAX_SEALED_PUSH_TOKEN) {
            return Err(Reject::Malformed("token").into());
        }
        Ok(vec![Reading::change(client(&claimed_client(call)?), Wanted::Keys(vec![RECORD]))])
    }

    fn open(_: &Decoded<Self>, found: Rows, cx: &Context<QueueService>) -> Result<State, Failure> {
        let record = read_row(&found, 0, &RECORD)?;
        Ok(State(record.and_then(|record: ClientRecord| record.current(cx.now))))
    }

    fn authenticate(
        call: &Decoded<Self>,
        State(record): &State,
        _: &Peers,
        _: &Context<QueueService>,
    ) -> Result<Proven<QsClientId>, Failure> {
        // Who does not exist and who cannot sign are told the same.
        let key = record.as_ref().map(|record| &record.auth_key);
        Ok(call.frame()?.prove_known(key, claimed_client(call)?)?)
    }

    fn decide(
        State(record): State,
        call: Authorised<Self>,
        _: &Peers,
        _: &Context<QueueService>,
    ) -> Result<Decision<Empty>, Failure> {
        record.ok_or(Reject::Unauthenticated)?;
        let write = match &call.request().token {
            Some(token) => Write::Put(PUSH, to_row(token)),
            None => Write::Delete(PUSH),
        };
        Ok(Decision::reply(Empty {}).change(client(call.sender()), vec![write], Alarm::Keep))
    }
}
