//! Stores that are older copies (09, "Restore").

use std::sync::Arc;

use futures::executor::block_on;
use phoenix_core::{port::Inline, store::MemoryStore, token::Class};

use super::{Nowhere, TestClock, home, key_list};
use crate::{Era, Homeserver};

#[test]
fn a_copy_of_before_a_count_is_found_by_itself_and_begins_another_generation() {
    // given a copy of a store that was counted on since
    let (store, clock) = (MemoryStore::new(), TestClock::default());
    let before = home(&store, &clock, None).unwrap();
    block_on(before.admin().count()).unwrap();
    let copy = store.fork();
    let seen = block_on(before.admin().count()).unwrap();
    assert_eq!(seen, Era { generation: 0, age: 2 });

    // when both are opened
    let same = seen_as(&store, &clock, seen);
    let restored = seen_as(&copy, &clock, seen);

    // then the store is as it was, and the copy issues under other keys, in a list that nobody has seen
    assert_eq!(key_list(&same), key_list(&before));
    let (old, new) = (key_list(&before), key_list(&restored));
    assert!(old.accepts_successor(&new));
    assert!(new.list.serial >= 1 << 32);
    let retired = |id| new.list.keys.iter().all(|key| key.key_id() != id);
    assert!(old.list.keys.iter().all(|key| retired(key.key_id())));
    assert!(new.list.issuing(Class::Standard, clock_now(&restored)).is_some());
    let era = block_on(restored.admin().count()).unwrap();
    assert!(era > seen && era.generation == 1, "{era}");
}

#[test]
fn a_copy_that_is_brought_back_twice_comes_into_a_generation_of_its_own() {
    let (store, clock) = (MemoryStore::new(), TestClock::default());
    home(&store, &clock, None).unwrap();
    let copies = [store.fork(), store.fork()];

    let mut seen = block_on(home(&store, &clock, None).unwrap().admin().count()).unwrap();
    for (copy, expected) in copies.iter().zip(1..) {
        let restored = seen_as(copy, &clock, seen);
        seen = block_on(restored.admin().count()).unwrap();
        assert_eq!(seen.generation, expected);
    }
}

#[test]
fn a_restore_is_declared_to_a_running_homeserver_and_stays_over_its_next_start() {
    let (store, clock) = (MemoryStore::new(), TestClock::default());
    let running = home(&store, &clock, None).unwrap();
    let before = key_list(&running);

    let era = block_on(running.admin().restored(Era { generation: 6, age: 0 })).unwrap();

    assert_eq!(era.generation, 7);
    assert!(before.accepts_successor(&key_list(&running)));
    assert_ne!(before.list.keys, key_list(&running).list.keys);
    let again = home(&store, &clock, None).unwrap();
    assert_eq!(key_list(&again), key_list(&running));
    assert_eq!(block_on(again.admin().count()).unwrap(), Era { generation: 7, age: era.age + 1 });
}

#[test]
fn an_era_is_written_as_it_is_read() {
    let era = Era { generation: 3, age: 20_455 };

    assert_eq!(era.to_string().parse(), Ok(era));
    for text in ["", "3", "3.", ".4", "3.x", "3.4.5", "-1.4"] {
        assert!(text.parse::<Era>().is_err(), "{text}");
    }
    assert!(era < Era { generation: 4, age: 0 } && era > Era { age: 20_454, ..era });
}

/// The homeserver of a store that was seen in an era.
fn seen_as(store: &MemoryStore, clock: &TestClock, seen: Era) -> Homeserver {
    let builder = Homeserver::builder("alpha.test".parse().unwrap()).store(store.clone());
    let builder = builder.clock(clock.clone()).transport(Nowhere).compute(Inline);
    block_on(builder.seen(seen).build()).unwrap()
}

fn clock_now(home: &Homeserver) -> phoenix_core::Timestamp {
    let clock: &Arc<_> = &home.inner.shared.ports().clock;
    clock.now()
}
