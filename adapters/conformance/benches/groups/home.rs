//! A homeserver of which all that it does has a cause, so that it can be waited for. The test of what a message asks of
//! the store has it too.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{executor::block_on, future::poll_fn, task::AtomicWaker};
use phoenix_conformance::network::Network;
use phoenix_core::{
    Fqdn, Timestamp,
    limit::Limits,
    port::{Clock, Compute, LocalWake, Store, Topic, Wake, Wakened},
};
use phoenix_homeserver::{Homeserver, SystemClock, auth::Settings as AuthSettings};

/// A homeserver on a network, without limits.
pub(crate) fn opened(
    network: &Network,
    arrivals: &Arrivals,
    store: impl Store,
    compute: impl Compute,
) -> Homeserver {
    let mut auth = AuthSettings { ceiling: u64::MAX / 1_000, ..AuthSettings::default() };
    (auth.allowances.standard, auth.allowances.home) = (u32::MAX, u32::MAX);
    let builder = Homeserver::builder(domain()).store(store).transport(network.transport());
    let builder = builder.compute(compute).clock(Patient).wake(arrivals.clone());
    let home = block_on(builder.limits(Limits::unlimited()).auth_settings(auth).build()).unwrap();
    network.join(home.clone());
    home
}

pub(crate) fn domain() -> Fqdn {
    "alpha.test".parse().unwrap()
}

/// Counts the entries that came into queues by the wake-ups that they cause.
#[derive(Clone, Default)]
pub(crate) struct Arrivals(Arc<Heard>);

#[derive(Default)]
struct Heard {
    count: AtomicU64,
    waiting: AtomicWaker,
    wake: LocalWake,
}

impl Arrivals {
    /// How many have come.
    pub(crate) fn count(&self) -> u64 {
        self.0.count.load(Ordering::Relaxed)
    }

    /// Waits until so many have come.
    pub(crate) async fn reach(&self, count: u64) {
        let reached = |cx: &mut std::task::Context<'_>| {
            self.0.waiting.register(cx.waker());
            if self.count() < count { Poll::Pending } else { Poll::Ready(()) }
        };
        poll_fn(reached).await;
    }
}

#[async_trait]
impl Wake for Arrivals {
    fn subscribe(&self, topic: &Topic) -> Box<dyn Wakened> {
        self.0.wake.subscribe(topic)
    }

    async fn wake(&self, topics: &[Topic]) {
        self.0.count.fetch_add(topics.len() as u64, Ordering::Relaxed);
        self.0.waiting.wake();
        self.0.wake.wake(topics).await;
    }

    async fn tell(&self, topic: &Topic, message: &Bytes) {
        self.0.wake.tell(topic, message).await;
    }

    fn is_heard(&self, topic: &Topic) -> bool {
        self.0.wake.is_heard(topic)
    }
}

/// The time, which nobody waits for.
struct Patient;

#[async_trait]
impl Clock for Patient {
    fn now(&self) -> Timestamp {
        SystemClock.now()
    }

    async fn sleep_until(&self, _: Timestamp) {
        std::future::pending().await
    }
}
