//! Queue streams: the driver of what goes through them (06, "Wake-ups").
//!
//! What is sent when is decided by a [`Flow`]; here is only the waiting. A stream ends by its client, by another stream
//! of the same client, by a refusal, or because the homeserver ends; nothing is lost by that, since what was not
//! acknowledged is in the queue.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};

use event_listener::{Event, EventListener};
use futures::{
    FutureExt, StreamExt,
    stream::{BoxStream, unfold},
};

use super::{Engine, Shared};
use crate::{
    ErrorReply, Failure, Origin, Refusal, Reject, Timestamp,
    api::{
        Endpoint,
        queue::{DequeueReply, Entry},
        stream::{StreamAck, StreamMessage},
    },
    operation::{Fare, Operation, ReplyOf, RequestOf, Service, StreamTopics, Streamed},
    port::Wakened,
    queue::{Flow, Page},
    wire::{Call, Wire},
};

/// A stream that was opened, for an adapter to carry: it sends the messages one after the other, the next one when the
/// one before has gone, and hands in what the client says.
pub struct OpenStream {
    /// What the server says. Ends after the last message; costs nothing while it is not asked. While a message is looked
    /// for, it holds locks of the queue: who begins to wait for the next one goes on, or drops this, before it waits for
    /// anything that the client decides.
    pub messages: BoxStream<'static, StreamMessage>,
    /// Takes what the client says.
    pub intake: Intake,
    /// Kept until the client has had the last word: a homeserver that ends waits for that.
    pub place: StreamPlace,
}

/// Has a stream counted as open, until it is dropped.
pub struct StreamPlace(Arc<Shared>);

impl StreamPlace {
    fn take(shared: &Arc<Shared>) -> Self {
        shared.streams.open.fetch_add(1, Ordering::AcqRel);
        Self(shared.clone())
    }
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        self.0.streams.open.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Takes what the client of a stream says.
#[derive(Clone)]
pub struct Intake(Arc<Heard>);

/// Whether a message of a client's said anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// It did.
    News,
    /// It was said before.
    Nothing,
}

/// What a client said last.
#[derive(Default)]
struct Heard {
    ack_below: AtomicU64,
    event: Event,
}

impl Intake {
    /// Takes a message, a [`StreamAck`]. Whether what it acknowledges was sent, the stream itself tells.
    ///
    /// # Errors
    /// [`Reject::Malformed`] where it is none: the stream is to be ended.
    pub fn take(&self, message: &[u8]) -> Result<Said, Reject> {
        let StreamAck { ack_below } = StreamAck::decode(message)?;
        if self.0.ack_below.fetch_max(ack_below, Ordering::AcqRel) >= ack_below {
            return Ok(Said::Nothing);
        }
        self.0.event.notify(usize::MAX);
        Ok(Said::News)
    }
}

/// The streams of one homeserver.
#[derive(Default)]
pub(crate) struct Streams {
    open: AtomicUsize,
    is_draining: AtomicBool,
    event: Event,
}

impl Shared {
    /// Asks the clients of all streams to reconnect elsewhere or later, and opens none from now on.
    pub fn end_streams(&self) {
        self.streams.is_draining.store(true, Ordering::Release);
        self.streams.event.notify(usize::MAX);
    }

    /// How many streams are open.
    #[must_use]
    pub fn open_streams(&self) -> usize {
        self.streams.open.load(Ordering::Acquire)
    }
}

impl<S: Service> Engine<S> {
    /// Opens a stream.
    ///
    /// # Errors
    /// The endpoint's refusals, or what broke; [`Reject::Unavailable`] while the homeserver ends.
    pub async fn stream<O: Streamed<Service = S>>(
        self: &Arc<Self>,
        call: Call,
        origin: Origin,
    ) -> Result<OpenStream, Failure> {
        if self.shared.streams.is_draining.load(Ordering::Acquire) {
            return Err(Reject::Unavailable(SPREAD_S).into());
        }
        let request = RequestOf::<O>::decode(&call.body);
        let opened = self.call::<O>(call, origin).await?;
        let flow = O::flow(&request?)?;
        let topics = O::topics(&opened, &self.ring().at_rest);
        let heard = Arc::<Heard>::default();
        let place = StreamPlace::take(&self.shared);
        let running = Running::<O>::new(self.clone(), opened, (flow, topics), heard.clone());
        let messages = unfold(running, |mut running| async move { Some((running.next().await?, running)) });
        Ok(OpenStream { messages: messages.boxed(), intake: Intake(heard), place })
    }
}

/// A stream under way.
struct Running<O: Streamed> {
    engine: Arc<Engine<O::Service>>,
    opened: ReplyOf<O>,
    flow: Flow,
    heard: Arc<Heard>,
    /// Subscribed before the first read, so that nothing is missed in between.
    queue: Box<dyn Wakened>,
    stream: Box<dyn Wakened>,
    place: Box<dyn Wakened>,
    read_again: Timestamp,
    /// Whether to find out that the stream is still its client's, also where there is nothing to read.
    is_in_doubt: bool,
    has_ended: bool,
}

/// What a stream waits for while there is nothing to send.
enum Woken {
    /// The queue may hold more.
    Queue,
    /// The stream may be its client's no more, or a minute is over.
    Doubt,
    /// Something was told, the client acknowledged something, or the homeserver ends: see what it is.
    Look,
}

impl<O: Streamed> Running<O> {
    fn new(
        engine: Arc<Engine<O::Service>>,
        opened: ReplyOf<O>,
        (flow, topics): (Flow, StreamTopics),
        heard: Arc<Heard>,
    ) -> Self {
        let ports = &engine.shared.ports;
        let StreamTopics { queue, stream, place } = &topics;
        let [queue, stream, place] = [queue, stream, place].map(|topic| ports.wake.subscribe(topic));
        let read_again = ports.clock.now().plus_secs(READ_AGAIN_S);
        let (is_in_doubt, has_ended) = (false, false);
        Self { engine, opened, flow, heard, queue, stream, place, read_again, is_in_doubt, has_ended }
    }

    /// What the server says next.
    async fn next(&mut self) -> Option<StreamMessage> {
        while !self.has_ended {
            // Before looking: what changes after it is noticed.
            let heard = self.heard.event.listen();
            let draining = self.engine.shared.streams.event.listen();
            if self.engine.shared.streams.is_draining.load(Ordering::Acquire) {
                return Some(self.reconnect());
            }
            self.look();
            match self.flow.clone().acknowledge(self.heard.ack_below.load(Ordering::Acquire)) {
                Ok(flow) => self.flow = flow,
                Err(reject) => return Some(self.refuse(reject.into())),
            }
            let check = std::mem::take(&mut self.is_in_doubt).then(|| self.flow.check());
            let Some(page) = check.or_else(|| self.flow.page()) else {
                if let Some(entry) = self.told() {
                    return Some(StreamMessage::Ephemeral(entry));
                }
                self.wait(heard, draining).await;
                continue;
            };
            let request = O::read(&self.opened, &page);
            match self.engine.internal::<O::Read>(request, Fare::Free).await {
                Ok(found) => {
                    if let Some(message) = self.found(&page, found) {
                        return Some(message);
                    }
                }
                Err(failure) => return Some(self.failed(failure)),
            }
        }
        None
    }

    fn found(&mut self, page: &Page, found: DequeueReply) -> Option<StreamMessage> {
        let (flow, news) = self.flow.clone().read(page, found);
        self.flow = flow;
        news.map(StreamMessage::Entries)
    }

    /// Takes wake-ups that are there already: who is told something without end is not to miss them.
    fn look(&mut self) {
        if self.place.wakened().now_or_never().is_some() {
            self.doubt();
        }
        if self.queue.wakened().now_or_never().is_some() {
            self.read_again();
        }
    }

    async fn wait(&mut self, heard: EventListener, draining: EventListener) {
        let clock = self.engine.shared.ports.clock.clone();
        let woken = futures::select_biased! {
            () = heard.fuse() => Woken::Look,
            () = draining.fuse() => Woken::Look,
            () = self.place.wakened().fuse() => Woken::Doubt,
            () = self.queue.wakened().fuse() => Woken::Queue,
            () = self.stream.wakened().fuse() => Woken::Look,
            () = clock.sleep_until(self.read_again).fuse() => Woken::Doubt,
        };
        match woken {
            Woken::Look => {}
            Woken::Queue => self.read_again(),
            Woken::Doubt => self.doubt(),
        }
    }

    fn doubt(&mut self) {
        self.read_again();
        self.is_in_doubt = true;
    }

    /// What was told next; what is no entry, nobody can have meant.
    fn told(&mut self) -> Option<Entry> {
        std::iter::from_fn(|| self.stream.told()).find_map(|entry| Entry::decode(&entry).ok())
    }

    /// Wake-ups are hints, so the queue is read from time to time without one.
    fn read_again(&mut self) {
        self.flow = self.flow.clone().woken();
        self.read_again = self.engine.shared.ports.clock.now().plus_secs(READ_AGAIN_S);
    }

    fn failed(&mut self, failure: Failure) -> StreamMessage {
        match failure {
            Failure::Refused(Refusal { reject: Reject::Unavailable(_) | Reject::RateLimited(_), .. }) => {
                self.reconnect()
            }
            Failure::Refused(refusal) => self.refuse(refusal),
            Failure::Broken(fault) => {
                let name = <<O::Read as Operation>::Endpoint as Endpoint>::DESCRIPTION.name;
                tracing::error!(endpoint = name, %fault, "a stream ends, since its queue cannot be read");
                self.reconnect()
            }
        }
    }

    fn refuse(&mut self, refusal: Refusal) -> StreamMessage {
        self.has_ended = true;
        StreamMessage::Refused(ErrorReply::from(refusal))
    }

    /// Clients that all come at once would be too many for whoever takes over.
    fn reconnect(&mut self) -> StreamMessage {
        self.has_ended = true;
        let mut drawn = [0; 4];
        self.engine.shared.ports.entropy.fill(&mut drawn);
        let spread = SPREAD_S.saturating_mul(1_000);
        StreamMessage::Reconnect(u32::from_be_bytes(drawn).checked_rem(spread).unwrap_or_default())
    }
}

/// How often the queue is read though nobody woke the stream, in seconds (06).
const READ_AGAIN_S: u64 = 60;
/// Over how many seconds clients are spread that are asked to reconnect.
const SPREAD_S: u32 = 30;
