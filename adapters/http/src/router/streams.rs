//! Queue streams over WebSockets (06, "Wake-ups"), within bounds that hold before anything is decoded (10, T20).

use std::{net::IpAddr, pin::pin, sync::Arc, time::Duration};

use axum::{
    Error,
    extract::{
        FromRequestParts, Path, Request, State, WebSocketUpgrade,
        ws::{CloseFrame, Message, WebSocket, close_code},
    },
    response::Response,
};
use bytes::Bytes;
use futures::StreamExt;
use phoenix_core::{
    Origin, Reject,
    api::{Binding, Description, stream::StreamMessage},
    engine::{Intake, OpenStream, Said, StreamPlace},
    wire::{Call, Wire},
};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_tungstenite::tungstenite;

use super::{
    Gate, RouterOptions, StreamTimes, intake,
    memory::{Charge, Memory},
    origin, refused,
};
use crate::{
    admission::{Admission, Admitted},
    error::problem,
    serve::ConnectionPlace,
};

/// Who may have a stream, and what it may take.
pub(super) struct Streams {
    admission: Admission,
    memory: Arc<Memory>,
    times: StreamTimes,
}

/// What a stream holds of the server until it ends.
struct Seat {
    _admitted: Admitted,
    _connection: Option<ConnectionPlace>,
    charge: Charge,
}

impl Streams {
    /// Nobody has one yet.
    pub(super) fn new(options: &RouterOptions, memory: Arc<Memory>) -> Self {
        let admission = Admission::new(options.streams, options.streams_per_source);
        Self { admission, memory, times: options.stream_times }
    }

    fn seat(&self, address: Option<IpAddr>, connection: Option<ConnectionPlace>) -> Option<Seat> {
        let admitted = self.admission.enter(address)?;
        let charge = self.memory.charge(address, FLOOR).ok()?;
        Some(Seat { _admitted: admitted, _connection: connection, charge })
    }
}

/// Makes a stream of the connection, if it may have one. Whether its call is accepted, the first message tells.
pub(super) async fn open(
    State(gate): State<Arc<Gate>>,
    Path((service, name)): Path<(String, String)>,
    request: Request,
) -> Response {
    let Some(endpoint) = gate.endpoint(&service, &name, |binding| binding == Binding::WebSocket) else {
        return problem(&refused(Reject::NotFound), &[]);
    };
    let origin = origin(request.extensions());
    let (mut parts, _) = request.into_parts();
    let connection = parts.extensions.get::<ConnectionPlace>().cloned();
    let Ok(upgrade) = WebSocketUpgrade::from_request_parts(&mut parts, &()).await else {
        return problem(&refused(Reject::Malformed("upgrade")), &[]);
    };
    let Some(seat) = gate.streams.seat(origin.address, connection) else {
        return problem(&refused(Reject::Unavailable(FULL_RETRY_S)), &[]);
    };
    let upgrade = upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BUFFER)
        .max_frame_size(MAX_MESSAGE)
        .max_message_size(MAX_MESSAGE);
    // In a task of its own, which ends with the stream.
    upgrade.on_upgrade(move |socket| Session { socket, gate, endpoint, origin, seat }.serve())
}

/// One stream and its client.
struct Session {
    socket: WebSocket,
    gate: Arc<Gate>,
    endpoint: Description,
    origin: Origin,
    seat: Seat,
}

/// How a stream ends.
enum End {
    /// There is nobody any more to be told anything, or nobody who listens.
    Gone,
    /// The client is told this.
    Told(StreamMessage),
}

impl Session {
    async fn serve(mut self) {
        let (end, place) = self.converse().await;
        match end {
            End::Gone => {}
            End::Told(last) => self.close(last).await,
        }
        // Only now: a homeserver that ends waits until its clients were told.
        drop(place);
    }

    async fn converse(&mut self) -> (End, Option<StreamPlace>) {
        let first = timeout(self.times().call, self.call()).await;
        let call = match first.unwrap_or_else(|_| Err(told(Reject::Malformed("call")))) {
            Ok(call) => call,
            Err(end) => return (end, None),
        };
        match self.gate.home.open(&self.endpoint, call, self.origin).await {
            // What is looked for ends before the client is told anything: it holds locks.
            Ok(mut open) => (self.carry(&mut open).await, Some(open.place)),
            Err(error) => (End::Told(StreamMessage::Refused(error)), None),
        }
    }

    /// The call that the client begins with.
    async fn call(&mut self) -> Result<Call, End> {
        loop {
            let heard = self.socket.recv().await;
            if let Some(message) = heard_in(heard)? {
                return intake::decode(&message, &self.endpoint).map_err(told);
            }
        }
    }

    /// Sends what the stream gives, one after the other, and hands in what the client says.
    async fn carry(&mut self, open: &mut OpenStream) -> End {
        let every = self.times().ping;
        let mut ping = interval_at(Instant::now() + every, every);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut is_there, mut idle_words) = (true, 0_u32);
        loop {
            tokio::select! {
                // In this order: who acknowledges without end does not keep the stream from telling so, and who took long
                // for a message is heard before being called silent.
                biased;
                message = open.messages.next() => {
                    if let Err(end) = self.pass_on(message).await {
                        return end;
                    }
                }
                heard = self.socket.recv() => {
                    is_there = true;
                    match taken(heard, &open.intake) {
                        Ok(Said::News) => {}
                        Ok(Said::Nothing) => idle_words = idle_words.saturating_add(1),
                        Err(end) => return end,
                    }
                    if idle_words > MAX_IDLE_WORDS {
                        return told(Reject::RateLimited(FULL_RETRY_S));
                    }
                }
                _ = ping.tick() => {
                    if !std::mem::take(&mut is_there) {
                        return End::Gone;
                    }
                    idle_words = 0;
                    if let Err(end) = self.ping(open).await {
                        return end;
                    }
                }
            }
        }
    }

    /// Sends what the stream gave, which may be its end.
    async fn pass_on(&mut self, message: Option<StreamMessage>) -> Result<(), End> {
        match message {
            None => Err(End::Gone),
            Some(last @ (StreamMessage::Refused(_) | StreamMessage::Reconnect(_))) => Err(End::Told(last)),
            Some(message) => self.say(&message).await,
        }
    }

    /// Asks whether the client is there. What is looked for meanwhile goes on, whatever the client takes its time for,
    /// since it holds locks.
    async fn ping(&mut self, open: &mut OpenStream) -> Result<(), End> {
        let mut found = None;
        {
            let mut sent = pin!(self.send(Message::Ping(Bytes::new())));
            loop {
                tokio::select! {
                    sent = &mut sent => break sent?,
                    message = open.messages.next(), if found.is_none() => found = Some(message),
                }
            }
        }
        match found {
            Some(message) => self.pass_on(message).await,
            None => Ok(()),
        }
    }

    /// Sends a message, and pays for its memory until it has gone.
    async fn say(&mut self, message: &StreamMessage) -> Result<(), End> {
        let bytes = message.encode();
        // Twice: the WebSocket writes it out of a buffer of its own.
        let needed = bytes.len().saturating_mul(2).saturating_add(FLOOR);
        if self.seat.charge.resize(needed).is_err() {
            return Err(End::Told(StreamMessage::Reconnect(FULL_RETRY_S.saturating_mul(1_000))));
        }
        let sent = self.send(Message::Binary(bytes)).await;
        // Giving back does not fail.
        let _ = self.seat.charge.resize(FLOOR);
        sent
    }

    async fn send(&mut self, message: Message) -> Result<(), End> {
        let length = match &message {
            Message::Binary(bytes) => bytes.len(),
            Message::Text(_) | Message::Ping(_) | Message::Pong(_) | Message::Close(_) => 0,
        };
        let StreamTimes { write, slowest, .. } = self.times();
        let seconds = u64::try_from(length.checked_div(slowest).unwrap_or_default()).unwrap_or(u64::MAX);
        let time = write.saturating_add(Duration::from_secs(seconds));
        match timeout(time, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(End::Gone),
        }
    }

    /// Says the last word and waits for a moment until the client has taken it: who closes at once may cut it off.
    async fn close(mut self, last: StreamMessage) {
        let code = match last {
            StreamMessage::Reconnect(_) => close_code::RESTART,
            StreamMessage::Refused(_) | StreamMessage::Entries(_) | StreamMessage::Ephemeral(_) => {
                close_code::POLICY
            }
        };
        if self.send(Message::Binary(last.encode())).await.is_err() {
            return;
        }
        let frame = CloseFrame { code, reason: "".into() };
        if self.send(Message::Close(Some(frame))).await.is_ok() {
            let taken = async { while let Some(Ok(_)) = self.socket.recv().await {} };
            let _late = timeout(GOODBYE, taken).await;
        }
    }

    fn times(&self) -> StreamTimes {
        self.gate.streams.times
    }
}

/// The binary message that was heard; none where it was something that says nothing.
fn heard_in(heard: Option<Result<Message, Error>>) -> Result<Option<Bytes>, End> {
    match heard {
        Some(Ok(Message::Binary(bytes))) => Ok(Some(bytes)),
        Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(None),
        Some(Ok(Message::Text(_))) => Err(told(Reject::Malformed("message"))),
        Some(Ok(Message::Close(_))) | None => Err(End::Gone),
        Some(Err(error)) => Err(match error.into_inner().downcast_ref() {
            Some(tungstenite::Error::Capacity(_)) => told(Reject::TooLarge("message")),
            Some(tungstenite::Error::Protocol(_) | tungstenite::Error::Utf8(_)) => {
                told(Reject::Malformed("message"))
            }
            _ => End::Gone,
        }),
    }
}

/// Hands in what was heard.
fn taken(heard: Option<Result<Message, Error>>, intake: &Intake) -> Result<Said, End> {
    heard_in(heard)?.map_or(Ok(Said::Nothing), |message| intake.take(&message).map_err(told))
}

fn told(reject: Reject) -> End {
    End::Told(StreamMessage::Refused(refused(reject)))
}

/// What a stream is charged at least: the buffers of its WebSocket and of TLS, its task, and the message of the moment for
/// which each has a place of its own.
const FLOOR: usize = 20 << 10;
/// Bytes that are read at once: clients say little.
const READ_BUFFER: usize = 4 << 10;
/// Longest message of a client: the call, whose frame is the largest part.
const MAX_MESSAGE: usize = 17 << 10;
/// Bytes that may wait to be written: one message, the largest entry with what is around it.
const WRITE_BUFFER: usize = 3 << 20;
/// Messages that say nothing new, pings among them, between two pings of ours.
const MAX_IDLE_WORDS: u32 = 100;
/// When to come back while there is no room, in seconds.
const FULL_RETRY_S: u32 = 10;
/// How long a client may take for the last word.
const GOODBYE: Duration = Duration::from_secs(2);
