//! A homeserver's beginnings, and its keys over time.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::executor::block_on;
use phoenix_core::{
    ErrorCode, ErrorReply, Fqdn, Origin, Timestamp,
    api::{Empty, Endpoint, ServiceName, tokens::TokenKeys},
    port::{Clock, Inline, Outgoing, Transport, TransportError},
    store::MemoryStore,
    time::DAY,
    token::{Class, SignedKeyList},
    wire::{Call, Opaque, VERSION, Wire},
};

use crate::{BuildError, Homeserver, OperatorKey};

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
fn a_store_opens_under_its_own_operator_key_only() {
    let clock = TestClock::default();
    let (sealed, open) = (MemoryStore::new(), MemoryStore::new());
    home(&sealed, &clock, Some([1; 32])).unwrap();
    home(&open, &clock, None).unwrap();

    assert!(matches!(home(&sealed, &clock, Some([2; 32])), Err(BuildError::WrongKey)));
    assert!(matches!(home(&sealed, &clock, None), Err(BuildError::WrongKey)));
    assert!(matches!(home(&open, &clock, Some([1; 32])), Err(BuildError::WrongKey)));
}

#[test]
fn no_secret_lies_open_where_the_operator_keeps_a_key() {
    let (store, clock) = (MemoryStore::new(), TestClock::default());
    let home = home(&store, &clock, Some([1; 32])).unwrap();
    let secrets = [home.inner.auth.ring().service.encode(), home.inner.queue.ring().service.encode()];

    let dump = store.dump();

    let rows = dump.iter().flat_map(|(_, found)| &found.rows);
    for row in rows.map(|(_, row)| row) {
        for secret in secrets.iter().flat_map(|encoded| encoded.windows(32)) {
            assert!(!row.windows(32).any(|window| window == secret), "a part of the keys lies open");
        }
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
    assert_eq!(descriptions.len(), 32);
    for description in descriptions {
        assert_eq!(description.id.0 >> 8, description.service as u16, "{}", description.name);
    }
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
