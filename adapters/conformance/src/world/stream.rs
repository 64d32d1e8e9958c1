//! Streams over the network of the world: they run in the process of the homeserver, and end with it.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{
    StreamExt,
    channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded},
    future::{Either, select},
};
use phoenix_core::{
    Fqdn, Origin, Refusal,
    api::stream::StreamMessage,
    engine::OpenStream,
    port::{Outgoing, StreamTransport, Streaming, TransportError},
    wire::Wire,
};
use phoenix_homeserver::Homeserver;

use super::{ground::Ground, link::Link, weather::Fault};

/// A client's end of a stream.
struct Line {
    messages: UnboundedReceiver<Bytes>,
    acknowledgements: UnboundedSender<Bytes>,
}

/// A homeserver's end of a stream.
struct Sender {
    ground: Arc<Ground>,
    link: Link,
    to: Fqdn,
    messages: UnboundedSender<Bytes>,
}

#[async_trait]
impl StreamTransport for Link {
    async fn open(&self, to: &Fqdn, outgoing: Outgoing) -> Result<Box<dyn Streaming>, TransportError> {
        let ground = self.ground().ok_or(TransportError::Unreachable)?;
        ground.clock.sleep_ms(ground.delay_ms()).await;
        let lost = ground.weather.strikes(Fault::RequestLost, LOST) || self.is_cut(&ground, to);
        let (home, process) = ground.home(to).filter(|_| !lost).ok_or(TransportError::Unreachable)?;
        let (messages, received) = unbounded();
        let (acknowledgements, taken) = unbounded();
        let spawner = ground.spawner.clone();
        let sender = Sender { ground, link: self.clone(), to: to.clone(), messages };
        spawner.spawn(process, sender.run(home, outgoing, taken));
        Ok(Box::new(Line { messages: received, acknowledgements }))
    }
}

#[async_trait]
impl Streaming for Line {
    async fn receive(&mut self) -> Option<Bytes> {
        self.messages.next().await
    }

    async fn send(&mut self, message: Bytes) -> Result<(), TransportError> {
        self.acknowledgements.unbounded_send(message).map_err(|_| TransportError::Unreachable)
    }
}

impl Sender {
    /// Runs in the process of the homeserver.
    async fn run(self, home: Homeserver, outgoing: Outgoing, acknowledgements: UnboundedReceiver<Bytes>) {
        let Outgoing { service, name, call, .. } = outgoing;
        let opened = home.open(service, name, call, Origin::default()).await;
        drop(home);
        match opened {
            Ok(open) => {
                self.ground.ledger.served_a_stream(service, name);
                self.ground.log.line(format!("{} {} {name}: open", self.link.source(), self.to));
                self.carry(open, acknowledgements).await;
            }
            Err(error) => {
                self.ground.log.line(format!("{} {} {name}: {:?}", self.link.source(), self.to, error.code));
                let _ = self.pass(StreamMessage::Refused(error)).await;
            }
        }
    }

    async fn carry(&self, mut open: OpenStream, mut acknowledgements: UnboundedReceiver<Bytes>) {
        loop {
            let message = match select(open.messages.next(), acknowledgements.next()).await {
                Either::Left((Some(message), _)) => message,
                Either::Right((Some(taken), _)) => match open.intake.take(&taken) {
                    Ok(_) => {
                        self.ground.ledger.acknowledged(self.link.source(), &taken);
                        continue;
                    }
                    Err(reject) => StreamMessage::Refused(Refusal::from(reject).into()),
                },
                Either::Left((None, _)) | Either::Right((None, _)) => return,
            };
            let is_last = !matches!(message, StreamMessage::Entries(_) | StreamMessage::Ephemeral(_));
            if !self.pass(message).await || is_last {
                return;
            }
        }
    }

    /// Carries a message to the client. False where the stream breaks.
    async fn pass(&self, message: StreamMessage) -> bool {
        self.ground.clock.sleep_ms(self.ground.delay_ms()).await;
        let lost =
            self.ground.weather.strikes(Fault::AnswerLost, LOST) || self.link.is_cut(&self.ground, &self.to);
        !lost && self.messages.unbounded_send(message.encode()).is_ok()
    }
}

/// In a thousand.
const LOST: u16 = 40;
