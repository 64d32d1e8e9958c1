//! Keys that another replica changed.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
};

use async_trait::async_trait;
use futures::{FutureExt, executor::block_on};
use phoenix_core::{
    Generation, Timestamp, federation,
    port::{Clock, Inline},
    store::MemoryStore,
};
use phoenix_qs::keys_topic;

use super::Nowhere;
use crate::{Era, Homeserver};

#[test]
fn keys_are_read_again_when_an_unknown_one_was_named_but_at_most_once_a_second() {
    // given a replica that keeps its keys
    let (store, clock) = (MemoryStore::new(), Standing::default());
    let [one, two] = [replica(&store, &clock), replica(&store, &clock)];
    let mut keeping = pin!(two.keep_keys());
    assert!(keeping.as_mut().now_or_never().is_none());
    let mut generations = Vec::new();
    let mut name_unknown = |is_late: bool| {
        if is_late {
            clock.0.fetch_add(1, Ordering::Relaxed);
        }
        block_on(one.admin().restored(Era { generation: 0, age: 0 })).unwrap();
        let ring = two.inner.queue.ring();
        block_on(two.inner.shared.ports().wake.wake(&[keys_topic(&ring.at_rest)]));
        assert!(keeping.as_mut().now_or_never().is_none());
        generations.push(two.inner.queue.ring().generation);
    };

    // when another changes them, and an unknown key is named: at once, in the same second, and in the next
    [false, false, true].into_iter().for_each(&mut name_unknown);

    // then it has read them at once, not again, and then again
    assert_eq!(generations, [1, 1, 3].map(Generation));
}

#[test]
fn a_replica_looks_for_another_federation_policy_when_it_looks_for_keys() {
    let (store, clock) = (MemoryStore::new(), Standing::default());
    let [one, two] = [replica(&store, &clock), replica(&store, &clock)];
    let mut keeping = pin!(two.keep_keys());
    assert!(keeping.as_mut().now_or_never().is_none());
    let (pattern, standing) = ("beta.test".parse().unwrap(), federation::Standing::Paused);

    block_on(one.admin().set_rule(pattern, standing)).unwrap();
    let ring = two.inner.queue.ring();
    block_on(two.inner.shared.ports().wake.wake(&[keys_topic(&ring.at_rest)]));
    assert!(keeping.as_mut().now_or_never().is_none());

    assert_eq!(two.admin().federation_policy(), one.admin().federation_policy());
    assert_eq!(two.admin().federation_policy().rules().count(), 1);
}

fn replica(store: &MemoryStore, clock: &Standing) -> Homeserver {
    let builder = Homeserver::builder("alpha.test".parse().unwrap()).store(store.clone());
    block_on(builder.clock(clock.clone()).transport(Nowhere).compute(Inline).build()).unwrap()
}

/// A clock that waits for nobody: who sleeps is to be polled again when a test has let time pass.
#[derive(Clone, Default)]
struct Standing(Arc<AtomicU64>);

#[async_trait]
impl Clock for Standing {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(1_790_000_000 + self.0.load(Ordering::Relaxed))
    }

    async fn sleep_until(&self, at: Timestamp) {
        let has_come = || if self.now() < at { Poll::Pending } else { Poll::Ready(()) };
        std::future::poll_fn(|_| has_come()).await;
    }
}
