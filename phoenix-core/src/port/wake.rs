//! The port to wake-ups.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use event_listener::{Event, EventListener};
use foldhash::fast::RandomState;

/// What somebody waits for: a queue, say. Opaque, and meaningless outside this homeserver.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Topic(pub Bytes);

/// Wakes those who wait for a topic, and hands them what is kept nowhere.
///
/// A wake-up is a hint: it may be lost or come twice, and whoever is woken reads again. But one that comes
/// after `subscribe` returned and before the first wait is kept. What is told may get lost, too.
#[async_trait]
pub trait Wake: Send + Sync + 'static {
    /// Subscribes at once.
    fn subscribe(&self, topic: &Topic) -> Box<dyn Wakened>;
    /// Wakes all who subscribed to one of these topics.
    async fn wake(&self, topics: &[Topic]);
    /// Hands a message to all who subscribed to the topic, and wakes them.
    async fn tell(&self, topic: &Topic, message: &Bytes);
    /// Whether somebody has subscribed to the topic, as far as that is known here: what another process holds may not
    /// be.
    fn is_heard(&self, topic: &Topic) -> bool;
}

/// A subscription.
#[async_trait]
pub trait Wakened: Send + Sync {
    /// Waits for the next wake-up since the subscription or the last call.
    async fn wakened(&mut self);
    /// What was told first of all that was not fetched; of what was told, the latest may be missing where it was much.
    fn told(&mut self) -> Option<Bytes>;
}

/// Wake-ups inside one process.
#[derive(Clone, Default)]
pub struct LocalWake {
    topics: Arc<Mutex<HashMap<Topic, Weak<Channel>, RandomState>>>,
    /// Bytes that were told to somebody and not fetched.
    unfetched: Arc<AtomicUsize>,
}

/// Those who subscribed to one topic.
#[derive(Default)]
struct Channel {
    event: Event,
    ears: Mutex<Vec<Weak<Ear>>>,
}

/// What one of them was told and has not fetched.
struct Ear {
    waiting: Mutex<VecDeque<Bytes>>,
    /// That of all together.
    unfetched: Arc<AtomicUsize>,
}

impl LocalWake {
    fn channel(&self, topic: &Topic) -> Arc<Channel> {
        let mut topics = locked(&self.topics);
        if let Some(channel) = topics.get(topic).and_then(Weak::upgrade) {
            return channel;
        }
        if topics.len() >= SWEEP_AT && topics.len().is_power_of_two() {
            topics.retain(|_, channel| channel.strong_count() > 0);
        }
        let channel = Arc::new(Channel::default());
        topics.insert(topic.clone(), Arc::downgrade(&channel));
        channel
    }

    fn known(&self, topic: &Topic) -> Option<Arc<Channel>> {
        locked(&self.topics).get(topic).and_then(Weak::upgrade)
    }
}

#[async_trait]
impl Wake for LocalWake {
    fn subscribe(&self, topic: &Topic) -> Box<dyn Wakened> {
        let ear = Ear { waiting: Mutex::default(), unfetched: Arc::clone(&self.unfetched) };
        let (channel, ear) = (self.channel(topic), Arc::new(ear));
        let listener = channel.event.listen();
        let mut ears = locked(&channel.ears);
        ears.retain(|ear| ear.strong_count() > 0);
        ears.push(Arc::downgrade(&ear));
        drop(ears);
        Box::new(LocalWakened { channel, ear, listener })
    }

    async fn wake(&self, topics: &[Topic]) {
        for channel in topics.iter().filter_map(|topic| self.known(topic)) {
            channel.event.notify(usize::MAX);
        }
    }

    async fn tell(&self, topic: &Topic, message: &Bytes) {
        let Some(channel) = self.known(topic) else { return };
        for ear in locked(&channel.ears).iter().filter_map(Weak::upgrade) {
            ear.hear(message);
        }
        channel.event.notify(usize::MAX);
    }

    fn is_heard(&self, topic: &Topic) -> bool {
        self.known(topic).is_some()
    }
}

struct LocalWakened {
    channel: Arc<Channel>,
    ear: Arc<Ear>,
    listener: EventListener,
}

#[async_trait]
impl Wakened for LocalWakened {
    async fn wakened(&mut self) {
        (&mut self.listener).await;
        self.listener = self.channel.event.listen();
    }

    fn told(&mut self) -> Option<Bytes> {
        self.ear.fetch()
    }
}

impl Ear {
    /// Keeps a message, unless too much waits already.
    fn hear(&self, message: &Bytes) {
        let mut waiting = locked(&self.waiting);
        let here = waiting.iter().fold(message.len(), |sum, it| sum.saturating_add(it.len()));
        if waiting.len() >= MAX_TOLD || here > MAX_TOLD_BYTES {
            return;
        }
        let all = self.unfetched.fetch_add(message.len(), Ordering::AcqRel).saturating_add(message.len());
        // Whoever fetches at once is told in any case: those who do not cannot use up its place.
        let has_place = waiting.is_empty() && message.len() <= OWN_BYTES;
        if all <= MAX_UNFETCHED || has_place {
            waiting.push_back(message.clone());
        } else {
            self.unfetched.fetch_sub(message.len(), Ordering::AcqRel);
        }
    }

    fn fetch(&self) -> Option<Bytes> {
        let message = locked(&self.waiting).pop_front()?;
        self.unfetched.fetch_sub(message.len(), Ordering::AcqRel);
        Some(message)
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        while self.fetch().is_some() {}
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Entries beyond which topics that nobody waits for any more are looked for, at each doubling.
const SWEEP_AT: usize = 1_024;
/// Messages that wait for one who listens: those of a busy second, since what comes late is of no use.
const MAX_TOLD: usize = 64;
/// Bytes of them: a few hundred a message are common.
const MAX_TOLD_BYTES: usize = 64 << 10;
/// Bytes that wait for all together who listen: for 256 who do not fetch anything at all, or many more who are slow,
const MAX_UNFETCHED: usize = 16 << 20;
/// but for one message of this length, for which each has a place of its own.
const OWN_BYTES: usize = 4 << 10;

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use bytes::Bytes;
    use futures::{FutureExt, executor::block_on};

    use super::{LocalWake, MAX_TOLD, MAX_TOLD_BYTES, MAX_UNFETCHED, OWN_BYTES, Topic, Wake, Wakened};

    #[test]
    fn all_who_listen_are_told_and_woken_and_nobody_else_is() {
        let wake = LocalWake::default();
        let mut listeners = [subscribed(&wake, "a"), subscribed(&wake, "a")];
        let mut other = subscribed(&wake, "b");

        tell(&wake, "typing");

        for listener in &mut listeners {
            assert!(listener.wakened().now_or_never().is_some());
            assert_eq!(all_told(listener.as_mut()), ["typing"]);
        }
        assert!(other.wakened().now_or_never().is_none());
        assert_eq!(other.told(), None);
    }

    #[test]
    fn what_is_told_to_nobody_is_lost() {
        let wake = LocalWake::default();
        tell(&wake, "typing");
        let mut late = subscribed(&wake, "a");

        assert!(late.wakened().now_or_never().is_none());
        assert_eq!(late.told(), None);
    }

    #[test]
    fn a_topic_is_heard_as_long_as_somebody_listens() {
        let wake = LocalWake::default();
        assert!(!wake.is_heard(&topic("a")));

        let listener = subscribed(&wake, "a");
        assert!(wake.is_heard(&topic("a")));
        assert!(!wake.is_heard(&topic("b")));

        drop(listener);
        assert!(!wake.is_heard(&topic("a")));
    }

    #[test]
    fn who_does_not_fetch_is_told_boundedly_much() {
        // given two who do not fetch
        let wake = LocalWake::default();
        let mut slow = subscribed(&wake, "a");
        for _ in 0..=MAX_TOLD {
            tell(&wake, "typing");
        }
        assert_eq!(all_told(slow.as_mut()).len(), MAX_TOLD);

        // when messages are large
        let large = "x".repeat(MAX_TOLD_BYTES / 2);
        for _ in 0..3 {
            tell(&wake, &large);
        }

        // then fewer wait; and after fetching there is room again
        assert_eq!(all_told(slow.as_mut()).len(), 2);
        tell(&wake, "typing");
        assert_eq!(all_told(slow.as_mut()), ["typing"]);
    }

    #[test]
    fn t20_many_who_do_not_fetch_are_told_boundedly_much_and_who_does_loses_nothing() {
        // given a thousand who do not fetch, and one who does
        let wake = LocalWake::default();
        let mut slow: Vec<_> = (0..1_000).map(|_| subscribed(&wake, "a")).collect();
        let mut quick = subscribed(&wake, "b");
        let large = "x".repeat(MAX_TOLD_BYTES / 2);
        for _ in 0..MAX_TOLD {
            tell(&wake, &large);
        }
        assert_eq!(wake.unfetched.load(Ordering::Acquire), MAX_UNFETCHED);

        // when messages go to all, then who fetches has each of them, and for the others one of them waits at most
        for text in ["one", "two", "three"] {
            tell(&wake, text);
            tell_to(&wake, "b", text);
            assert_eq!(all_told(quick.as_mut()), [text]);
        }
        assert!(wake.unfetched.load(Ordering::Acquire) <= MAX_UNFETCHED + slow.len() * OWN_BYTES);

        // and there is room again once they fetch or go
        let fetched: usize = slow.iter_mut().take(10).map(|it| all_told(it.as_mut()).len()).sum();
        assert!(fetched > 0);
        drop(slow);
        assert_eq!(wake.unfetched.load(Ordering::Acquire), 0);
    }

    fn subscribed(wake: &LocalWake, name: &'static str) -> Box<dyn Wakened> {
        wake.subscribe(&topic(name))
    }

    fn tell(wake: &LocalWake, message: &str) {
        tell_to(wake, "a", message);
    }

    fn tell_to(wake: &LocalWake, name: &'static str, message: &str) {
        block_on(wake.tell(&topic(name), &Bytes::from(message.to_owned())));
    }

    fn all_told(listener: &mut dyn Wakened) -> Vec<Bytes> {
        std::iter::from_fn(|| listener.told()).collect()
    }

    fn topic(name: &'static str) -> Topic {
        Topic(Bytes::from(name))
    }
}
