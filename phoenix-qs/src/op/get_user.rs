//! `get_user`: what the QS keeps of a user.

use phoenix_core::{
    Failure, QsClientId, QsUserId, Reject,
    api::queue::{GetUser as Endpoint, QsClientRecord, QsUserRecord},
    operation::{Authorised, Context, Decision, Decoded, Operation, Peers, Proven, Reading, Rows},
    port::Wanted,
    wire::{Flag, List},
};

use crate::{
    callers::{claimed_user, signed},
    kinds::{PUSH, QUEUE, RECORD, client, packages, user},
    record::{ClientRecord, PackageIndex, QueueRecord, UserRecord, from_row, read_row},
    service::QueueService,
};

/// Reads a user record, with its clients, their queues and their packages.
pub struct GetUser;

/// The user, if there is one, with its clients.
pub struct Found(Option<(UserRecord, Vec<QsClientRecord>)>);

impl Operation for GetUser {
    type Endpoint = Endpoint;
    type Service = QueueService;
    type State = Found;
    type Sender = QsUserId;

    fn locate(
        call: &Decoded<Self>,
        found: &Rows,
        cx: &Context<QueueService>,
    ) -> Result<Vec<Reading>, Failure> {
        match found.len() {
            // Nothing is written, so nothing need be checked.
            0 => Ok(vec![Reading::glance(user(&claimed_user(call)?), Wanted::Keys(vec![RECORD]))]),
            1 => {
                let record = signed(call, record(found, cx)?)?;
                let queue = |id| Reading::glance(client(id), Wanted::Keys(vec![PUSH, QUEUE, RECORD]));
                let list = |id| Reading::glance(packages(id), Wanted::Keys(vec![RECORD]));
                Ok(record.clients.iter().flat_map(|id| [queue(id), list(id)]).collect())
            }
            _ => Ok(Vec::new()),
        }
    }

    fn open(call: &Decoded<Self>, found: Rows, cx: &Context<QueueService>) -> Result<Found, Failure> {
        let Some(record) = record(&found, cx)? else { return Ok(Found(None)) };
        let owner = claimed_user(call)?;
        let mut clients = Vec::new();
        for (at, id) in (1..).step_by(2).zip(record.clients.iter()) {
            clients.extend(shown(&found, at, (*id, owner), cx)?);
        }
        Ok(Found(Some((record, clients))))
    }

    fn authenticate(
        call: &Decoded<Self>,
        Found(known): &Found,
        _: &Peers,
        _: &Context<QueueService>,
    ) -> Result<Proven<QsUserId>, Failure> {
        let key = known.as_ref().map(|(record, _)| &record.auth_key);
        Ok(call.frame()?.prove_known(key, claimed_user(call)?)?)
    }

    fn decide(
        Found(known): Found,
        _: Authorised<Self>,
        _: &Peers,
        cx: &Context<QueueService>,
    ) -> Result<Decision<QsUserRecord>, Failure> {
        let (record, clients) = known.ok_or(Reject::Unauthenticated)?;
        let (former_until, auth_key) = (record.former_until(cx.now), record.auth_key);
        let clients = List::new(clients).map_err(Reject::from)?;
        Ok(Decision::reply(QsUserRecord { auth_key, former_until, clients }))
    }
}

fn record(found: &Rows, cx: &Context<QueueService>) -> Result<Option<UserRecord>, Failure> {
    let record = read_row(found, 0, &RECORD)?;
    Ok(record.and_then(|record: UserRecord| record.current(cx.now)))
}

/// A client of a user, whose rows are found at this place and whose packages at the next; none where it has expired.
fn shown(
    found: &Rows,
    at: usize,
    (id, owner): (QsClientId, QsUserId),
    cx: &Context<QueueService>,
) -> Result<Option<QsClientRecord>, Failure> {
    let (record, queue) = (found.row(at, &RECORD)?, found.row(at, &QUEUE)?);
    let Some((record, queue)) = record.zip(queue) else { return Ok(None) };
    let Some(record) = from_row::<ClientRecord>(record)?.current(cx.now) else { return Ok(None) };
    let (queue, _) = from_row::<QueueRecord>(queue)?.restored(cx, &mut cx.chance("restored queue"))?;
    let queue = queue.expire(cx.now);
    let index = read_row::<PackageIndex>(found, at.saturating_add(1), &RECORD)?;
    let left = index
        .filter(|index| index.user == owner)
        .map(|index| index.restored(cx.keys.generation).0.left(cx.now));
    let shown = QsClientRecord {
        client: id,
        auth_key: record.auth_key.clone(),
        min_generation: record.min_generation,
        active: record.active,
        has_push_token: Flag::from(found.row(at, &PUSH)?.is_some()),
        next_seq: queue.head.next_seq(),
        queued: queue.head.length(),
        queued_bytes: queue.head.bytes(),
        packages: List::new(left.unwrap_or_default()).map_err(Reject::from)?,
    };
    Ok(Some(shown).filter(|_| record.user == owner))
}
