#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use phoenix_core::{
    LeafIndex, Reject, Timestamp,
    api::{
        delivery::{DS_LEAF, Undeliverable},
        queue::ClientQueueConfig,
    },
    crypto::{Chance, Suite},
    time::{DAY, HOUR, MINUTE, Month},
    wire::List,
};

use super::{INACTIVE_S, MOST, is_inactive, room};
use crate::{
    ChangeRoles,
    roster::Roster,
    testing::{Member, World, calendar, rejected},
};

fn group<const N: usize>(world: &World, suite: Suite) -> [Member; N] {
    let mut members = std::array::from_fn(|_| Member::with(world, "alpha.test", suite));
    let (first, others) = members.split_first_mut().unwrap();
    first.create(world, None).unwrap();
    first.add(world, &mut others.iter_mut().collect::<Vec<_>>()).unwrap();
    members
}

/// The return address of a group's messages.
fn back(world: &World, member: &mut Member) -> bytes::Bytes {
    member.send(world, b"x").unwrap();
    world.delivered().remove(0).back
}

fn pending(world: &World, member: &Member) -> Vec<u32> {
    let tree = world.group(member.access.as_ref().unwrap()).tree;
    tree.pending.iter().map(|it| it.leaf.0).collect()
}

#[test]
fn a_month_counts_to_its_end_and_ninety_days_from_there() {
    let month = Month::of(Timestamp::from_secs(1_800_000_000));
    let last = month.plus(1).start().plus_secs(90 * DAY);

    assert_eq!(INACTIVE_S, 90 * DAY);
    assert!(!is_inactive(month, month.start()) && !is_inactive(month, last));
    assert!(is_inactive(month, last.plus_millis(1_000)));
}

#[test]
fn who_has_not_committed_for_long_is_proposed_by_the_ds_in_both_suites() {
    for suite in [Suite::Ed25519, Suite::P256] {
        let world = World::new();
        let [mut a, mut b, mut c] = group(&world, suite);
        calendar::idle(&world, &mut [&mut a, &mut b, &mut c]);
        assert!(pending(&world, &a).is_empty());

        a.update(&world).unwrap();

        let arrived = world.delivered();
        assert_eq!(pending(&world, &a), [1, 2]);
        let told = a.proposals(&arrived);
        assert_eq!(told.iter().map(|it| it.0).collect::<Vec<_>>(), [DS_LEAF; 2]);
        assert!(b.proposals(&arrived) == told && c.proposals(&arrived) == told);
        a.follow(&arrived);
        a.update(&world).unwrap();
        assert_eq!(rejected(b.send(&world, b"too late")), Reject::Unauthenticated);
        assert!(pending(&world, &a).is_empty());
    }
}

#[test]
fn who_was_inactive_withdraws_that_by_a_commit_that_covers_the_others() {
    let world = World::new();
    let [mut a, mut b, mut c] = group(&world, Suite::Ed25519);
    calendar::idle(&world, &mut [&mut a, &mut b, &mut c]);
    a.update(&world).unwrap();
    let arrived = world.delivered();
    b.follow(&arrived[..arrived.len() - 1]);
    assert_eq!(b.epoch(), 3);

    // b covers nobody's removal, then c's.
    assert_eq!(rejected(b.update(&world)), Reject::PendingProposals);
    b.follow(&arrived[arrived.len() - 1..]);
    b.update(&world).unwrap();

    assert!(pending(&world, &b).is_empty());
    a.follow(&arrived);
    a.follow(&world.delivered());
    assert_eq!(a.epoch(), 4);
    assert_eq!(rejected(c.send(&world, b"too late")), Reject::Unauthenticated);
    assert!(b.send(&world, b"still here").is_ok());
    assert!(a.update(&world).is_ok());
}

#[test]
fn a_queue_that_was_gone_twice_an_hour_apart_costs_its_member_the_group() {
    for suite in [Suite::Ed25519, Suite::P256] {
        let world = World::new();
        let [mut a, mut b, c] = group(&world, suite);
        let back = back(&world, &mut a);
        for _ in 0..2 {
            world.tell_gone(&back, &[&b.config]);
            world.advance_s(HOUR - 1);
        }
        a.update(&world).unwrap();
        assert!(pending(&world, &a).is_empty(), "not an hour apart");
        b.follow(&world.delivered());

        world.advance_s(2);
        world.tell_gone(&back, &[&b.config, &c.config]);
        a.update(&world).unwrap();

        let arrived = world.delivered();
        assert_eq!(pending(&world, &a), [b.index()]);
        a.follow(&arrived);
        b.follow(&arrived);
        // Its own commit does not help it.
        assert_eq!(rejected(b.update(&world)), Reject::Forbidden);
        a.update(&world).unwrap();
        let group = world.group(a.access.as_ref().unwrap());
        assert_eq!(group.members.roster.members.len(), 2);
        assert_eq!(group.graveyard.notes.len(), 1, "c's is kept, b's is forgotten");
    }
}

#[test]
fn where_the_queues_of_all_are_gone_nobody_is_proposed() {
    // given a group whose QS has forgotten all its queues, as one that was brought back from an older copy does
    let world = World::new();
    let [mut a, mut b, c] = group(&world, Suite::Ed25519);
    let back = back(&world, &mut a);
    for _ in 0..2 {
        world.tell_gone(&back, &[&a.config, &b.config, &c.config]);
        world.advance_s(HOUR + MINUTE);
    }

    // when somebody commits, then nobody is proposed, since nobody could take that along
    a.update(&world).unwrap();
    assert!(pending(&world, &a).is_empty());

    // and everybody may still commit
    b.follow(&world.delivered());
    b.update(&world).unwrap();
}

#[test]
fn notes_of_a_queue_that_was_replaced_or_is_nobodys_are_forgotten() {
    let world = World::new();
    let [mut a, mut b] = group(&world, Suite::Ed25519);
    let back = back(&world, &mut a);
    let nobodys = Member::fresh_config("alpha.test", &mut Chance::from_seed([40; 32]));
    for _ in 0..2 {
        world.tell_gone(&back, &[&b.config, &nobodys]);
        world.advance_s(HOUR + MINUTE);
    }
    b.update_config(&world, Member::fresh_config("alpha.test", &mut Chance::from_seed([41; 32]))).unwrap();

    a.update(&world).unwrap();

    assert!(pending(&world, &a).is_empty());
    assert!(world.group(a.access.as_ref().unwrap()).graveyard.notes.is_empty());
    assert!(!world.group_rows().iter().any(|(row, _)| *row == crate::kinds::NOTES));
}

#[test]
fn what_the_ds_hears_late_counts_from_when_it_was_seen() {
    let world = World::new();
    let [mut a, b, c] = group(&world, Suite::Ed25519);
    let back = back(&world, &mut a);
    // A lane was held up: b's queue was gone for one minute only, c's for two hours.
    world.tell_gone_late(&back, &[&b.config], HOUR);
    world.tell_gone_late(&back, &[&c.config], 2 * HOUR);
    world.tell_gone(&back, &[&c.config]);
    world.advance_s(2 * HOUR);
    world.tell_gone_late(&back, &[&b.config], 3 * HOUR);

    a.update(&world).unwrap();

    assert_eq!(pending(&world, &a), [c.index()]);
}

#[test]
fn two_mistakes_of_a_qs_long_apart_cost_nobody_the_group_and_two_soon_after_do() {
    let world = World::new();
    let [mut a, b] = group(&world, Suite::Ed25519);
    let back = back(&world, &mut a);
    world.tell_gone(&back, &[&b.config]);
    world.advance_days(61);
    world.tell_gone(&back, &[&b.config]);
    a.update(&world).unwrap();
    a.follow(&world.delivered());
    assert!(pending(&world, &a).is_empty());
    assert_eq!(world.group(a.access.as_ref().unwrap()).graveyard.notes.len(), 1);

    // The one that is left is the first now.
    for apart_s in [HOUR, 2 * MINUTE] {
        world.advance_s(apart_s);
        world.tell_gone(&back, &[&b.config]);
    }
    a.update(&world).unwrap();

    assert_eq!(pending(&world, &a), [b.index()]);
}

#[test]
fn a_homeserver_that_takes_nothing_for_a_week_costs_none_of_its_members_the_group() {
    let world = World::new();
    let [mut a, b, c] = group(&world, Suite::Ed25519);
    let back = back(&world, &mut a);
    let before = world.group_rows();
    for _ in 0..3 {
        world.tell_undelivered(&back, Undeliverable::GivenUp, &[&b.config, &c.config]);
        world.advance_s(HOUR + MINUTE);
    }
    assert_eq!(world.group_rows(), before);

    a.update(&world).unwrap();

    assert!(pending(&world, &a).is_empty());
}

#[test]
fn of_more_queues_that_are_gone_than_have_room_for_notes_some_cost_their_members_the_group() {
    let world = World::new();
    let mut a = Member::new(&world, "alpha.test");
    a.create(&world, None).unwrap();
    a.grow(&world, 70, |_| "alpha.test".to_owned());
    let back = back(&world, &mut a);
    let roster = world.group(a.access.as_ref().unwrap()).members.roster;
    let configs: Vec<_> = roster.others(LeafIndex(a.index())).map(|it| &it.config).collect();
    for _ in 0..2 {
        configs.chunks(60).for_each(|some| world.tell_gone(&back, some));
        world.advance_s(HOUR + MINUTE);
    }

    a.update(&world).unwrap();

    assert_eq!(pending(&world, &a).len(), 32);
    assert_eq!(world.group(a.access.as_ref().unwrap()).graveyard.notes.len(), 64);
}

#[test]
fn members_at_a_blocked_domain_are_proposed_and_nobody_comes_from_there() {
    let world = World::new();
    let [mut a, mut b, mut c] = ["alpha.test", "beta.test", "gamma.test"].map(|it| Member::new(&world, it));
    a.create(&world, None).unwrap();
    a.add(&world, &mut [&mut b, &mut c]).unwrap();
    world.block(&["beta.test"]);

    a.update(&world).unwrap();

    let arrived = world.delivered();
    assert_eq!(pending(&world, &a), [1]);
    b.follow(&arrived);
    assert_eq!(rejected(b.update(&world)), Reject::Forbidden);
    a.follow(&arrived);
    a.update(&world).unwrap();
    assert_eq!(rejected(b.send(&world, b"blocked")), Reject::Unauthenticated);
    // Nobody is added from there, nor goes there, nor begins there.
    let config = |seed| Member::fresh_config("beta.test", &mut Chance::from_seed([seed; 32]));
    c.follow(&arrived);
    assert_eq!(rejected(c.update_config(&world, config(42))), Reject::Forbidden);
    let mut d = Member::new(&world, "beta.test");
    assert_eq!(rejected(a.add(&world, &mut [&mut d])), Reject::Forbidden);
    assert_eq!(rejected(d.create(&world, None)), Reject::Forbidden);
}

#[test]
fn a_group_whose_members_are_all_at_blocked_domains_is_frozen_for_good() {
    let world = World::new();
    let [mut a, mut b] = ["beta.test", "gamma.test"].map(|it| Member::new(&world, it));
    a.create(&world, None).unwrap();
    a.add(&world, &mut [&mut b]).unwrap();
    world.block(&["beta.test", "gamma.test"]);
    a.update(&world).unwrap();
    let arrived = world.delivered();
    [&mut a, &mut b].into_iter().for_each(|it| it.follow(&arrived));

    // Also after the block was lifted: the proposals are stored and sent.
    for _ in 0..2 {
        assert_eq!(pending(&world, &a), [0, 1]);
        for member in [&mut a, &mut b] {
            assert_eq!(rejected(member.update(&world)), Reject::Forbidden);
        }
        world.block(&[]);
    }
    let mut c = Member::new(&world, "alpha.test");
    assert_eq!(rejected(a.add(&world, &mut [&mut c])), Reject::Forbidden);
    assert_eq!(rejected(b.resync(&world)), Reject::Forbidden);
}

#[test]
fn the_ds_proposes_thirty_two_at_once_and_the_others_next() {
    let world = World::new();
    let mut a = Member::new(&world, "alpha.test");
    a.create(&world, None).unwrap();
    a.grow(&world, 35, |_| "alpha.test".to_owned());
    calendar::idle(&world, &mut [&mut a]);

    a.update(&world).unwrap();
    assert_eq!(pending(&world, &a).len(), 32);
    a.follow(&world.delivered());
    a.update(&world).unwrap();

    assert_eq!(pending(&world, &a).len(), 3);
    assert_eq!(world.group(a.access.as_ref().unwrap()).members.roster.members.len(), 4);
}

#[test]
fn who_leaves_meanwhile_brings_no_more_than_thirty_two_into_an_epoch() {
    let world = World::new();
    let [mut a, mut b] = group(&world, Suite::Ed25519);
    a.grow(&world, 35, |_| "alpha.test".to_owned());
    b.resync(&world).unwrap();
    a.follow(&world.delivered());
    calendar::busy(&world, &mut [&mut a, &mut b], 60);
    world.advance_days(70);
    a.update(&world).unwrap();
    let arrived = world.delivered();
    a.follow(&arrived);
    b.follow(&arrived);
    assert_eq!(pending(&world, &a).len(), 32);

    let proposal = b.leaving();
    b.self_remove(&world, proposal).unwrap();

    let arrived = world.delivered();
    assert_eq!(a.proposals(&arrived).iter().map(|it| it.0.0).collect::<Vec<_>>(), [b.index()]);
    assert_eq!(pending(&world, &a).len(), 33);
    a.follow(&arrived);
    a.update(&world).unwrap();
    assert_eq!(pending(&world, &a).len(), 3);
}

#[test]
fn a_key_that_has_ended_signs_for_groups_that_know_no_other_until_they_do() {
    for suite in [Suite::Ed25519, Suite::P256] {
        let world = World::new();
        let [mut a, mut b, mut c] = group(&world, suite);
        // The keys of then ended a month ago.
        calendar::busy(&world, &mut [&mut a, &mut b, &mut c], 266);
        calendar::idle(&world, &mut [&mut a, &mut b, &mut c]);
        let ring = world.engine.ring();
        let listed = world.group(a.access.as_ref().unwrap());
        let listed =
            crate::mls::context::sender_keys(listed.tree.group.group_context().extensions()).unwrap();
        let current = &ring.service.current(suite, world.now()).unwrap().key;
        assert!(!listed.contains(current));

        a.update(&world).unwrap();
        // OpenMLS verifies the signature by the group's own list.
        let arrived = world.delivered();
        assert_eq!(a.proposals(&arrived).len(), 2);
        for it in [&mut a, &mut b, &mut c] {
            it.follow(&arrived);
        }
        // An admin brings the list up to date, and takes the others along.
        let context = b.senders(&ring.service.public(world.now()));
        let outcome = world.call::<ChangeRoles>(&b.changing(context), Some(b.leaf()));
        assert_eq!(rejected(outcome), Reject::Forbidden);
        let context = a.senders(&ring.service.public(world.now()));
        let request = a.changing(context);
        world.call::<ChangeRoles>(&request, Some(a.leaf())).unwrap();

        let group = world.group(a.access.as_ref().unwrap());
        let listed = crate::mls::context::sender_keys(group.tree.group.group_context().extensions()).unwrap();
        assert!(listed.contains(current));
        let (place, key) = ring.service.signer(&listed, suite, world.now()).unwrap();
        assert_eq!((&key.verifying_key().key, &listed[place as usize]), (current, current));
    }
}

#[test]
fn a_group_that_learns_the_next_key_in_time_takes_removals_by_the_last_one_and_then_by_that() {
    for suite in [Suite::Ed25519, Suite::P256] {
        let world = World::new();
        let [mut a, mut b, mut c, mut d] = group(&world, suite);
        let back = back(&world, &mut a);
        let signer = |world: &World, member: &Member| {
            let group = world.group(member.access.as_ref().unwrap());
            let extensions = group.tree.group.group_context().extensions();
            let listed = crate::mls::context::sender_keys(extensions).unwrap();
            let ring = world.engine.ring();
            let (_, key) = ring.service.signer(&listed, suite, world.now()).unwrap();
            (key.verifying_key(), listed.len())
        };
        let last = signer(&world, &a);

        // The next key is published in the month before the last one ends, and is listed beside it.
        calendar::busy(&world, &mut [&mut a, &mut b, &mut c, &mut d], 340);
        let context = a.senders(&world.engine.ring().service.public(world.now()));
        let request = a.changing(context);
        world.call::<ChangeRoles>(&request, Some(a.leaf())).unwrap();
        let arrived = world.delivered();
        [&mut a, &mut b, &mut c, &mut d].into_iter().for_each(|it| it.follow(&arrived));
        let mut signers = Vec::new();
        for gone in [&mut c, &mut d] {
            for _ in 0..2 {
                world.tell_gone(&back, &[&gone.config]);
                world.advance_s(HOUR + MINUTE);
            }
            signers.push(signer(&world, &a));
            a.update(&world).unwrap();
            // OpenMLS verifies the removal by the group's own list; the second commit takes it along.
            let arrived = world.delivered();
            assert_eq!(b.proposals(&arrived).iter().map(|it| it.0).collect::<Vec<_>>(), [DS_LEAF]);
            [&mut a, &mut b].into_iter().for_each(|it| it.follow(&arrived));
            a.update(&world).unwrap();
            let arrived = world.delivered();
            b.follow(&arrived);
            a.follow(&arrived);
            assert_eq!(rejected(gone.send(&world, b"gone")), Reject::Unauthenticated);
            world.advance_days(30);
        }

        // Of both suites.
        assert_eq!((last.1, signers[0].1), (2, 4));
        assert!(signers[0].0 == last.0 && signers[1].0 != last.0);
        let current = world.engine.ring().service.current(suite, world.now()).unwrap().clone();
        assert_eq!(signers[1].0, current);
    }
}

#[test]
fn many_domains_leave_room_for_fewer_proposals_and_for_one_at_least() {
    let world = World::new();
    let mut a = Member::new(&world, "alpha.test");
    a.create(&world, None).unwrap();
    let member = world.group(a.access.as_ref().unwrap()).members.roster.members[0].clone();
    let of = |members: usize, domains: usize| {
        let member = |number: usize| {
            let domain = format!("d{}.test", number % domains).parse().unwrap();
            let config = ClientQueueConfig { domain, ..member.config.clone() };
            crate::roster::Member { leaf: LeafIndex(number as u32), config, ..member.clone() }
        };
        let members = List::new((0..members).map(member).collect()).unwrap();
        let (epoch, closed) = (phoenix_core::Epoch(1), phoenix_core::wire::Flag::Yes);
        room(&Roster { epoch, closed, members })
    };

    assert_eq!(of(1_000, 1), MOST);
    assert_eq!(of(100, 100), MOST);
    assert!((2..MOST).contains(&of(300, 300)));
    assert_eq!(of(1_000, 1_000), 1);
}
