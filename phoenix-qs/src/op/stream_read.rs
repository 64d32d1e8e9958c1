//! `stream_read`: reads what a stream carries next.

use phoenix_core::{
    Failure, Reject,
    api::{
        queue::{DequeueReply, DequeueRequest, QueueEntry},
        stream::{MAX_UNACKNOWLEDGED, StreamRead as Endpoint, StreamReadRequest},
    },
    operation::{
        Anyone, Authorised, Context, Decision, Decoded, Next, Operation, Peers, Proven, Reading, Rows,
    },
    wire::Wire,
};

use crate::{
    kinds::STREAM,
    reading::{Found, behind, head, reader},
    record::{QueueRecord, read_row},
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
                behind((&opened.client, &record), *from, (found, cx.now), |queue| page(queue, *max))
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
        let State { mut queue, stream } = state;
        let is_key = |key| key == &opened.auth_key;
        if !queue.known.as_ref().is_some_and(|(record, _)| is_key(&record.auth_key)) {
            return Err(Reject::Unauthenticated.into());
        }
        if stream != Some(opened.stream) {
            return Err(Reject::Conflict(None).into());
        }
        queue.entries = fitting(queue.entries);
        let request = DequeueRequest { from: *from, max: *max, ack_below: *ack_below, wait_s: 0 };
        queue.read(opened.client, &request, Next::Reply, cx)
    }
}

/// The first entries, as many as one message holds: always one.
fn fitting(entries: Vec<QueueEntry>) -> Vec<QueueEntry> {
    let mut bytes = 0_usize;
    let fits = |entry: &QueueEntry| {
        let is_first = bytes == 0;
        bytes = bytes.saturating_add(entry.encode().len());
        is_first || bytes <= MAX_MESSAGE
    };
    entries.into_iter().take_while(fits).collect()
}

/// Rows to read: as many as are wanted, unless the queue's entries are large.
fn page(queue: Option<&QueueRecord>, max: u16) -> u32 {
    // One, where nothing but an acknowledgement is wanted: stores are asked for something.
    let wanted = u32::from(max).clamp(1, u32::try_from(MAX_UNACKNOWLEDGED).unwrap_or(u32::MAX));
    match queue {
        Some(queue) if queue.head.bytes() > SMALL_QUEUE => wanted.min(LARGE_PAGE),
        Some(_) | None => wanted,
    }
}

/// Bytes of entries in one message, unless a single one is larger: what a slow reader holds of a server's memory.
const MAX_MESSAGE: usize = 256 << 10;
/// A queue of fewer bytes may be read at once whatever its entries are.
const SMALL_QUEUE: u64 = 1 << 20;
/// Rows of a larger queue that are read at once: a queue of large entries costs memory for each of its streams.
const LARGE_PAGE: u32 = 16;
