//! `delete_user`: a user record is no more, with all that is its own.

use phoenix_core::{
    Failure, QsClientId, QsUserId, Reject,
    api::{Empty, queue::DeleteUser as Endpoint},
    operation::{Authorised, Context, Decision, Decoded, Operation, Peers, Proven, Reading, Rows},
    port::{Alarm, Wanted, Write},
};

use crate::{
    callers::{claimed_user, signed},
    clients::ended,
    kinds::{RECORD, client, user},
    record::{ClientRecord, UserRecord, from_row, read_row},
    service::QueueService,
};

/// Deletes a user record, its clients, their queues and their packages.
pub struct DeleteUser;

/// The user, if there is one, and its clients.
pub struct Found {
    record: Option<UserRecord>,
    clients: Vec<QsClientId>,
}

impl Operation for DeleteUser {
    type Endpoint = Endpoint;
    type Service = QueueService;
    type State = Found;
    type Sender = QsUserId;

    fn locate(
        call: &Decoded<Self>,
        found: &Rows,
        _: &Context<QueueService>,
    ) -> Result<Vec<Reading>, Failure> {
        match found.len() {
            0 => Ok(vec![Reading::change(user(&claimed_user(call)?), Wanted::Keys(vec![RECORD]))]),
            1 => {
                let record = signed(call, record(found)?)?;
                let place = |id| Reading::change(client(id), Wanted::Keys(vec![RECORD]));
                Ok(record.clients.iter().map(place).collect())
            }
            _ => Ok(Vec::new()),
        }
    }

    fn open(call: &Decoded<Self>, found: Rows, _: &Context<QueueService>) -> Result<Found, Failure> {
        let (record, owner) = (record(&found)?, claimed_user(call)?);
        let mut clients = Vec::new();
        for (place, id) in (1..).zip(record.iter().flat_map(|record| record.clients.iter())) {
            let row = found.row(place, &RECORD)?;
            // An id that was free again may be somebody else's.
            if row.map(from_row::<ClientRecord>).transpose()?.is_some_and(|it| it.user == owner) {
                clients.push(*id);
            }
        }
        Ok(Found { record, clients })
    }

    fn authenticate(
        call: &Decoded<Self>,
        Found { record, .. }: &Found,
        _: &Peers,
        _: &Context<QueueService>,
    ) -> Result<Proven<QsUserId>, Failure> {
        let key = record.as_ref().map(|record| &record.auth_key);
        Ok(call.frame()?.prove_known(key, claimed_user(call)?)?)
    }

    fn decide(
        Found { record, clients }: Found,
        call: Authorised<Self>,
        _: &Peers,
        cx: &Context<QueueService>,
    ) -> Result<Decision<Empty>, Failure> {
        record.ok_or(Reject::Unauthenticated)?;
        let decision = Decision::reply(Empty {}).change(user(call.sender()), vec![Write::Drop], Alarm::Never);
        Ok(clients.iter().fold(decision, |decision, id| ended(decision, id, &cx.keys.at_rest)))
    }
}

fn record(found: &Rows) -> Result<Option<UserRecord>, Failure> {
    Ok(read_row(found, 0, &RECORD)?)
}
