//! A homeserver's beginnings, and its keys over time.

mod authority;
mod federating;
mod mailbox;
mod notices;
mod restored;
mod rotation;
mod secrets;
mod silent;
mod spread;
mod survey;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::executor::block_on;
use phoenix_core::{
    ErrorCode, ErrorReply, Fqdn, KeyId, Origin, Timestamp,
    api::{
        Empty, Endpoint, ServiceName,
        auth::{ChallengeReply, RegistrationChallenge},
        queue::{FanOutMessage, NotifyClass, Recipient, SealedQueueConfig},
        tokens::TokenKeys,
    },
    crypto::HpkeCiphertext,
    engine::{Courier, LaneRow},
    operation::Fare,
    port::{Clock, Inline, Outgoing, Space, Transport, TransportError},
    store::MemoryStore,
    time::DAY,
    token::{Class, SignedKeyList},
    wire::{Call, Flag, List, Opaque, VERSION, Wire},
};

use crate::{BuildError, Homeserver, OperatorKey, courier::Carrier};

#[test]
fn a_homeserver_is_the_same_after_a_restart() {
    let (store, clock) = (MemoryStore::new(), TestClock::default());
    let before = home(&store, &clock, Some([1; 32])).unwrap();

    let after = home(&store, &clock, Some([1; 32])).unwrap();

    for service in ServiceName::ALL {
        assert_eq!(block_on(before.document(service)), block_on(after.document(service)));
    }
}

#[test]
fn token_keys_rotate_and_every_replica_follows() {
    let (store, clock) = (MemoryStore::new(), TestClock::default());
    let (one, two) = (home(&store, &clock, None).unwrap(), home(&store, &clock, None).unwrap());
    let before = key_list(&one);

    clock.advance_s(6 * DAY + 1);
    block_on(one.refresh_keys()).unwrap();
    block_on(two.refresh_keys()).unwrap();

    let after = key_list(&one);
    assert!(after.list.serial > before.list.serial);
    assert_eq!(after, key_list(&two));
    let issuing = |list: &SignedKeyList| list.list.issuing(Class::Standard, clock.now()).unwrap().key_id();
    let old = issuing(&before);
    assert_eq!(issuing(&after), old, "the next key is announced before it issues");
    clock.advance_s(DAY);
    assert_ne!(issuing(&after), old);
}

#[test]
fn the_keys_of_all_services_rotate_together_and_every_replica_follows() {
    let (store, clock) = (MemoryStore::new(), TestClock::default());
    let (one, two) = (home(&store, &clock, None).unwrap(), home(&store, &clock, None).unwrap());
    let verifying = |home: &Homeserver| {
        let (queue, delivery) = (home.inner.queue.ring(), home.inner.delivery.ring());
        let now = clock.now();
        (queue.service.public(now).verifying.into_vec(), delivery.service.public(now).verifying.into_vec())
    };
    let (queue_before, delivery_before) = verifying(&one);
    let list_before = key_list(&one);

    clock.advance_s(340 * DAY);
    block_on(one.refresh_keys()).unwrap();
    block_on(two.refresh_keys()).unwrap();

    let (queue, delivery) = verifying(&one);
    assert_eq!((queue.clone(), delivery.clone()), verifying(&two));
    assert_eq!(queue[..1], queue_before);
    assert_eq!(delivery[..2], delivery_before);
    assert_eq!([queue.len(), delivery.len()], [2, 4]);
    assert!(key_list(&one).list.serial > list_before.list.serial);
    let again = home(&store, &clock, None).unwrap();
    assert_eq!(verifying(&again), (queue, delivery));
}

#[test]
fn a_large_message_to_sixty_queues_of_this_homeserver_is_carried_though_no_batch_takes_it_at_once() {
    let store = MemoryStore::new();
    let home = home(&store, &TestClock::default(), None).unwrap();
    let sealed = HpkeCiphertext { enc: Opaque::default(), ciphertext: Opaque::default() };
    let config = |number: u8| SealedQueueConfig { key: KeyId([number; 16]), sealed: sealed.clone() };
    let recipients = (0..60).map(|number| Recipient { any: Flag::No, config: config(number) }).collect();
    let message = FanOutMessage {
        notify: NotifyClass::Normal,
        ephemeral: Flag::No,
        accepted_at: 0,
        recipients: List::new(recipients).unwrap(),
        content: Opaque::new(vec![7; 250_000]).unwrap(),
    };
    let parts = message.clone().into_parts().len();
    assert!(parts > 1);
    let row = LaneRow {
        to: home.domain().clone(),
        service: ServiceName::Qs,
        lane: [1; 32],
        back: Opaque::default(),
        body: Opaque::new(message.encode()).unwrap(),
    };
    let carrier = Carrier::new(home.inner.clone());

    for _ in 0..2 {
        assert_eq!(block_on(carrier.carry(row.clone(), Fare::Free)), Ok(()));
    }
    // Each part but the last is remembered, and nothing waits behind what never comes again.
    let kept = store.dump().into_iter().filter(|(at, _)| at.space() == Space::Qs).count();
    assert_eq!(kept, parts - 1);
}

#[test]
fn an_endpoint_that_does_not_exist_is_not_found() {
    let home = home(&MemoryStore::new(), &TestClock::default(), None).unwrap();
    let call = call_of::<TokenKeys>();

    let wrong_service = block_on(home.call(ServiceName::Qs, "token_keys", call.clone(), Origin::default()));
    let wrong_name = block_on(home.call(ServiceName::As, "no_such", call.clone(), Origin::default()));
    let other_endpoint = block_on(home.call(ServiceName::As, "as_credentials", call, Origin::default()));

    assert_eq!(wrong_service.unwrap_err().code, ErrorCode::NotFound);
    assert_eq!(wrong_name.unwrap_err().code, ErrorCode::NotFound);
    assert_eq!(other_endpoint.unwrap_err().code, ErrorCode::Malformed);
}

#[test]
fn every_endpoint_has_a_number_and_a_path_of_its_own() {
    let home = home(&MemoryStore::new(), &TestClock::default(), None).unwrap();
    let descriptions = home.descriptions();

    let mut ids: Vec<_> = descriptions.iter().map(|description| description.id).collect();
    ids.sort();
    ids.dedup();

    assert_eq!(ids.len(), descriptions.len());
    assert_eq!(descriptions.len(), 65);
    for description in descriptions {
        assert_eq!(description.id.0 >> 8, description.service as u16, "{}", description.name);
    }
}

#[test]
fn an_operator_closes_registration_and_invites_on_any_replica_and_over_a_restart() {
    let (store, clock) = (MemoryStore::new(), TestClock::default());
    let (one, two) = (home(&store, &clock, None).unwrap(), home(&store, &clock, None).unwrap());
    let challenge = |home: &Homeserver| {
        let call = call_of::<RegistrationChallenge>();
        let told = block_on(home.call(ServiceName::As, "registration_challenge", call, Origin::default()));
        ChallengeReply::decode(&told.unwrap()).unwrap()
    };
    assert_eq!(block_on(one.admin().registration_is_closed()), Ok(false));

    block_on(one.admin().close_registration()).unwrap();

    assert!(challenge(&two).alternatives.is_empty());
    let restarted = home(&store, &clock, None).unwrap();
    assert_eq!(block_on(restarted.admin().registration_is_closed()), Ok(true));
    block_on(two.admin().open_registration()).unwrap();
    assert!(challenge(&one).is_open());
    let (first, second) =
        (block_on(one.admin().invite(60)).unwrap(), block_on(two.admin().invite(60)).unwrap());
    assert_eq!(first.expires, clock.now().as_secs() + 60);
    assert_ne!(first.code, second.code);
}

fn key_list(home: &Homeserver) -> SignedKeyList {
    let reply = block_on(home.call(ServiceName::As, "token_keys", call_of::<TokenKeys>(), Origin::default()));
    SignedKeyList::decode(&reply.unwrap()).unwrap()
}

fn call_of<E: Endpoint<Request = Empty>>() -> Call {
    let body = Opaque::new(Empty {}.encode()).unwrap();
    Call { version: VERSION, endpoint: E::DESCRIPTION.id, auth: None, token: None, body }
}

fn home(store: &MemoryStore, clock: &TestClock, key: Option<[u8; 32]>) -> Result<Homeserver, BuildError> {
    let domain = "alpha.test".parse().unwrap();
    let builder = Homeserver::builder(domain).store(store.clone()).clock(clock.clone());
    let builder = builder.transport(Nowhere).compute(Inline);
    block_on(match key {
        Some(key) => builder.operator_key(OperatorKey::new(key)).build(),
        None => builder.build(),
    })
}

#[derive(Clone, Default)]
struct TestClock(Arc<AtomicU64>);

impl TestClock {
    fn advance_s(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::Relaxed);
    }
}

#[async_trait]
impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(1_790_000_000 + self.0.load(Ordering::Relaxed))
    }

    async fn sleep_until(&self, at: Timestamp) {
        self.advance_s(at.millis_since(self.now()) / 1_000);
    }
}

struct Nowhere;

#[async_trait]
impl Transport for Nowhere {
    async fn send(&self, _: &Fqdn, _: Outgoing) -> Result<Result<Bytes, ErrorReply>, TransportError> {
        Err(TransportError::Unreachable)
    }

    async fn fetch(&self, _: &Fqdn, _: ServiceName) -> Result<Bytes, TransportError> {
        Err(TransportError::Unreachable)
    }
}
