//! What signs for a homeserver's domain, at the end of its time and when it is changed.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use futures::executor::block_on;
use phoenix_as::{AuthorityChange, AuthorityError, Root, RootKey};
use phoenix_core::{
    Timestamp,
    api::ServiceName,
    crypto::{Chance, Suite},
    port::{Batch, Clock, Commit, Inline, PartitionKey, Place, Snapshot, Space, Store, StoreError},
    published::PublishedKeys,
    store::MemoryStore,
    time::DAY,
};

use super::{Nowhere, TestClock};
use crate::{AdminError, Homeserver};

#[test]
fn a_homeserver_whose_authority_has_ended_starts_and_each_change_of_it_mends_that() {
    for name in ["renew", "rotate", "new-root"] {
        let (store, clock) = (MemoryStore::new(), TestClock::default());
        let first = root(&clock, 1);
        let running = build(&store, &clock, &first);

        clock.advance_s(366 * DAY);
        block_on(running.refresh_keys()).unwrap();
        let started = build(&store, &clock, &first);
        assert!(!is_valid(&started, &clock) && !is_valid(&running, &clock));
        let (change, signer) = match name {
            "renew" => (AuthorityChange::Renew, first.clone()),
            "rotate" => (AuthorityChange::Rotate(Suite::Ed25519), first.clone()),
            _ => (AuthorityChange::NewRoot(Suite::P256), root(&clock, 2)),
        };
        block_on(started.admin().change_authority(change, &signer)).unwrap();

        block_on(running.refresh_keys()).unwrap();
        for home in [&started, &running, &build(&store, &clock, &first)] {
            assert!(is_valid(home, &clock), "{name}");
            assert!(home.inner.auth.ring().service.are_in_force(clock.now()), "{name}");
        }
        clock.advance_s(364 * DAY);
        block_on(running.refresh_keys()).unwrap();
        assert!(is_valid(&running, &clock), "{name}: for a year again");
    }
}

#[test]
fn a_clock_that_is_early_is_no_damage() {
    let store = MemoryStore::new();
    let clock = TestClock::default();
    clock.advance_s(10 * DAY);
    build(&store, &clock, &root(&clock, 1));
    let early = TestClock::default();
    early.advance_s(8 * DAY);

    let home = build(&store, &early, &root(&clock, 1));

    assert!(!is_valid(&home, &early));
    early.advance_s(2 * DAY);
    block_on(home.refresh_keys()).unwrap();
    assert!(is_valid(&home, &early));
}

#[test]
fn an_authority_that_was_changed_is_changed_though_the_homeserver_cannot_take_it_over_at_once() {
    let (store, clock) = (MemoryStore::new(), TestClock::default());
    let signer = root(&clock, 1);
    let fails_after = Fails { store: store.clone(), reads: Arc::new(AtomicUsize::new(usize::MAX)) };
    let home = build(&fails_after, &clock, &signer);

    fails_after.reads.store(1, Ordering::Relaxed);
    let changed = block_on(home.admin().change_authority(AuthorityChange::Rotate(Suite::Ed25519), &signer));

    assert_eq!(changed, Ok(()));
    fails_after.reads.store(usize::MAX, Ordering::Relaxed);
    block_on(home.refresh_keys()).unwrap();
    assert_eq!(block_on(home.admin().authority()).unwrap().statement.payload.serial, 2);
}

#[test]
fn a_change_that_is_only_checked_changes_nothing() {
    let (store, clock) = (MemoryStore::new(), TestClock::default());
    let signer = root(&clock, 1);
    let home = build(&store, &clock, &signer);
    let check = |change, root: &Root| block_on(home.admin().check_authority(change, root));

    assert_eq!(check(AuthorityChange::NewRoot(Suite::P256), &root(&clock, 2)), Ok(()));
    let unknown = check(AuthorityChange::Renew, &root(&clock, 2));

    assert_eq!(unknown, Err(AdminError::Authority(AuthorityError::UnknownRoot)));
    assert_eq!(block_on(home.admin().authority()).unwrap().statement.payload.serial, 1);
}

#[test]
fn keys_that_many_look_at_at_once_end_at_those_of_the_store() {
    let (store, clock) = (MemoryStore::new(), TestClock::default());
    let signer = root(&clock, 1);
    let homes = [build(&store, &clock, &signer), build(&store, &clock, &signer)];

    clock.advance_s(7 * DAY);
    let looks = homes.iter().flat_map(|home| (0..4).map(|_| home.refresh_keys()));
    let looked = block_on(futures::future::join_all(looks));

    assert!(looked.iter().all(Result::is_ok), "{looked:?}");
    let [one, two] = homes.map(|home| block_on(home.document(ServiceName::As)).unwrap());
    assert_eq!(one, two);
}

/// Whether others trust what the homeserver publishes.
fn is_valid(home: &Homeserver, clock: &TestClock) -> bool {
    ServiceName::ALL.into_iter().all(|service| {
        let document = block_on(home.document(service)).unwrap();
        PublishedKeys::decode(service, &document, home.domain(), clock.now()).is_ok()
    })
}

fn root(clock: &TestClock, seed: u8) -> Root {
    let (domain, mut chance) = ("alpha.test".parse().unwrap(), Chance::from_seed([seed; 32]));
    RootKey::generate(domain, Suite::Ed25519, clock.now(), &mut chance).unwrap().root()
}

fn build(store: &(impl Store + Clone), clock: &TestClock, root: &Root) -> Homeserver {
    let builder = Homeserver::builder("alpha.test".parse().unwrap()).root(root.clone());
    let builder = builder.store(store.clone()).clock(clock.clone()).transport(Nowhere).compute(Inline);
    block_on(builder.build()).unwrap()
}

/// A store that stops reading after so many reads.
#[derive(Clone)]
struct Fails {
    store: MemoryStore,
    reads: Arc<AtomicUsize>,
}

#[async_trait]
impl Store for Fails {
    async fn read(&self, places: &[Place]) -> Result<Vec<Snapshot>, StoreError> {
        let left = self.reads.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        left.map_err(|_| StoreError::Unavailable)?;
        self.store.read(places).await
    }

    async fn commit(&self, batch: &Batch) -> Result<Commit, StoreError> {
        self.store.commit(batch).await
    }

    async fn due(&self, space: Space, now: Timestamp, limit: usize) -> Result<Vec<PartitionKey>, StoreError> {
        self.store.due(space, now, limit).await
    }
}
