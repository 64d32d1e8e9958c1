//! `stream_read`: reads what a stream carries next.

use phoenix_core::{
    Failure, Reject,
    api::{
        queue::{DequeueReply, DequeueRequest},
        stream::{MAX_UNACKNOWLEDGED, StreamRead as Endpoint, StreamReadRequest},
    },
    operation::{
        Anyone, Authorised, Context, Decision, Decoded, Next, Operation, Peers, Proven, Reading, Rows,
    },
};

use crate::{
    kinds::STREAM,
    reading::{Found, behind, head, reader},
    record::read_row,
    service::QueueService,
};

/// Reads a page of the queue of a stream's client, and deletes what it acknowledged: as long as the stream is the one
/// that the client opened last, with the key that is the client's.
pub struct StreamRead;

/// The queue as it was found, and the stream that its client opened last.
pub struct State {
    queue: Found,
    stream: Option<[u8; 16]>,
}

impl Operation for StreamRead {
    type Endpoint = Endpoint;
    type Service = QueueService;
    type State = State;
    type Sender = Anyone;

    fn locate(
        call: &Decoded<Self>,
        found: &Rows,
        cx: &Context<QueueService>,
    ) -> Result<Vec<Reading>, Failure> {
        let StreamReadRequest { opened, from, max, .. } = call.request();
        match found.len() {
            0 => Ok(vec![head(&opened.client, &[STREAM])]),
            1 => {
                let record = reader(found, cx.now)?.ok_or(Reject::Unauthenticated)?;
                // One, where nothing but an acknowledgement is wanted: stores are asked for something.
                let most = u32::try_from(MAX_UNACKNOWLEDGED).unwrap_or(u32::MAX);
                let page = (u32::from(*max).clamp(1, most), MAX_MESSAGE);
                Ok(behind((&opened.client, &record), *from, page, cx.now))
            }
            _ => Ok(Vec::new()),
        }
    }

    fn open(_: &Decoded<Self>, found: Rows, cx: &Context<QueueService>) -> Result<State, Failure> {
        let stream = read_row(&found, 0, &STREAM)?;
        Ok(State { queue: Found::open(&found, cx.now)?, stream })
    }

    fn authenticate(
        _: &Decoded<Self>,
        _: &State,
        _: &Peers,
        _: &Context<QueueService>,
    ) -> Result<Proven<Anyone>, Failure> {
        Ok(Proven::anyone())
    }

    fn decide(
        state: State,
        call: Authorised<Self>,
        _: &Peers,
        cx: &Context<QueueService>,
    ) -> Result<Decision<DequeueReply>, Failure> {
        let StreamReadRequest { opened, from, max, ack_below } = call.request();
        let State { queue, stream } = state;
        let is_key = |key| key == &opened.auth_key;
        if !queue.known.as_ref().is_some_and(|(record, _)| is_key(&record.auth_key)) {
            return Err(Reject::Unauthenticated.into());
        }
        if stream != Some(opened.stream) {
            return Err(Reject::Conflict(None).into());
        }
        let request = DequeueRequest { from: *from, max: *max, ack_below: *ack_below, wait_s: 0 };
        queue.read(opened.client, &request, Next::Reply, cx)
    }
}

/// Bytes of entries in one message, unless a single one is larger: what a slow reader holds of a server's memory.
const MAX_MESSAGE: usize = 256 << 10;
