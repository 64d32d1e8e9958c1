//! `delete_client`: a client is no more, and with the last one its user.

use phoenix_core::{
    Failure, QsClientId, QsUserId, Reject,
    api::{Empty, queue::DeleteClient as Endpoint},
    operation::{Authorised, Context, Decision, Decoded, Operation, Peers, Proven, Reading, Rows},
    port::{Alarm, Wanted, Write},
    wire::{List, Sender},
};

use crate::{
    callers::signed,
    clients::{ended, lives},
    kinds::{RECORD, client, user},
    record::{ClientRecord, UserRecord, read_row, to_row},
    service::QueueService,
};

/// Deletes a client, its queue and its packages.
pub struct DeleteClient;

/// Who is to go, whose it is, and who else is there.
pub struct Found {
    target: Option<ClientRecord>,
    owner: Option<(QsUserId, UserRecord)>,
    others: Vec<QsClientId>,
}

impl Operation for DeleteClient {
    type Endpoint = Endpoint;
    type Service = QueueService;
    type State = Found;
    type Sender = Sender;

    /// First the client, and its user where that signs; then the user of a client that has signed; then the others.
    fn locate(
        call: &Decoded<Self>,
        found: &Rows,
        cx: &Context<QueueService>,
    ) -> Result<Vec<Reading>, Failure> {
        let id = call.request().client;
        let record = |id| Reading::change(user(id), Wanted::Keys(vec![RECORD]));
        match (call.frame()?.sender(), found.len()) {
            (Sender::QsClient(sender), _) if *sender != id => Err(Reject::Unauthenticated.into()),
            (Sender::QsClient(_), 0) => Ok(vec![place(&id)]),
            (Sender::QsUser(owner), 0) => Ok(vec![place(&id), record(owner)]),
            (Sender::QsClient(_), 1) => Ok(vec![record(&signed(call, target(found, cx)?)?.user)]),
            (Sender::QsUser(_), 2) => {
                signed(call, user_record(found)?)?;
                Ok(others(found, id)?.iter().map(glance).collect())
            }
            (Sender::QsClient(_), 2) => Ok(others(found, id)?.iter().map(glance).collect()),
            _ => Ok(Vec::new()),
        }
    }

    fn open(call: &Decoded<Self>, found: Rows, cx: &Context<QueueService>) -> Result<Found, Failure> {
        let (id, target, record) = (call.request().client, target(&found, cx)?, user_record(&found)?);
        let owner = match call.frame()?.sender() {
            Sender::QsUser(owner) => Some(*owner),
            _ => target.as_ref().map(|target| target.user),
        };
        let mut alive = Vec::new();
        for (place, other) in (2..).zip(others(&found, id)?) {
            let row = found.row(place, &RECORD)?;
            if owner.map(|owner| lives(row, &owner, cx.now)).transpose()?.unwrap_or_default() {
                alive.push(other);
            }
        }
        Ok(Found { target, owner: owner.zip(record), others: alive })
    }

    fn authenticate(
        call: &Decoded<Self>,
        Found { target, owner, .. }: &Found,
        _: &Peers,
        _: &Context<QueueService>,
    ) -> Result<Proven<Sender>, Failure> {
        let frame = call.frame()?;
        let key = match frame.sender() {
            Sender::QsClient(_) => target.as_ref().map(|target| &target.auth_key),
            _ => owner.as_ref().map(|(_, record)| &record.auth_key),
        };
        Ok(frame.prove_known(key, frame.sender().clone())?)
    }

    fn decide(
        Found { target, owner, others }: Found,
        call: Authorised<Self>,
        _: &Peers,
        cx: &Context<QueueService>,
    ) -> Result<Decision<Empty>, Failure> {
        let id = call.request().client;
        let (owner, mut record) = owner.ok_or(Reject::NotFound)?;
        // Somebody else's client and none at all are told the same.
        if target.is_none_or(|target| target.user != owner) {
            return Err(Reject::NotFound.into());
        }
        let decision = ended(Decision::reply(Empty {}), &id, &cx.keys.at_rest);
        if others.is_empty() {
            return Ok(decision.change(user(&owner), vec![Write::Drop], Alarm::Never));
        }
        record.clients = List::new(others).map_err(Reject::from)?;
        Ok(decision.put(user(&owner), RECORD, to_row(&record)))
    }
}

fn place(id: &QsClientId) -> Reading {
    Reading::change(client(id), Wanted::Keys(vec![RECORD]))
}

/// Of the others only whether they are there: who has expired never comes back.
fn glance(id: &QsClientId) -> Reading {
    Reading::glance(client(id), Wanted::Keys(vec![RECORD]))
}

fn target(found: &Rows, cx: &Context<QueueService>) -> Result<Option<ClientRecord>, Failure> {
    let record = read_row(found, 0, &RECORD)?;
    Ok(record.and_then(|record: ClientRecord| record.current(cx.now)))
}

fn user_record(found: &Rows) -> Result<Option<UserRecord>, Failure> {
    Ok(read_row(found, 1, &RECORD)?)
}

/// The user's other clients.
fn others(found: &Rows, id: QsClientId) -> Result<Vec<QsClientId>, Failure> {
    let clients = user_record(found)?.map(|record| record.clients.into_vec()).unwrap_or_default();
    Ok(clients.into_iter().filter(|it| *it != id).collect())
}
