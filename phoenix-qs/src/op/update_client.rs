//! `update_client`: other keys for a client, the end of its queue configs, or a new beginning of its queue.

use phoenix_core::{
    Failure, QsClientId, Reject,
    api::{Empty, queue::UpdateClient as Endpoint},
    operation::{Authorised, Context, Decision, Decoded, Hint, Operation, Peers, Proven, Reading, Rows},
    port::{Alarm, Wanted, Write},
};

use crate::{
    callers::claimed_client,
    kinds::{QUEUE, RECORD, client, packages, place_topic, topic},
    record::{ClientRecord, PackageIndex, QueueRecord, from_row, read_row, to_row},
    service::QueueService,
};

/// Changes a client record, or restarts its queue.
pub struct UpdateClient;

/// The client, if there is one, and its packages.
pub struct State {
    known: Option<(ClientRecord, QueueRecord)>,
    index: Option<PackageIndex>,
}

impl Operation for UpdateClient {
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
        let (request, id) = (call.request(), claimed_client(call)?);
        if let Some(new) = &request.auth_key {
            new.key.check()?;
        }
        if let Some(key) = &request.queue_key {
            key.check()?;
        }
        Ok(vec![
            Reading::change(client(&id), Wanted::Keys(vec![QUEUE, RECORD])),
            Reading::change(packages(&id), Wanted::Keys(vec![RECORD])),
        ])
    }

    fn open(_: &Decoded<Self>, found: Rows, cx: &Context<QueueService>) -> Result<State, Failure> {
        let (record, queue) = (found.row(0, &RECORD)?, found.row(0, &QUEUE)?);
        let known = record.zip(queue).map(|(record, queue)| {
            let record: ClientRecord = from_row(record)?;
            Ok::<_, Failure>(record.current(cx.now).zip(Some(from_row(queue)?)))
        });
        let index = read_row(&found, 1, &RECORD)?;
        Ok(State { known: known.transpose()?.flatten(), index })
    }

    fn authenticate(
        call: &Decoded<Self>,
        State { known, .. }: &State,
        _: &Peers,
        _: &Context<QueueService>,
    ) -> Result<Proven<QsClientId>, Failure> {
        let frame = call.frame()?;
        if let Some(new) = &call.request().auth_key {
            frame.co_signed_by(&new.key)?;
        }
        // Who does not exist and who cannot sign are told the same.
        Ok(frame.prove_known(known.as_ref().map(|(record, _)| &record.auth_key), claimed_client(call)?)?)
    }

    fn decide(
        State { known, index }: State,
        call: Authorised<Self>,
        _: &Peers,
        cx: &Context<QueueService>,
    ) -> Result<Decision<Empty>, Failure> {
        let (request, id) = (call.request(), *call.sender());
        let (mut record, queue) = known.ok_or(Reject::Unauthenticated)?;
        if let Some(generation) = request.min_generation {
            record = record.with_generation(generation)?;
        }
        if let Some(new) = &request.auth_key {
            record = record.with_key(new)?;
        }
        let (min_generation, mut rows) = (record.min_generation, vec![Write::Put(RECORD, to_row(&record))]);
        if let Some(key) = &request.queue_key {
            rows.extend(queue.restart(key.clone(), cx, &mut cx.chance("queue"))?);
        }
        // Whoever reads or streams is to see what has changed.
        let decision = Decision::reply(Empty {})
            .change(client(&id), rows, Alarm::Keep)
            .hint(Hint::Wake(topic(&cx.keys.at_rest, &id)))
            .hint(Hint::Wake(place_topic(&cx.keys.at_rest, &id)));
        Ok(match index.filter(|index| index.user == record.user) {
            Some(index) => {
                let (index, mut rows) = index.restored(cx.keys.generation);
                let (index, void) = index.without_void(min_generation);
                rows.extend(void);
                // That few are left may have been told by an entry that is dropped now.
                let index = if request.queue_key.is_some() { index.untold() } else { index };
                rows.push(Write::Put(RECORD, to_row(&index)));
                decision.change(packages(&id), rows, Alarm::Keep)
            }
            None => decision,
        })
    }
}
