//! T21, stores that fail at any point, and clocks that jump: what was accepted arrives once and in order. Processes that
//! end at any await are played in worlds, and with `kill -9` in `adapters/server/tests/three_homeservers`.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use phoenix_conformance::store::{Call, Faulty, Strike};
use phoenix_core::{port::StoreError, store::MemoryStore};

use crate::{
    site::{Site, texts},
    t22::{heard, say, together},
};

#[test]
fn t21_what_was_accepted_arrives_once_and_in_order_whatever_call_to_a_store_fails() {
    let mut failed = 0;
    for (seed, step) in [(210, 5), (211, 7), (212, 11), (213, 13)] {
        let (is_on, strikes) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let mut site = Site::with(&["alpha.test", "beta.test"], seed, |_, builder| {
            let (is_on, strikes) = (is_on.clone(), strikes.clone());
            let plan = move |number: u64, call: Call<'_>| {
                if !is_on.load(Ordering::Relaxed)
                    || matches!(call, Call::Due(_))
                    || !number.is_multiple_of(step)
                {
                    return Strike::Spare;
                }
                let strike = strikes.fetch_add(1, Ordering::Relaxed);
                match strike % 2 {
                    0 => Strike::Before(if strike % 4 == 0 {
                        StoreError::Full
                    } else {
                        StoreError::Unavailable
                    }),
                    _ => Strike::After(StoreError::Unavailable),
                }
            };
            builder.store(Faulty::new(Arc::new(MemoryStore::new()), plan))
        });
        let (alice, bob, group) = together(&mut site);

        // A clock that jumps by hours in the midst of it, forth or back, is no reason either.
        site.clock.leap_ms(JUMP_MS);
        is_on.store(true, Ordering::Relaxed);
        let mut sent = site.run(say(alice.clone(), group.clone(), 0..TEXTS / 2));
        site.clock.set_back_ms(JUMP_MS);
        sent += site.run(say(alice, group.clone(), TEXTS / 2..TEXTS));
        is_on.store(false, Ordering::Relaxed);
        let soon = site.run(heard(bob.clone(), group.clone(), PATIENCE));
        site.clock.leap_ms(2 * JUMP_MS);
        let later = site.run(heard(bob, group, PATIENCE));

        failed += strikes.load(Ordering::Relaxed);
        assert_eq!(sent, TEXTS, "each is accepted at last");
        let all = [soon, later].concat();
        assert_eq!(all, texts(0..TEXTS));
    }
    println!("{failed} calls to stores failed, before or after they did their work");
    assert!(failed > 40, "only {failed} calls to stores failed");
}

const TEXTS: usize = 12;
const PATIENCE: usize = 30;
const JUMP_MS: u64 = 5 * 3_600_000;
