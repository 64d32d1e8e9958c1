//! Asking strangers for their keys, without being asked too much.

mod bounds;

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{executor::block_on, future::join_all};

use super::{
    BUSY_REST_S, FAILURE_REST_S, FRESH_S, KeyDirectory, KeyGrace, NEW_COMERS_A_DAY, REFRESH_S, RETRY_S,
    STRANGER_S, State,
};
use crate::{
    ErrorReply, Fqdn, KeyId, Origin, Reject, Timestamp,
    api::{ServiceName, delivery::DsPublicKeys, queue::ServiceKey},
    credential::tests::{Authority, NOW},
    crypto::{AtRestKey, Chance, SigningKey, Suite},
    engine::tests::yield_now,
    operation::Need,
    port::{
        Alarm, Base, Batch, Clock, Commit, Entropy, Inline, LocalWake, Mark, NoPush, OpenPolicy, Outgoing,
        Part, PartitionKey, Ports, Snapshot, Space, Store, Transport, TransportError, Write,
    },
    published::{AsDocument, DsDocument, PublishedKeys},
    store::MemoryStore,
    time::DAY,
    token::{Rotation, TokenKeys},
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
fn who_could_not_be_asked_is_asked_as_soon_as_others_leave_a_turn() {
    let world = World::new();

    for fetches in 1..10 {
        world.fail_by(Some(TransportError::Busy));
        assert_eq!(block_on(world.directory.find(&world.need(None))), Err(Reject::Unavailable(RETRY_S)));
        world.fail_by(None);
        let meanwhile = block_on(world.directory.find(&world.need(None)));
        assert_eq!((meanwhile, world.fetches()), (Err(Reject::Unavailable(RETRY_S)), fetches));
        world.pass_s(BUSY_REST_S);
    }

    assert!(block_on(world.directory.find(&world.need(None))).is_ok());
}

#[test]
fn the_last_good_keys_outlive_a_netsplit_for_as_long_as_the_operator_wants() {
    for grace in [KeyGrace::default(), KeyGrace::from_secs(0).unwrap(), KeyGrace::MAX] {
        let world = World::new();
        let directory = World::relying(&world.ports, grace);
        block_on(directory.find(&world.need(None))).unwrap();
        world.cut(true);

        world.pass_s(FRESH_S + grace.as_secs() - 1);
        assert!(block_on(directory.find(&world.need(None))).is_ok());
        world.pass_s(1);
        assert!(block_on(directory.find(&world.need(None))).is_err());
    }
    assert_eq!(KeyGrace::default().as_secs(), DAY);
    assert_eq!(KeyGrace::from_secs(KeyGrace::MAX.as_secs() + 1), None);
}

#[test]
fn no_process_takes_older_documents_of_a_peer_than_one_has_seen_that_knew_it_for_a_day() {
    let mut world = World::new();
    world.serve(2);
    let serial = |directory: &KeyDirectory| match block_on(directory.find(&as_need())).as_deref() {
        Ok(PublishedKeys::As(keys, _)) => Ok(keys.identity().statement.payload.serial),
        Ok(_) => panic!("keys of another service"),
        Err(reject) => Err(*reject),
    };
    assert_eq!(serial(&world.directory), Ok(2));
    world.pass_s(STRANGER_S);
    block_on(world.directory.remember());

    let restarted = World::directory(&world.ports);
    world.serve(1);
    assert_eq!(serial(&restarted), Err(Reject::Unavailable(RETRY_S)), "it was further");
    world.pass_s(FAILURE_REST_S);
    world.serve(3);
    assert_eq!(serial(&restarted), Ok(3));
    block_on(restarted.remember());

    let replica = World::directory(&world.ports);
    world.serve(2);
    assert_eq!(serial(&replica), Err(Reject::Unavailable(RETRY_S)), "another process saw more");
    assert_eq!(serial(&world.directory), Ok(2), "which was good a day ago, and still is");
}

#[test]
fn a_stranger_leaves_nothing_in_the_store_and_a_peer_for_half_a_year() {
    let mut world = World::new();
    world.serve(1);
    block_on(world.directory.find(&as_need())).unwrap();
    block_on(world.directory.find(&world.need(None))).unwrap_err();
    world.pass_s(STRANGER_S - 1);
    block_on(world.directory.remember());
    assert_eq!(world.remembered().len(), 0);

    world.pass_s(1);
    block_on(world.directory.remember());
    let once = world.remembered();
    block_on(world.directory.remember());

    assert_eq!(world.remembered(), once, "it is written once");
    let days = once[0].1.alarm.unwrap().millis_since(world.clock.now()) / (DAY * 1_000);
    assert!((180..=182).contains(&days), "{days}");
    let name = beta().to_string();
    assert!(!once[0].0.key().windows(name.len()).any(|it| it == name.as_bytes()));
}

#[test]
fn one_row_that_is_broken_keeps_nobody_else_unremembered() {
    let names = ["a.test", "b.test", "c.test"];
    for broken in names {
        let mut world = World::new();
        let keys = world.keys();
        let peers = names.map(|name| world.meet(name, &keys));
        world.pass_s(STRANGER_S);
        world.spoil(&broken.parse().unwrap());

        block_on(world.directory.remember());

        for peer in peers.iter().filter(|peer| peer.as_str() != broken) {
            assert!(world.remembers(peer), "{peer}");
        }
    }
}

#[test]
fn who_makes_up_the_first_names_of_all_does_not_keep_others_unremembered() {
    // given a stranger with as many names as there are places on a day, and honest ones whose names come after
    let mut world = World::new();
    let keys = world.keys();
    for number in 0..NEW_COMERS_A_DAY {
        world.meet(&format!("a{number:03}.test"), &keys);
    }
    let honest: Vec<_> = (0..64).map(|number| world.meet(&format!("z{number}.test"), &keys)).collect();
    world.pass_s(STRANGER_S);

    block_on(world.directory.remember());

    let remembered = honest.iter().filter(|peer| world.remembers(peer)).count();
    assert!(remembered > 32, "{remembered}");
}

#[test]
fn so_many_strangers_become_known_on_one_day() {
    let world = World::new();
    let now = world.clock.now();

    let taken = (0..2 * NEW_COMERS_A_DAY).filter(|_| world.directory.takes_new_comer(now));

    assert_eq!(taken.count(), NEW_COMERS_A_DAY as usize);
    assert!(world.directory.takes_new_comer(now.plus_secs(DAY)));
}

struct World {
    directory: KeyDirectory,
    peer: Arc<Peer>,
    clock: Arc<TestClock>,
    ports: Ports,
    store: MemoryStore,
    authority: Authority,
}

impl World {
    /// A process of the homeserver.
    fn directory(ports: &Ports) -> KeyDirectory {
        Self::relying(ports, KeyGrace::default())
    }

    /// One that relies on keys for so long.
    fn relying(ports: &Ports, grace: KeyGrace) -> KeyDirectory {
        let at_rest = AtRestKey::generate(&mut Chance::from_seed([3; 32]));
        KeyDirectory::new("alpha.test".parse().unwrap(), ports, at_rest, grace)
    }

    fn new() -> Self {
        let peer = Arc::new(Peer::default());
        let clock = Arc::new(TestClock::default());
        let store = MemoryStore::new();
        let ports = Ports {
            store: Arc::new(store.clone()),
            transport: peer.clone(),
            clock: clock.clone(),
            entropy: Arc::new(Counting::default()),
            wake: Arc::new(LocalWake::default()),
            push: Arc::new(NoPush),
            compute: Arc::new(Inline),
            policy: Arc::new(OpenPolicy),
        };
        let directory = Self::directory(&ports);
        let world = Self {
            directory,
            peer,
            clock,
            ports,
            store,
            authority: Authority::new("beta.test", Suite::Ed25519),
        };
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

    /// From now on, the peer's AS publishes what has this serial.
    fn serve(&mut self, serial: u64) {
        let domain = self.authority.domain.clone();
        let tokens = TokenKeys::generate(domain, NOW, &Rotation::default(), &mut Chance::from_seed([4; 32]));
        let tokens = tokens.list(self.authority.intermediate.fingerprint()).unwrap();
        let tokens = tokens.sign(&self.authority.key).unwrap();
        *self.peer.document.lock().unwrap() =
            AsDocument::encode(&self.authority.identity(serial), &tokens).unwrap();
    }

    /// What the store holds of peers.
    fn remembered(&self) -> Vec<(PartitionKey, Snapshot)> {
        self.store.dump().into_iter().filter(|(key, _)| key.space() == Space::Peers).collect()
    }

    /// Keys as an AS publishes them.
    fn keys(&mut self) -> Arc<PublishedKeys> {
        self.serve(1);
        block_on(self.directory.find(&as_need())).unwrap()
    }

    /// From now on, a homeserver of this name is known by these keys.
    fn meet(&self, name: &str, keys: &Arc<PublishedKeys>) -> Fqdn {
        self.meet_with(name, keys, 1_000)
    }

    /// The same, with a document of this length.
    fn meet_with(&self, name: &str, keys: &Arc<PublishedKeys>, bytes: usize) -> Fqdn {
        let need = Need::keys(name.parse().unwrap(), ServiceName::As);
        let (now, keys) = (self.clock.now(), Some(keys.clone()));
        let state = State { keys, bytes, fetched_at: now, known_since: Some(now), ..State::default() };
        *self.directory.entry(&need).state.lock().unwrap() = state;
        need.domain
    }

    /// What is remembered of a homeserver cannot be read.
    fn spoil(&self, domain: &Fqdn) {
        let part = Part {
            partition: self.directory.memory.partition(domain),
            base: Base::Absent,
            mark: Mark([1; 16]),
            writes: vec![Write::Put(Bytes::from_static(b"latest"), Bytes::from_static(b"broken"))],
            alarm: Alarm::Keep,
        };
        assert_eq!(block_on(self.store.commit(&Batch { parts: vec![part] })).unwrap(), Commit::Done);
    }

    fn remembers(&self, domain: &Fqdn) -> bool {
        block_on(self.directory.memory.recall(domain)).unwrap().is_some()
    }

    fn cut(&self, cut: bool) {
        self.fail_by(cut.then_some(TransportError::Unreachable));
    }

    /// The peer cannot be had from now on, or can.
    fn fail_by(&self, error: Option<TransportError>) {
        *self.peer.error.lock().unwrap() = error;
    }

    fn fetches(&self) -> usize {
        self.peer.fetches.load(Ordering::Relaxed)
    }

    fn pass_s(&self, seconds: u64) {
        self.clock.0.fetch_add(seconds, Ordering::Relaxed);
    }
}

fn origin(address: &str) -> Origin {
    Origin { address: address.parse().ok(), request: 0 }
}

fn as_need() -> Need {
    Need::keys(beta(), ServiceName::As)
}

fn beta() -> Fqdn {
    "beta.test".parse().unwrap()
}

#[derive(Default)]
struct Peer {
    document: Mutex<Bytes>,
    error: Mutex<Option<TransportError>>,
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
        let error = *self.error.lock().unwrap();
        error.map_or_else(|| Ok(self.document.lock().unwrap().clone()), Err)
    }
}

#[derive(Default)]
struct TestClock(AtomicU64);

#[async_trait]
impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(NOW.as_secs() + self.0.load(Ordering::Relaxed))
    }

    async fn sleep_until(&self, _: Timestamp) {}
}

#[derive(Default)]
struct Counting(AtomicU64);

impl Entropy for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        let count = self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        bytes.iter_mut().zip(count.iter().cycle()).for_each(|(byte, of)| *byte = *of);
    }
}
