//! Reading the queue at the QS through a stream, in place of asking again and again (06, "Wake-ups").

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::future::{Either, select};
use phoenix_core::{
    ErrorCode, Fqdn, QsClientId, Timestamp,
    api::{
        Endpoint,
        queue::DequeueReply,
        stream::{Stream, StreamAck, StreamMessage, StreamRequest},
    },
    port::{Outgoing, StreamTransport, Streaming},
    wire::Wire,
};

use super::{Client, whole_seconds};
use crate::{
    error::ClientError,
    event::Event,
    session::Session,
    sync::{Answer, Reading, Which},
};

/// A client's queue, read through a stream: entries come as they are put there, and messages of the moment, which no
/// queue keeps, come at all.
///
/// It opens the stream when it is first read, and again when it was cut off, after the pause that the homeserver asks
/// for; until then it reads as [`Client::sync`] does. Dropping it closes the stream; nothing is lost by that. One stream
/// per client: where another is opened, this one reads without, until [`QueueStream::reopen`].
///
/// ```no_run
/// use std::{sync::Arc, time::Duration};
///
/// use phoenix_client::{Client, ClientError};
/// use phoenix_core::port::StreamTransport;
///
/// async fn listen(client: &Client, transport: Arc<dyn StreamTransport>) -> Result<(), ClientError> {
///     let mut stream = client.stream(transport);
///     loop {
///         for event in stream.sync(Duration::from_secs(30)).await? {
///             println!("{event:?}");
///         }
///     }
/// }
/// ```
pub struct QueueStream {
    client: Client,
    transport: Arc<dyn StreamTransport>,
    open: Option<Box<dyn Streaming>>,
    /// Whose the open stream is, or the last one.
    queue: Option<QsClientId>,
    /// All entries below it came by the open stream or before it: of more, the stream knows nothing.
    received: u64,
    /// All entries below it were acknowledged on the open stream.
    acknowledged: u64,
    /// When another stream may be opened; never, where another client took it.
    not_before: Option<Timestamp>,
    pause_ms: u64,
}

/// What came first.
enum Came {
    /// From the stream; none where it has ended.
    Message(Option<Bytes>),
    /// From another queue.
    Answer(Option<Answer>),
    /// The time is over.
    Time,
}

impl Client {
    /// Reads the queue through a stream from now on, by [`QueueStream::sync`].
    #[must_use]
    pub fn stream(&self, transport: Arc<dyn StreamTransport>) -> QueueStream {
        QueueStream {
            client: self.clone(),
            transport,
            open: None,
            queue: None,
            received: 0,
            acknowledged: 0,
            not_before: Some(Timestamp(0)),
            pause_ms: PAUSE_MS,
        }
    }
}

impl QueueStream {
    /// As [`Client::sync`], through the stream: tells what happened, and waits for up to `wait` where nothing has.
    ///
    /// # Errors
    /// Those of [`Client::sync`].
    pub async fn sync(&mut self, wait: Duration) -> Result<Vec<Event>, ClientError> {
        let clock = self.client.lock().await.ports.clock.clone();
        let until = clock.now().plus_secs(whole_seconds(wait).into());
        self.open(clock.now()).await;
        // Without a stream, also where there is no queue yet that could have one; and where nothing is to be waited for.
        if self.open.is_none() || wait.is_zero() {
            return self.client.sync(wait).await;
        }
        let mut session = self.client.lock().await;
        session.state.outbox.drop_seen();
        let mut read = session.process_all().await;
        drop(session);
        loop {
            let mut session = self.client.lock().await;
            if session.state.outbox.has_news() || clock.now() >= until {
                return session.told(read);
            }
            drop(session);
            self.acknowledge().await;
            read = match self.first(until).await? {
                Came::Message(Some(message)) => self.take(&message).await,
                Came::Message(None) => {
                    self.cut_off(clock.now());
                    Ok(())
                }
                Came::Answer(answer) => self.client.deal_with(answer).await,
                Came::Time => Ok(()),
            };
            if read.is_err() {
                // Asking again at once would bring nothing either.
                clock.sleep_until(until.min(clock.now().plus_millis(REST_MS))).await;
            }
            if self.open.is_none() {
                let session = &mut *self.client.lock().await;
                return session.told(read);
            }
        }
    }

    /// Whether the stream is open.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Takes the stream back from whoever has it.
    pub const fn reopen(&mut self) {
        self.not_before = Some(Timestamp(0));
    }

    /// Opens the stream, where it may be opened now. Where it cannot, that is tried again later. A queue that we have moved
    /// has another at once; what the former one still gets is read without.
    async fn open(&mut self, now: Timestamp) {
        let present = self.client.lock().await.state.queue();
        if self.queue != present {
            (self.open, self.queue) = (None, present);
            (self.not_before, self.pause_ms) = (Some(Timestamp(0)), PAUSE_MS);
        }
        if self.open.is_some() || self.not_before.is_none_or(|at| now < at) {
            return;
        }
        let prepared = self.client.lock().await.stream_call();
        let Ok((domain, outgoing, request)) = prepared else { return };
        match self.transport.open(&domain, outgoing).await {
            Ok(stream) => {
                self.open = Some(stream);
                (self.received, self.acknowledged) = (request.from, request.ack_below);
            }
            Err(_) => self.cut_off(now),
        }
    }

    /// What comes first: on the stream, or from the queues that have none.
    async fn first(&mut self, until: Timestamp) -> Result<Came, ClientError> {
        let mut session = self.client.lock().await;
        let clock = session.ports.clock.clone();
        let seconds = until.millis_since(clock.now()).div_ceil(1_000);
        let mut readings = session.readings(u8::try_from(seconds).unwrap_or(u8::MAX))?;
        drop(session);
        readings.retain(|reading| self.queue.map(Which::Queue) != Some(reading.which()));
        let Some(stream) = &mut self.open else { return Ok(Came::Time) };
        let others = async {
            match Reading::first(readings).await {
                Some(answer) => Some(answer),
                None => std::future::pending().await,
            }
        };
        let others = select(Box::pin(others), clock.sleep_until(until));
        Ok(match select(stream.receive(), others).await {
            Either::Left((message, _)) => Came::Message(message),
            Either::Right((Either::Left((answer, _)), _)) => Came::Answer(answer),
            Either::Right((Either::Right(_), _)) => Came::Time,
        })
    }

    async fn take(&mut self, message: &[u8]) -> Result<(), ClientError> {
        let now = self.client.lock().await.now();
        let Ok(message) = StreamMessage::decode(message) else {
            self.cut_off(now);
            return Ok(());
        };
        match message {
            StreamMessage::Entries(found) => self.take_entries(&found, now).await,
            StreamMessage::Ephemeral(entry) => {
                self.pause_ms = PAUSE_MS;
                // What is not understood is worth no word: it is gone anyway.
                let _ = self.client.lock().await.take_ephemeral(&entry).await;
                Ok(())
            }
            StreamMessage::Refused(error) => {
                self.cut_off(now);
                if error.code == ErrorCode::Conflict {
                    self.not_before = None;
                }
                Ok(())
            }
            StreamMessage::Reconnect(delay_ms) => {
                self.open = None;
                self.not_before = Some(now.plus_millis(u64::from(delay_ms).min(LONGEST_PAUSE_MS)));
                Ok(())
            }
        }
    }

    async fn take_entries(&mut self, found: &DequeueReply, now: Timestamp) -> Result<(), ClientError> {
        let Some(queue) = self.queue else { return Ok(()) };
        let dealt = self.client.deal_with(Some(Answer::streamed(queue, found))).await;
        let after = found.entries.last().map_or(0, |last| last.seq.saturating_add(1));
        self.received = self.received.max(after);
        if self.client.lock().await.read_below(queue) < after {
            // Nothing behind an entry that does not open will: reading without the stream mends that.
            self.cut_off(now);
        } else {
            self.pause_ms = PAUSE_MS;
        }
        dealt
    }

    /// Acknowledges what was dealt with, or saved, as the habits have it.
    async fn acknowledge(&mut self) {
        let (Some(stream), Some(queue)) = (&mut self.open, self.queue) else { return };
        let below = self.client.lock().await.acknowledged_below(queue).min(self.received);
        if below <= self.acknowledged {
            return;
        }
        // Where it cannot be sent, the stream is over, which receiving tells.
        if stream.send(StreamAck { ack_below: below }.encode()).await.is_ok() {
            self.acknowledged = below;
        }
    }

    /// The stream is over; another is opened after a while, and a longer one each time.
    fn cut_off(&mut self, now: Timestamp) {
        self.open = None;
        self.not_before = Some(now.plus_millis(self.pause_ms));
        self.pause_ms = self.pause_ms.saturating_mul(2).min(LONGEST_PAUSE_MS);
    }
}

impl Session {
    /// The call that opens a stream, and what it asks for.
    fn stream_call(&mut self) -> Result<(Fqdn, Outgoing, StreamRequest), ClientError> {
        let (route, auth) = (self.queue_route()?, self.queue_identity()?);
        let request = self.record()?.inbox.request(self.habits.acknowledge, 0);
        let request = StreamRequest { from: request.from, ack_below: request.ack_below };
        let outgoing = self.prepare(&Stream::DESCRIPTION, &route, Some(&auth), None, request.encode())?;
        Ok((route.domain, outgoing, request))
    }

    /// Below it, all entries were read.
    fn read_below(&mut self, queue: QsClientId) -> u64 {
        self.state.record_of(&queue).map_or(0, |record| record.inbox.next_seq())
    }

    fn acknowledged_below(&mut self, queue: QsClientId) -> u64 {
        let acknowledge = self.habits.acknowledge;
        self.state.record_of(&queue).map_or(0, |record| record.inbox.request(acknowledge, 0).ack_below)
    }
}

/// How long reading rests where a homeserver does not answer.
const REST_MS: u64 = 500;
/// How long after a cut another stream is opened at first,
const PAUSE_MS: u64 = 1_000;
/// and at most: the queue is read meanwhile all the same.
const LONGEST_PAUSE_MS: u64 = 5 * 60 * 1_000;
