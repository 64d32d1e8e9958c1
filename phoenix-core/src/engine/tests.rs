//! A small service proves the driver: a counter that can be raised, read, awaited, and that sends to itself.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod counter;
mod lanes;
mod log;
mod pushes;
mod rules;
mod world;

use futures::{FutureExt, executor::block_on, future::join_all};

use crate::{Failure, Reject, operation::Fare, port::Space, time::HOUR, token::Class};
use counter::{Ask, Carry, Tick};
use world::World;
pub(super) use world::yield_now;

fn rejected<T>(outcome: Result<T, Failure>) -> Reject {
    match outcome {
        Err(Failure::Refused(refusal)) => refusal.reject,
        Err(Failure::Broken(fault)) => panic!("{fault}"),
        Ok(_) => panic!("accepted"),
    }
}

#[test]
fn a_token_is_spent_by_what_it_pays_for_and_never_again() {
    let world = World::new();
    let token = world.token(Class::Standard);

    let first = block_on(world.add(1, Some(token.clone())));
    let second = block_on(world.add(1, Some(token)));

    assert_eq!(first.unwrap(), 1);
    assert_eq!(rejected(second), Reject::TokenSpent);
    assert_eq!(world.count(), 1);
}

#[test]
fn one_token_in_many_calls_at_once_pays_for_one() {
    let world = World::new();
    let token = world.token(Class::Standard);

    let calls = (0..64).map(|_| world.add(1, Some(token.clone())));
    let outcomes = block_on(join_all(calls));

    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert_eq!(world.count(), 1);
}

#[test]
fn a_call_without_its_token_changes_nothing() {
    let world = World::new();
    let foreign = world.token(Class::Contact);

    assert_eq!(rejected(block_on(world.add(1, None))), Reject::TokenRequired);
    assert_eq!(rejected(block_on(world.add(1, Some(foreign)))), Reject::TokenRequired);
    assert_eq!(world.store.dump().len(), 0);
}

#[test]
fn a_refusal_spends_the_token_and_writes_what_it_holds() {
    let world = World::new();
    let (plain, counted) = (world.token(Class::Standard), world.token(Class::Standard));

    let forbidden = block_on(world.add(counter::FORBIDDEN, Some(plain.clone())));
    let again = block_on(world.add(1, Some(plain)));
    let noted = block_on(world.add(counter::REFUSED_BUT_COUNTED, Some(counted)));

    assert_eq!(rejected(forbidden), Reject::Forbidden);
    assert_eq!(rejected(again), Reject::TokenSpent);
    assert_eq!(rejected(noted), Reject::RateLimited(7));
    assert_eq!(world.count(), counter::REFUSED_BUT_COUNTED);
}

#[test]
fn calls_that_race_are_decided_one_after_the_other() {
    let world = World::new();

    let calls = (0..16).map(|_| world.add(1, Some(world.token(Class::Standard))));
    let outcomes = block_on(join_all(calls));

    assert!(outcomes.iter().all(Result::is_ok));
    assert_eq!(world.count(), 16);
}

#[test]
fn a_decision_on_a_stale_state_is_decided_anew() {
    let world = World::new();
    block_on(world.add(1, Some(world.token(Class::Standard)))).unwrap();
    world.clock.interfere_once(&world.store);

    let reply = block_on(world.add(1, Some(world.token(Class::Standard))));

    assert_eq!(reply.unwrap(), counter::INTERFERED + 1);
    assert_eq!(world.count(), counter::INTERFERED + 1);
}

#[test]
fn a_reader_waits_until_something_comes() {
    let world = World::new();
    world.clock.freeze();

    let reading = world.await_at_least(1);
    let (read, added) = block_on(async {
        let mut reading = Box::pin(reading);
        assert!((&mut reading).now_or_never().is_none(), "nothing is there yet");
        let added = world.add(1, Some(world.token(Class::Standard))).await;
        (reading.await, added)
    });

    assert_eq!(added.unwrap(), 1);
    assert_eq!(read.unwrap(), 1);
}

#[test]
fn a_reader_waits_no_longer_than_it_said() {
    let world = World::new();

    let read = block_on(world.await_at_least(1));

    assert_eq!(read.unwrap(), 0);
    assert_eq!(world.clock.elapsed_s(), 30);
}

#[test]
fn what_only_the_caller_needs_is_computed_after_the_commit() {
    let world = World::new();

    let reply = block_on(world.engine.internal::<Ask>(5, Fare::Free));

    assert_eq!(reply.unwrap(), 25);
    assert_eq!(world.count(), 5);
}

#[test]
fn a_delivery_arrives_once_and_in_order() {
    let world = World::new();
    for amount in [counter::SEND_ONE, counter::SEND_TWO, counter::SEND_ONE] {
        block_on(world.add(amount, Some(world.token(Class::Standard)))).unwrap();
    }

    block_on(world.lanes().flush_all());
    block_on(world.lanes().flush_all());

    assert_eq!(world.courier.carried(), [1, 2, 1]);
}

#[test]
fn an_empty_lane_is_forgotten_once_no_slow_worker_can_have_a_row_of_it_in_hand() {
    let world = World::new();
    block_on(world.add(counter::SEND_ONE, Some(world.token(Class::Standard)))).unwrap();
    block_on(world.lanes().flush_all());
    let lane = world.partitions(Space::Lane).remove(0);

    block_on(world.add(counter::SEND_TWO, Some(world.token(Class::Standard)))).unwrap();
    let row = crate::store::number_key(0);
    let slow = block_on(world.engine.internal::<Carry>(1, Fare::Row { lane, row }));

    assert_eq!(rejected(slow), Reject::Conflict(None), "the second row is not the first again");
    block_on(world.lanes().flush_all());
    world.clock.advance_s(HOUR - 1);
    block_on(world.lanes().flush_all());
    assert!(!world.partitions(Space::Lane).is_empty());
    world.clock.advance_s(1);
    block_on(world.lanes().flush_all());
    assert!(world.partitions(Space::Lane).is_empty());
    assert_eq!(world.courier.carried(), [1, 2]);
}

#[test]
fn a_delivery_that_cannot_be_carried_is_set_aside_and_holds_nobody_up() {
    let world = World::new();
    for amount in [counter::SEND_UNWANTED, counter::SEND_TWO] {
        block_on(world.add(amount, Some(world.token(Class::Standard)))).unwrap();
    }

    block_on(world.lanes().flush_all());

    assert_eq!(world.courier.carried(), [2]);
    let kept = world.store.dump().into_iter().filter(|(at, found)| {
        at.space() == Space::Lane && found.rows.iter().any(|(row, _)| *row == crate::store::number_key(0))
    });
    assert_eq!(kept.count(), 1, "the operator can still find it");
}

#[test]
fn a_frame_is_accepted_once() {
    let world = World::new();
    let call = world.signed(1, false);

    let first = block_on(world.sign(call.clone()));
    let replayed = block_on(world.sign(call));

    assert_eq!(first.unwrap(), 1);
    assert_eq!(rejected(replayed), Reject::Unauthenticated);
    assert_eq!(world.count(), 1);
}

#[test]
fn a_frame_that_nobody_signed_leaves_no_trace() {
    let world = World::new();
    let mut moved = world.signed(1, false);
    moved.body = crate::wire::Opaque::new(crate::wire::Wire::encode(&2_u64)).unwrap();
    let mut late = world.signed(1, false);
    late.auth.as_mut().unwrap().issued_at -= crate::operation::FRAME_WINDOW_S + 1;

    for call in [world.signed(1, true), moved, late] {
        assert_eq!(rejected(block_on(world.sign(call))), Reject::Unauthenticated);
    }

    assert!(world.store.dump().is_empty());
}

#[test]
fn two_workers_on_one_lane_carry_each_row_once() {
    let world = World::new();
    for amount in [counter::SEND_ONE, counter::SEND_TWO] {
        block_on(world.add(amount, Some(world.token(Class::Standard)))).unwrap();
    }
    let (one, two) = (world.lanes(), world.lanes());

    block_on(async { futures::join!(one.flush_all(), two.flush_all()) });

    assert_eq!(world.courier.carried(), [1, 2]);
}

#[test]
fn an_alarm_ticks_once_and_spent_tokens_go_with_their_key() {
    let world = World::new();
    block_on(world.add(3, Some(world.token(Class::Standard)))).unwrap();
    let alarms = world.alarms();

    block_on(alarms.run_once());
    assert_eq!(world.count(), 3, "the alarm has not rung");
    world.clock.advance_s(counter::ALARM_S);
    block_on(alarms.run_once());
    block_on(alarms.run_once());
    assert_eq!(world.count(), 3 + counter::TICKED);

    world.clock.advance_s(40 * crate::time::DAY);
    block_on(alarms.run_once());
    assert!(world.partitions(Space::Spent).is_empty());
}

#[test]
fn a_tick_whose_alarm_was_put_off_meanwhile_does_not_stop_the_later_one() {
    let world = World::new();
    block_on(world.add(1, Some(world.token(Class::Standard)))).unwrap();
    let partition = world.partitions(Space::As).remove(0);

    let ticked = block_on(world.engine.internal::<Tick>(0, Fare::Alarm(partition)));

    assert!(ticked.is_ok());
    assert_eq!(world.count(), 1 + counter::TICKED);
}

#[test]
fn nothing_on_the_disk_tells_which_partitions_were_written_together() {
    let world = World::new();

    block_on(world.add(counter::SEND_ONE, Some(world.token(Class::Standard)))).unwrap();

    let mut marks: Vec<_> = world.store.dump().into_iter().map(|(_, found)| found.mark).collect();
    let partitions = marks.len();
    marks.sort();
    marks.dedup();
    assert!(partitions >= 3);
    assert_eq!(marks.len(), partitions);
}

#[test]
fn a_store_that_fails_around_a_commit_leaves_no_effect_unpaid() {
    for call in 0..12 {
        for before in [true, false] {
            let world = World::failing(call, before);
            let token = world.token(Class::Standard);

            let outcome = block_on(world.add(1, Some(token.clone())));

            let spent = !world.partitions(Space::Spent).is_empty();
            assert_eq!(spent, world.count() == 1, "call {call}, before {before}: {outcome:?}");
        }
    }
}

#[test]
fn a_call_dropped_at_any_await_leaves_all_or_nothing() {
    for polls in 0..24 {
        let world = World::yielding();
        let token = world.token(Class::Standard);
        let mut call = Box::pin(world.add(1, Some(token.clone())));
        for _ in 0..polls {
            if (&mut call).now_or_never().is_some() {
                break;
            }
        }
        drop(call);

        let spent = !world.partitions(Space::Spent).is_empty();
        assert_eq!(spent, world.count() == 1, "after {polls} polls");
    }
}

#[test]
fn an_operation_reaches_no_partition_of_another_service() {
    let world = World::new();

    block_on(world.add(1, Some(world.token(Class::Standard)))).unwrap();

    for space in [Space::Qs, Space::Ds, Space::Peers] {
        assert!(world.partitions(space).is_empty());
    }
}
