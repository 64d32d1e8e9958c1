//! The port to wake-ups.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use async_trait::async_trait;
use bytes::Bytes;
use event_listener::{Event, EventListener};

/// What somebody waits for: a queue, say. Opaque, and meaningless outside this homeserver.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Topic(pub Bytes);

/// Wakes those who wait for a topic.
///
/// A wake-up is a hint: it may be lost or come twice, and whoever is woken reads again. But one that comes
/// after `subscribe` returned and before the first wait is kept.
#[async_trait]
pub trait Wake: Send + Sync + 'static {
    /// Subscribes at once.
    fn subscribe(&self, topic: &Topic) -> Box<dyn Wakened>;
    /// Wakes all who subscribed to one of these topics.
    async fn wake(&self, topics: &[Topic]);
}

/// A subscription.
#[async_trait]
pub trait Wakened: Send + Sync {
    /// Waits for the next wake-up since the subscription or the last call.
    async fn wakened(&mut self);
}

/// Wake-ups inside one process.
#[derive(Clone, Default)]
pub struct LocalWake {
    topics: Arc<Mutex<HashMap<Topic, Weak<Event>>>>,
}

impl LocalWake {
    fn event(&self, topic: &Topic) -> Arc<Event> {
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(event) = topics.get(topic).and_then(Weak::upgrade) {
            return event;
        }
        if topics.len() >= SWEEP_AT && topics.len().is_power_of_two() {
            topics.retain(|_, event| event.strong_count() > 0);
        }
        let event = Arc::new(Event::new());
        topics.insert(topic.clone(), Arc::downgrade(&event));
        event
    }
}

#[async_trait]
impl Wake for LocalWake {
    fn subscribe(&self, topic: &Topic) -> Box<dyn Wakened> {
        let event = self.event(topic);
        let listener = event.listen();
        Box::new(LocalWakened { event, listener })
    }

    async fn wake(&self, topics: &[Topic]) {
        let known = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        for event in topics.iter().filter_map(|topic| known.get(topic)).filter_map(Weak::upgrade) {
            event.notify(usize::MAX);
        }
    }
}

struct LocalWakened {
    event: Arc<Event>,
    listener: EventListener,
}

#[async_trait]
impl Wakened for LocalWakened {
    async fn wakened(&mut self) {
        (&mut self.listener).await;
        self.listener = self.event.listen();
    }
}

/// Entries beyond which topics that nobody waits for any more are looked for, at each doubling.
const SWEEP_AT: usize = 1_024;
