//! `create_user`: a pseudonymous record with its first client and queue.

use phoenix_core::{
    Failure, QsUserId, Reject,
    api::queue::{CreateUser as Endpoint, Route},
    operation::{Authorised, Context, Decision, Decoded, Operation, Peers, Proven, Reading, Rows},
    port::{Alarm, Wanted, Write},
};

use crate::{
    friendship,
    kinds::{RECORD, client, end_of_use, user},
    record::{ClientRecord, QueueRecord, UserRecord, to_row},
    service::QueueService,
};

/// Makes a record, which nothing relates to a user of the AS: it costs a Home token, and names only new keys.
pub struct CreateUser;

/// Whether an id is taken.
pub struct Taken(bool);

impl Operation for CreateUser {
    type Endpoint = Endpoint;
    type Service = QueueService;
    type State = Taken;
    type Sender = QsUserId;

    fn locate(
        call: &Decoded<Self>,
        found: &Rows,
        _: &Context<QueueService>,
    ) -> Result<Vec<Reading>, Failure> {
        if !found.is_empty() {
            return Ok(Vec::new());
        }
        let request = call.request();
        request.user_key.check()?;
        request.client_key.check()?;
        request.queue_key.check()?;
        let places = [user(&request.user), client(&request.client)];
        Ok(places.into_iter().map(|at| Reading::change(at, Wanted::Mark)).collect())
    }

    fn open(_: &Decoded<Self>, found: Rows, _: &Context<QueueService>) -> Result<Taken, Failure> {
        Ok(Taken(found.place(0)?.mark.is_some() || found.place(1)?.mark.is_some()))
    }

    fn authenticate(
        call: &Decoded<Self>,
        _: &Taken,
        _: &Peers,
        _: &Context<QueueService>,
    ) -> Result<Proven<QsUserId>, Failure> {
        let (request, frame) = (call.request(), call.frame()?);
        frame.co_signed_by(&request.client_key)?;
        Ok(frame.prove_new_key(&request.user_key, request.user)?)
    }

    fn decide(
        Taken(taken): Taken,
        call: Authorised<Self>,
        _: &Peers,
        cx: &Context<QueueService>,
    ) -> Result<Decision<Route>, Failure> {
        if taken {
            return Err(Reject::AlreadyExists.into());
        }
        let request = call.request();
        let friendship = friendship::hash(&cx.keys.at_rest, &request.user, &request.friendship_secret);
        let user_record = UserRecord::new(request.user_key.clone(), friendship, request.client, cx.now)?;
        let client_record = ClientRecord::new(request.user, request.client_key.clone(), cx.now);
        let (queue, mut rows) = QueueRecord::create(request.queue_key.clone(), cx, &mut cx.chance("queue"))?;
        rows.extend([Write::Put(RECORD, to_row(&client_record)), queue.put()]);
        let alarm = Alarm::At(end_of_use(user_record.active));
        let route = friendship::route(&cx.keys.at_rest, &request.user, &mut cx.chance("route"))?;
        Ok(Decision::reply(route)
            .change(user(&request.user), vec![Write::Put(RECORD, to_row(&user_record))], alarm)
            .change(client(&request.client), rows, alarm))
    }
}
