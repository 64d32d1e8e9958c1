//! Both sides of a limit, and what a flood cannot do.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests")]

use super::{Limit, Limiter, Limits, Load, Rate, table::SLOTS};
use crate::{Timestamp, wire::Secret};

#[test]
fn a_burst_comes_through_at_once_and_the_rest_at_its_rate() {
    let limiter = limiter(Rate::new(10, 50));

    assert_eq!(count(&limiter, "alice", 100, 0), 50);
    assert_eq!(count(&limiter, "alice", 100, 1_000), 10);
    assert_eq!(count(&limiter, "alice", 100, 1_100), 1);
    assert_eq!(count(&limiter, "alice", 100, 60_000), 50, "a pause gives no more than the burst");
}

#[test]
fn a_rate_may_be_of_an_hour() {
    let limiter = limiter(Rate::hourly(60));

    assert_eq!(count(&limiter, "alice", 100, 0), 60);
    assert_eq!(count(&limiter, "alice", 100, 59_999), 0);
    assert_eq!(count(&limiter, "alice", 100, 60_000), 1, "one a minute");
    assert_eq!(count(&limiter, "alice", 100, 2 * 3_600_000), 60);
    assert_eq!((Rate::hourly(60).per_second(), Rate::hourly(7_200).per_second()), (0, 2));
}

#[test]
fn who_comes_back_when_told_to_gets_through_and_not_before() {
    let limiter = limiter(Rate::new(1, 10));
    assert_eq!(limiter.admit(&[load("alice", 10)], at(0)), Ok(()));

    for (amount, after_s) in [(1, 1), (7, 7), (10, 10)] {
        let refused = limiter.admit(&[load("alice", amount)], at(0));
        assert_eq!(refused, Err(after_s), "{amount}");
    }

    assert_eq!(limiter.admit(&[load("alice", 7)], at(6_999)), Err(1));
    assert_eq!(limiter.admit(&[load("alice", 7)], at(7_000)), Ok(()));
}

#[test]
fn keys_and_limits_count_apart() {
    let limiter = limiter(Rate::new(1, 5));

    assert_eq!(count(&limiter, "alice", 9, 0), 5);
    assert_eq!(count(&limiter, "bob", 9, 0), 5);
    let other = Load::new(Limit::Config, "alice", 1);
    assert_eq!(limiter.admit(&[other], at(0)), Ok(()));
}

#[test]
fn all_loads_count_or_none_and_the_first_that_is_over_says_when() {
    let limits = Limits {
        leaf_messages: Some(Rate::new(1, 2)),
        group: Some(Rate::new(1, 100)),
        config: Some(Rate::new(1, 30)),
        ..Limits::unlimited()
    };
    let limiter = Limiter::new(limits, Secret::new([1; 16]));
    let loads = |group| [Limit::LeafMessages, Limit::Group].map(|limit| Load::new(limit, "alice", group));
    assert_eq!(limiter.admit(&loads(2), at(0)), Ok(()));

    for _ in 0..50 {
        assert_eq!(limiter.admit(&loads(2), at(0)), Err(2));
    }

    let rest = |amount| limiter.admit(&[Load::new(Limit::Group, "alice", amount)], at(0));
    assert_eq!(rest(99), Err(1), "two of a hundred are taken, not more");
    assert_eq!(rest(98), Ok(()));
    let narrowest_first = [(Limit::LeafMessages, 1), (Limit::Group, 50)];
    let both = narrowest_first.map(|(limit, amount)| Load::new(limit, "alice", amount));
    assert_eq!(limiter.admit(&both, at(0)), Err(1), "though the group's is over for longer");
}

#[test]
fn what_is_larger_than_the_burst_comes_through_once_nothing_else_counts() {
    let limiter = limiter(Rate::new(100, 1_000));
    assert_eq!(limiter.admit(&[load("alice", 100)], at(0)), Ok(()));

    assert_eq!(limiter.admit(&[load("alice", 1 << 20)], at(0)), Err(1));
    assert_eq!(limiter.admit(&[load("alice", 1 << 20)], at(1_000)), Ok(()));
    assert_eq!(limiter.admit(&[load("alice", u32::MAX)], at(1_000)), Err(10));
}

#[test]
fn without_a_rate_nothing_is_held_back() {
    let limiter = Limiter::new(Limits::unlimited(), Secret::new([1; 16]));

    for limit in Limit::ALL {
        assert_eq!(limiter.admit(&[Load::new(limit, "alice", u32::MAX)], at(0)), Ok(()), "{limit:?}");
        assert_eq!(limiter.admit(&[Load::new(limit, "alice", u32::MAX)], at(0)), Ok(()), "{limit:?}");
    }
}

#[test]
fn every_limit_has_its_own_rate() {
    for limit in Limit::ALL {
        let limiter = Limiter::new(Limits::default(), Secret::new([1; 16]));
        let burst = limiter.limits().of(limit).unwrap().burst();

        assert_eq!(limiter.admit(&[Load::new(limit, "alice", burst)], at(0)), Ok(()), "{limit:?}");
        assert!(limiter.admit(&[Load::new(limit, "alice", burst / 2)], at(0)).is_err(), "{limit:?}");
    }
}

#[test]
fn a_clock_that_is_set_back_holds_nobody_back_for_longer_than_a_burst() {
    let limiter = limiter(Rate::new(1, 10));
    assert_eq!(limiter.admit(&[load("alice", 10)], at(3_600_000)), Ok(()));

    let through = (0..60).filter(|second| limiter.admit(&[load("alice", 1)], at(second * 1_000)).is_ok());

    assert_eq!(through.count(), 60, "one a second, from the first on");
    assert_eq!(count(&limiter, "alice", 20, 60_000), 10);
    assert_eq!(count(&limiter, "alice", 20, 61_000), 1);
}

#[test]
fn a_clock_that_is_set_back_leaves_no_slots_that_nobody_can_have() {
    let limiter = limiter(Rate::new(1, 1_000));
    for number in 0..8 * SLOTS as u64 {
        let key = Load::new(Limit::Token, number.to_be_bytes().to_vec(), 500);
        limiter.admit(&[key], at(3_600_000)).unwrap();
    }

    assert_eq!(count(&limiter, "alice", 2_000, 0), 1_000);
}

#[test]
fn a_flood_of_fresh_keys_washes_no_record_away_and_takes_no_memory() {
    let limiter = limiter(Rate::new(1, 1_000));
    assert_eq!(count(&limiter, "flooder", 2_000, 0), 1_000);
    let before = limiter.memory();

    for number in 0..10 * SLOTS as u64 {
        let fresh = Load::new(Limit::Token, number.to_be_bytes().to_vec(), 1);
        assert_eq!(limiter.admit(&[fresh], at(0)), Ok(()));
    }

    assert_eq!(count(&limiter, "flooder", 1_000, 0), 0, "it is remembered");
    assert_eq!(limiter.memory(), before);
    assert_eq!(before, Limit::ALL.len() << 20, "a mebibyte for each limit");
}

#[test]
fn who_does_least_is_forgotten_first() {
    let limiter = limiter(Rate::new(1, 1_000));
    // Half the table of loaded keys, and then twice the table of fresh ones.
    let loaded: Vec<Vec<u8>> = (0..SLOTS as u32 / 2).map(|it| it.to_le_bytes().to_vec()).collect();
    for key in &loaded {
        limiter.admit(&[Load::new(Limit::Token, key.clone(), 500)], at(0)).unwrap();
    }

    for number in 0..2 * SLOTS as u64 {
        limiter.admit(&[Load::new(Limit::Token, number.to_be_bytes().to_vec(), 1)], at(0)).unwrap();
    }

    let kept = loaded
        .iter()
        .filter(|key| limiter.admit(&[Load::new(Limit::Token, (*key).clone(), 501)], at(0)).is_err());
    let forgotten = loaded.len() - kept.count();
    assert!(forgotten < loaded.len() / 20, "{forgotten} of {}", loaded.len());
}

#[test]
fn what_is_told_to_others_is_what_is_in_force() {
    let limits = Limits { source_deliveries: Some(Rate::new(7, 9)), source_bytes: None, ..Limits::default() };

    let told = limits.advertised();

    assert_eq!((told.deliveries_per_s, told.bytes_per_s, told.retry_after_s), (7, u32::MAX, 0));
}

fn limiter(token: Rate) -> Limiter {
    Limiter::new(Limits { token: Some(token), ..Limits::default() }, Secret::new([1; 16]))
}

fn load(key: &'static str, amount: u32) -> Load {
    Load::new(Limit::Token, key, amount)
}

/// How many of so many come through.
fn count(limiter: &Limiter, key: &'static str, of: u32, ms: u64) -> usize {
    (0..of).filter(|_| limiter.admit(&[load(key, 1)], at(ms)).is_ok()).count()
}

fn at(ms: u64) -> Timestamp {
    Timestamp::from_secs(1_700_000_000).plus_millis(ms)
}
