//! `create_client`: a further client of a user, with its queue.

use phoenix_core::{
    Failure, QsClientId, QsUserId, Reject,
    api::{
        Empty,
        queue::{CreateClient as Endpoint, MAX_QS_CLIENTS},
    },
    operation::{Authorised, Context, Decision, Decoded, Operation, Peers, Proven, Reading, Rows},
    port::{Alarm, Wanted, Write},
    wire::List,
};

use crate::{
    callers::{claimed_user, signed},
    clients::lives,
    kinds::{RECORD, client, end_of_use, user},
    record::{ClientRecord, QueueRecord, UserRecord, read_row, to_row},
    service::QueueService,
};

/// Adds a client to a user record.
pub struct CreateClient;

/// The user, if there is one, those of its clients that have not expired, and whether the id is taken.
pub struct Found {
    record: Option<UserRecord>,
    clients: Vec<QsClientId>,
    is_taken: bool,
}

impl Operation for CreateClient {
    type Endpoint = Endpoint;
    type Service = QueueService;
    type State = Found;
    type Sender = QsUserId;

    fn locate(
        call: &Decoded<Self>,
        found: &Rows,
        cx: &Context<QueueService>,
    ) -> Result<Vec<Reading>, Failure> {
        let request = call.request();
        match found.len() {
            0 => {
                request.client_key.check()?;
                request.queue_key.check()?;
                Ok(vec![
                    Reading::change(user(&claimed_user(call)?), Wanted::Keys(vec![RECORD])),
                    Reading::change(client(&request.client), Wanted::Mark),
                ])
            }
            2 => {
                let record = signed(call, record(found, cx)?)?;
                // Not checked: who has expired never comes back, and who expires meanwhile only stays in the list.
                let place = |id| Reading::glance(client(id), Wanted::Keys(vec![RECORD]));
                Ok(record.clients.iter().map(place).collect())
            }
            _ => Ok(Vec::new()),
        }
    }

    fn open(call: &Decoded<Self>, found: Rows, cx: &Context<QueueService>) -> Result<Found, Failure> {
        let (record, owner) = (record(&found, cx)?, claimed_user(call)?);
        let mut clients = Vec::new();
        for (place, id) in (2..).zip(record.iter().flat_map(|record| record.clients.iter())) {
            if lives(found.row(place, &RECORD)?, &owner, cx.now)? {
                clients.push(*id);
            }
        }
        Ok(Found { record, clients, is_taken: found.place(1)?.mark.is_some() })
    }

    fn authenticate(
        call: &Decoded<Self>,
        Found { record, .. }: &Found,
        _: &Peers,
        _: &Context<QueueService>,
    ) -> Result<Proven<QsUserId>, Failure> {
        let frame = call.frame()?;
        frame.co_signed_by(&call.request().client_key)?;
        Ok(frame.prove_known(record.as_ref().map(|record| &record.auth_key), claimed_user(call)?)?)
    }

    fn decide(
        Found { record, mut clients, is_taken }: Found,
        call: Authorised<Self>,
        _: &Peers,
        cx: &Context<QueueService>,
    ) -> Result<Decision<Empty>, Failure> {
        let (request, owner) = (call.request(), *call.sender());
        let record = record.ok_or(Reject::Unauthenticated)?;
        if is_taken {
            return Err(Reject::AlreadyExists.into());
        }
        if clients.len() >= MAX_QS_CLIENTS {
            return Err(Reject::TooLarge("clients").into());
        }
        clients.push(request.client);
        let mut record = record.renewed(cx.now);
        record.clients = List::new(clients).map_err(Reject::from)?;
        let new = ClientRecord::new(owner, request.client_key.clone(), cx.now);
        let mut chance = cx.chance("queue");
        let (queue, mut rows) = QueueRecord::create(request.queue_key.clone(), cx, &mut chance)?;
        rows.extend([Write::Put(RECORD, to_row(&new)), queue.put()]);
        let alarm = Alarm::At(end_of_use(new.active));
        Ok(Decision::reply(Empty {})
            .change(user(&owner), vec![Write::Put(RECORD, to_row(&record))], alarm)
            .change(client(&request.client), rows, alarm))
    }
}

fn record(found: &Rows, cx: &Context<QueueService>) -> Result<Option<UserRecord>, Failure> {
    let record = read_row(found, 0, &RECORD)?;
    Ok(record.and_then(|record: UserRecord| record.current(cx.now)))
}
