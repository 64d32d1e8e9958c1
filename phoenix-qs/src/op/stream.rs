//! `stream`: opens a stream of a client's queue, in place of the one that it had.

use phoenix_core::{
    Failure, QsClientId, Reject,
    api::stream::{Stream as Endpoint, StreamOpened, StreamReadRequest, StreamRequest},
    crypto::AtRestKey,
    operation::{
        Authorised, Context, Decision, Decoded, Hint, Operation, Peers, Proven, Reading, Rows, StreamTopics,
        Streamed,
    },
    port::Wanted,
    queue::{Flow, Page},
};

use super::stream_read::StreamRead;
use crate::{
    callers::claimed_client,
    kinds::{RECORD, STREAM, client, place_topic, stream_topic, topic},
    record::{ClientRecord, read_row, to_row},
    service::QueueService,
};

/// Opens a stream. The client's record names it from now on, wherever it is; so one that was open before ends with its
/// next read, and is woken to read at once.
pub struct Stream;

/// The client, or nobody, for whom as much is read.
pub struct State(Option<ClientRecord>);

impl Operation for Stream {
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
        Flow::new(call.request())?;
        Ok(vec![Reading::change(client(&claimed_client(call)?), Wanted::Keys(vec![RECORD]))])
    }

    fn open(_: &Decoded<Self>, found: Rows, cx: &Context<QueueService>) -> Result<State, Failure> {
        let record = read_row::<ClientRecord>(&found, 0, &RECORD)?;
        Ok(State(record.and_then(|record| record.current(cx.now))))
    }

    fn authenticate(
        call: &Decoded<Self>,
        state: &State,
        _: &Peers,
        _: &Context<QueueService>,
    ) -> Result<Proven<QsClientId>, Failure> {
        // Who does not exist and who cannot sign are told the same.
        let key = state.0.as_ref().map(|record| &record.auth_key);
        Ok(call.frame()?.prove_known(key, claimed_client(call)?)?)
    }

    fn decide(
        state: State,
        call: Authorised<Self>,
        _: &Peers,
        cx: &Context<QueueService>,
    ) -> Result<Decision<StreamOpened>, Failure> {
        let client_id = *call.sender();
        let auth_key = state.0.ok_or(Reject::Unauthenticated)?.auth_key;
        let stream = cx.chance("stream").bytes();
        let other = Hint::Wake(place_topic(&cx.keys.at_rest, &client_id));
        Ok(Decision::reply(StreamOpened { client: client_id, stream, auth_key })
            .put(client(&client_id), STREAM, to_row(&stream))
            .hint(other))
    }
}

impl Streamed for Stream {
    type Read = StreamRead;

    fn flow(request: &StreamRequest) -> Result<Flow, Reject> {
        Flow::new(request)
    }

    fn topics(opened: &StreamOpened, at_rest: &AtRestKey) -> StreamTopics {
        let StreamOpened { client, .. } = opened;
        StreamTopics {
            queue: topic(at_rest, client),
            stream: stream_topic(at_rest, client),
            place: place_topic(at_rest, client),
        }
    }

    fn read(opened: &StreamOpened, page: &Page) -> StreamReadRequest {
        let Page { from, max, ack_below } = *page;
        StreamReadRequest { opened: opened.clone(), from, max, ack_below }
    }
}
