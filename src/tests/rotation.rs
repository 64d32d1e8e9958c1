//! Keys that an operator rotates while others talk to the homeserver.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::executor::block_on;
use phoenix_core::{
    ErrorReply, Fqdn, Origin,
    api::ServiceName,
    port::{Inline, Outgoing, Transport, TransportError},
    store::MemoryStore,
};

use super::{TestClock, home};
use crate::{AdminError, Homeserver, RotatedService};

#[test]
fn who_has_the_old_keys_and_who_has_the_new_ones_both_verify_while_keys_rotate() {
    // given alpha, whose first keys have spread, and beta, which has them
    let (net, clock) = (Net::default(), TestClock::default());
    let [alpha, beta, gamma] =
        ["alpha.test", "beta.test", "gamma.test"].map(|domain| net.home(domain, &clock));
    clock.advance_s(300);
    let greets = |to: &Homeserver| block_on(alpha.admin().greet(to.domain()));
    assert!(greets(&beta));
    let before = verifying(&alpha, &clock);

    // when alpha's keys rotate, then old ones are published beside new ones
    block_on(alpha.admin().rotate_keys(RotatedService::Queue)).unwrap();
    let after = verifying(&alpha, &clock);
    assert_eq!((before.len(), after.len()), (1, 2));
    assert!(after.contains(&before[0]));

    // and what the old one signs is taken by who has old keys, and by who has new ones
    net.fetched.store(0, Ordering::Relaxed);
    assert!(greets(&beta));
    assert_eq!(net.fetched.load(Ordering::Relaxed), 0, "beta verifies with what it had");
    assert!(greets(&gamma));

    // and what the new one signs, after one look by who has old keys, and none by who has new ones
    clock.advance_s(180);
    net.fetched.store(0, Ordering::Relaxed);
    assert!(greets(&gamma));
    assert_eq!(net.fetched.load(Ordering::Relaxed), 0, "gamma verifies with what it had");
    assert!(greets(&beta));
    assert_eq!(net.fetched.load(Ordering::Relaxed), 1);
    assert!(greets(&beta));
    assert_eq!(net.fetched.load(Ordering::Relaxed), 1);
}

#[test]
fn a_rotation_is_one_for_all_replicas_and_there_is_an_end_to_it() {
    let (store, clock) = (MemoryStore::new(), TestClock::default());
    let (one, two) = (home(&store, &clock, None).unwrap(), home(&store, &clock, None).unwrap());

    for service in [RotatedService::Queue, RotatedService::Delivery] {
        block_on(one.admin().rotate_keys(service)).unwrap();
    }
    block_on(two.refresh_keys()).unwrap();

    for service in [ServiceName::Qs, ServiceName::Ds] {
        assert_eq!(block_on(one.published(service)), block_on(two.published(service)));
    }
    let rotate = || block_on(two.admin().rotate_keys(RotatedService::Delivery));
    let refused = (0..16).find_map(|_| rotate().err());
    assert_eq!(refused, Some(AdminError::TooManyKeys));
    assert_eq!(verifying(&two, &clock).len(), 2, "the other service is as it was");
}

fn verifying(home: &Homeserver, clock: &TestClock) -> Vec<phoenix_core::KeyId> {
    let public = home.inner.queue.ring().service.public(phoenix_core::port::Clock::now(clock));
    public.verifying.iter().map(|key| key.id).collect()
}

/// Homeservers that reach each other, and how often they fetched keys of a QS.
#[derive(Clone, Default)]
struct Net {
    homes: Arc<Mutex<BTreeMap<Fqdn, Homeserver>>>,
    fetched: Arc<AtomicUsize>,
}

impl Net {
    fn home(&self, domain: &str, clock: &TestClock) -> Homeserver {
        let builder = Homeserver::builder(domain.parse().unwrap()).store(MemoryStore::new());
        let builder = builder.clock(clock.clone()).transport(self.clone()).compute(Inline);
        let home = block_on(builder.build()).unwrap();
        self.homes.lock().unwrap().insert(home.domain().clone(), home.clone());
        home
    }

    fn at(&self, domain: &Fqdn) -> Result<Homeserver, TransportError> {
        self.homes.lock().unwrap().get(domain).cloned().ok_or(TransportError::Unreachable)
    }
}

#[async_trait]
impl Transport for Net {
    async fn send(&self, to: &Fqdn, outgoing: Outgoing) -> Result<Result<Bytes, ErrorReply>, TransportError> {
        let Outgoing { service, name, call, circuit: _ } = outgoing;
        Ok(self.at(to)?.call(service, name, call, Origin::default()).await)
    }

    async fn fetch(&self, from: &Fqdn, service: ServiceName) -> Result<Bytes, TransportError> {
        if service == ServiceName::Qs && from.as_str() == "alpha.test" {
            self.fetched.fetch_add(1, Ordering::Relaxed);
        }
        self.at(from)?.document(service).await.map_err(|_| TransportError::Unreachable)
    }
}
