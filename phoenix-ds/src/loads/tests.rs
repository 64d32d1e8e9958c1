#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use phoenix_core::{
    Failure, Reject,
    limit::{Limits, Rate},
};

use crate::{
    SendMessage, UpdateClient,
    testing::{Member, World, rejected},
};

#[test]
fn a_member_sends_so_many_messages_and_the_others_are_none_the_worse() {
    let limits = Limits {
        leaf_messages: Some(Rate::new(1, 3)),
        group: Some(Rate::new(1, 100)),
        ..Limits::unlimited()
    };
    let world = World::limited(limits);
    let (mut a, mut b) = pair(&world);

    let flood: Vec<_> = (0..50).map(|_| a.send(&world, b"flood")).collect();

    assert_eq!(flood.iter().filter(|sent| sent.is_ok()).count(), 3);
    assert_eq!(rejected(a.send(&world, b"more")), Reject::RateLimited(1));
    assert_eq!(world.delivered().len(), 3);
    for _ in 0..3 {
        b.send(&world, b"from b").unwrap();
    }
    world.advance_s(1);
    assert!(a.send(&world, b"when told to").is_ok());
    assert_eq!(rejected(a.send(&world, b"and no more")), Reject::RateLimited(1));
}

#[test]
fn a_group_takes_so_much_of_all_its_members_together_and_another_group_is_none_the_worse() {
    let world = World::limited(Limits { group: Some(Rate::new(1, 6)), ..Limits::unlimited() });
    let (mut a, mut b) = pair(&world);
    let (mut c, _d) = pair(&world);

    // The commit that added b was the first.
    let sent: Vec<_> =
        (0..10).map(|number| if number % 2 == 0 { &mut a } else { &mut b }.send(&world, b"x")).collect();

    assert_eq!(sent.iter().filter(|sent| sent.is_ok()).count(), 5);
    assert_eq!(rejected(b.send(&world, b"x")), Reject::RateLimited(1));
    assert_eq!(rejected(commit(&world, &mut a)), Reject::RateLimited(1));
    c.send(&world, b"elsewhere").unwrap();
    world.advance_s(6);
    for _ in 0..6 {
        a.send(&world, b"again").unwrap();
    }
}

#[test]
fn a_member_commits_so_often_and_still_sends_messages() {
    let world = World::limited(Limits { leaf_changes: Some(Rate::new(1, 3)), ..Limits::unlimited() });
    let (mut a, _b) = pair(&world);

    for _ in 0..2 {
        commit(&world, &mut a).unwrap();
        a.merge();
    }

    assert_eq!(rejected(commit(&world, &mut a)), Reject::RateLimited(1));
    a.send(&world, b"hello").unwrap();
    world.advance_s(1);
    commit(&world, &mut a).unwrap();
}

#[test]
fn a_repeat_and_a_stranger_count_for_nobody() {
    let world = World::limited(Limits { leaf_messages: Some(Rate::new(1, 2)), ..Limits::unlimited() });
    let (mut a, b) = pair(&world);
    let request = a.message(b"once");
    for _ in 0..10 {
        world.call::<SendMessage>(&request, Some(a.leaf())).unwrap();
        let forged = (a.leaf().0, &b.key);
        assert_eq!(rejected(world.call::<SendMessage>(&request, Some(forged))), Reject::Unauthenticated);
    }

    a.send(&world, b"twice").unwrap();
    assert_eq!(rejected(a.send(&world, b"three times")), Reject::RateLimited(1));
}

#[test]
fn what_is_counted_leaves_no_trace_on_the_disk() {
    let world = World::limited(Limits { leaf_messages: Some(Rate::new(1, 1)), ..Limits::unlimited() });
    let (mut a, _b) = pair(&world);
    a.send(&world, b"x").unwrap();
    let before = world.group_rows();

    assert!(a.send(&world, b"y").is_err());

    assert_eq!(world.group_rows(), before);
}

fn pair(world: &World) -> (Member, Member) {
    let [mut a, mut b] = ["alpha.test", "alpha.test"].map(|it| Member::new(world, it));
    a.create(world, None).unwrap();
    a.add(world, &mut [&mut b]).unwrap();
    (a, b)
}

fn commit(world: &World, member: &mut Member) -> Result<(), Failure> {
    let commit = member.commit(Vec::new(), &[], 0);
    world.call::<UpdateClient>(&commit.request, Some(member.leaf())).map(drop)
}
