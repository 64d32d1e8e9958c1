#![allow(clippy::unwrap_used, reason = "tests")]

use phoenix_core::{Reject, time::DAY};

use crate::{
    SendMessage, UpdateClient,
    testing::{Member, World, rejected},
};

#[test]
fn a_group_without_a_commit_is_given_up_when_its_alarm_rings_whether_or_not_it_was_dropped() {
    let world = World::new();
    let mut a = Member::new(&world, "alpha.test");
    a.create(&world, None).unwrap();
    let access = a.access.clone().unwrap();
    let created = world.now();
    let alarm = world.partition(&access).alarm.unwrap();

    assert!(alarm >= created.plus_secs(90 * DAY), "too early");
    assert!(alarm <= created.plus_secs((90 + 31 + 2) * DAY), "too late");
    let request = a.message(b"x");
    world.wait_until(alarm);
    world.advance_s(0);
    let outcome = world.call::<SendMessage>(&request, Some(a.leaf()));

    assert_eq!(rejected(outcome), Reject::NotFound);
    assert!(!world.partition(&access).rows.is_empty(), "nothing has swept it");
}

#[test]
fn a_commit_renews_a_group_and_a_message_does_not() {
    let world = World::new();
    let mut a = Member::new(&world, "alpha.test");
    a.create(&world, None).unwrap();
    let access = a.access.clone().unwrap();
    let first = world.partition(&access).alarm.unwrap();

    world.wait_until(world.now().plus_secs(85 * DAY));
    a.send(&world, b"x").unwrap();
    let unchanged = world.partition(&access).alarm.unwrap();
    let commit = a.commit(Vec::new(), &[], 0);
    world.call::<UpdateClient>(&commit.request, Some(a.leaf())).unwrap();
    a.merge();

    assert_eq!(unchanged, first);
    assert!(world.partition(&access).alarm.unwrap() >= world.now().plus_secs(90 * DAY));
    world.wait_until(first);
    assert!(a.send(&world, b"still here").is_ok());
}
