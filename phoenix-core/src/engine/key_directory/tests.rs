//! Asking strangers for their keys, without being asked too much.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{executor::block_on, future::join_all};

use super::{FAILURE_REST_S, FRESH_S, GRACE_S, KeyDirectory, LOOK_UPS_A_MINUTE, REFRESH_S};
use crate::{
    ErrorReply, Fqdn, KeyId, Origin, Reject, Timestamp,
    api::{ServiceName, delivery::DsPublicKeys, queue::ServiceKey},
    crypto::{Chance, SigningKey, Suite},
    engine::tests::yield_now,
    operation::Need,
    port::{Clock, Outgoing, Transport, TransportError},
    published::DsDocument,
    wire::List,
};

#[test]
fn many_who_need_one_peer_cause_one_fetch() {
    let world = World::new();

    let need = world.need(None);
    let found = block_on(join_all((0..16).map(|_| world.directory.find(&need))));

    assert!(found.iter().all(Result::is_ok));
    assert_eq!(world.fetches(), 1);
}

#[test]
fn an_unknown_key_causes_one_refresh_and_then_refusal() {
    let world = World::new();
    block_on(world.directory.find(&world.need(None))).unwrap();
    world.pass_s(REFRESH_S);
    let unknown = world.need(Some(KeyId([9; 16])));

    let first = block_on(world.directory.find(&unknown));
    let second = block_on(world.directory.find(&unknown));

    assert_eq!(first.unwrap_err(), Reject::Unauthenticated);
    assert_eq!(second.unwrap_err(), Reject::Unauthenticated);
    assert_eq!(world.fetches(), 2);
    for (pause, fetches) in [(REFRESH_S - 1, 2), (1, 3)] {
        world.pass_s(pause);
        assert_eq!(block_on(world.directory.find(&unknown)), Err(Reject::Unauthenticated));
        assert_eq!(world.fetches(), fetches);
    }
}

#[test]
fn a_rotated_key_is_found_by_that_refresh() {
    let world = World::new();
    block_on(world.directory.find(&world.need(None))).unwrap();
    world.pass_s(REFRESH_S);
    let id = world.rotate(2);

    let found = block_on(world.directory.find(&world.need(Some(id))));

    assert!(found.unwrap().has(&id));
}

#[test]
fn a_peer_that_does_not_answer_is_left_in_peace_and_longer_each_time() {
    let world = World::new();
    world.cut(true);

    for (rest, fetches) in [(0, 1), (FAILURE_REST_S - 1, 1), (1, 2), (2 * FAILURE_REST_S - 1, 2), (1, 3)] {
        world.pass_s(rest);
        assert!(matches!(block_on(world.directory.find(&world.need(None))), Err(Reject::Unavailable(_))));
        assert_eq!(world.fetches(), fetches);
    }
}

#[test]
fn the_last_good_keys_outlive_a_netsplit_for_a_day() {
    let world = World::new();
    block_on(world.directory.find(&world.need(None))).unwrap();
    world.cut(true);

    world.pass_s(FRESH_S + GRACE_S - 1);
    assert!(block_on(world.directory.find(&world.need(None))).is_ok());
    world.pass_s(1);
    assert!(block_on(world.directory.find(&world.need(None))).is_err());
}

#[test]
fn t6_one_source_cannot_make_this_server_knock_on_many_doors() {
    let world = World::new();
    let origin = |address: &str| Origin { address: address.parse().ok(), request: 0 };
    let stranger = |number: u32| Need::keys(format!("s{number}.example").parse().unwrap(), ServiceName::As);

    for number in 0..LOOK_UPS_A_MINUTE {
        assert!(world.directory.allow_look_up(&stranger(number), &origin("192.0.2.1")).is_ok());
    }

    let one_more = world.directory.allow_look_up(&stranger(99), &origin("192.0.2.1"));
    assert!(matches!(one_more, Err(Reject::RateLimited(_))));
    assert!(world.directory.allow_look_up(&stranger(99), &origin("192.0.2.2")).is_ok(), "others may");
    block_on(world.directory.find(&world.need(None))).unwrap();
    assert!(world.directory.allow_look_up(&world.need(None), &origin("192.0.2.1")).is_ok(), "it is known");
    world.pass_s(60);
    assert!(world.directory.allow_look_up(&stranger(99), &origin("192.0.2.1")).is_ok());
}

struct World {
    directory: KeyDirectory,
    peer: Arc<Peer>,
    clock: Arc<TestClock>,
}

impl World {
    fn new() -> Self {
        let peer = Arc::new(Peer::default());
        let clock = Arc::new(TestClock::default());
        let directory = KeyDirectory::new("alpha.test".parse().unwrap(), peer.clone(), clock.clone());
        let world = Self { directory, peer, clock };
        world.rotate(1);
        world
    }

    fn need(&self, key: Option<KeyId>) -> Need {
        Need { domain: beta(), service: ServiceName::Ds, key }
    }

    fn rotate(&self, seed: u8) -> KeyId {
        let key = SigningKey::generate(Suite::Ed25519, &mut Chance::from_seed([seed; 32])).verifying_key();
        let key = ServiceKey::new(key, 0, u64::MAX);
        let id = key.id;
        let keys = DsPublicKeys { verifying: List::new(vec![key]).unwrap() };
        *self.peer.document.lock().unwrap() = DsDocument::encode(&beta(), &keys).unwrap();
        id
    }

    fn cut(&self, cut: bool) {
        self.peer.cut.store(usize::from(cut), Ordering::Relaxed);
    }

    fn fetches(&self) -> usize {
        self.peer.fetches.load(Ordering::Relaxed)
    }

    fn pass_s(&self, seconds: u64) {
        self.clock.0.fetch_add(seconds, Ordering::Relaxed);
    }
}

fn beta() -> Fqdn {
    "beta.test".parse().unwrap()
}

#[derive(Default)]
struct Peer {
    document: Mutex<Bytes>,
    cut: AtomicUsize,
    fetches: AtomicUsize,
}

#[async_trait]
impl Transport for Peer {
    async fn send(&self, _: &Fqdn, _: Outgoing) -> Result<Result<Bytes, ErrorReply>, TransportError> {
        Err(TransportError::Unreachable)
    }

    async fn fetch(&self, _: &Fqdn, _: ServiceName) -> Result<Bytes, TransportError> {
        self.fetches.fetch_add(1, Ordering::Relaxed);
        yield_now().await;
        if self.cut.load(Ordering::Relaxed) > 0 {
            return Err(TransportError::Unreachable);
        }
        Ok(self.document.lock().unwrap().clone())
    }
}

#[derive(Default)]
struct TestClock(AtomicU64);

#[async_trait]
impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(1_790_000_000 + self.0.load(Ordering::Relaxed))
    }

    async fn sleep_until(&self, _: Timestamp) {}
}
