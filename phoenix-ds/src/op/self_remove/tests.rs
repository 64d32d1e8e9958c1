#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use phoenix_core::{
    LeafIndex, Reject,
    api::delivery::{DS_LEAF, Mls},
    crypto::Suite,
};

use super::SelfRemove;
use crate::testing::{Member, World, calendar, rejected};

/// A group of these domains' members, the first of which made it.
fn group<const N: usize>(world: &World, suite: Suite) -> [Member; N] {
    let mut members = std::array::from_fn(|_| Member::with(world, "alpha.test", suite));
    let (first, others) = members.split_first_mut().unwrap();
    first.create(world, None).unwrap();
    first.add(world, &mut others.iter_mut().collect::<Vec<_>>()).unwrap();
    members
}

#[test]
fn who_asks_to_leave_is_gone_with_the_next_commit_in_both_suites() {
    for suite in [Suite::Ed25519, Suite::P256] {
        for leave in [Member::leaving, Member::removing_itself] {
            let world = World::new();
            let [mut a, mut b, mut c] = group(&world, suite);
            let proposal = leave(&mut b);

            let accepted = b.self_remove(&world, proposal.clone()).unwrap();

            assert_eq!(accepted.epoch.0, 1);
            let arrived = world.delivered();
            for other in [&a, &c] {
                assert_eq!(other.proposals(&arrived), [(LeafIndex(1), proposal.clone())]);
            }
            assert!(b.proposals(&arrived).is_empty());
            a.follow(&arrived);
            c.follow(&arrived);
            c.update(&world).unwrap();
            a.follow(&world.delivered());
            assert_eq!(a.epoch(), 2);
            let left = world.group(a.access.as_ref().unwrap());
            assert_eq!(left.members.roster.members.len(), 2);
            assert!(left.tree.pending.is_empty());
            b.forget_proposals();
            assert_eq!(rejected(b.send(&world, b"still here?")), Reject::Unauthenticated);
        }
    }
}

#[test]
fn asking_twice_is_answered_like_the_first_time_and_changes_nothing() {
    let world = World::new();
    let [_a, mut b] = group(&world, Suite::Ed25519);
    let [first, second] = [b.leaving(), b.removing_itself()];
    b.self_remove(&world, first).unwrap();
    world.delivered();
    let before = world.group_rows();

    assert_eq!(b.self_remove(&world, second).unwrap().epoch.0, 1);

    assert_eq!(world.group_rows(), before);
    assert!(world.delivered().is_empty());
}

#[test]
fn a_proposal_is_of_the_current_epoch() {
    let world = World::new();
    let [mut a, mut b] = group(&world, Suite::Ed25519);
    let old = b.leaving();
    a.update(&world).unwrap();

    assert_eq!(rejected(b.self_remove(&world, old)), Reject::Conflict(Some(2)));
}

#[test]
fn nobody_proposes_what_is_not_its_own_leave() {
    let world = World::new();
    let [mut a, mut b, mut c] = group(&world, Suite::Ed25519);
    let before = world.group_rows();
    let refused = Reject::Malformed("proposal");

    let another = b.proposing_removal(2);
    assert_eq!(rejected(b.self_remove(&world, another)), refused);
    // Nor does an admin: it commits.
    let another = a.proposing_removal(1);
    assert_eq!(rejected(a.self_remove(&world, another)), refused);
    for anothers in [c.leaving(), c.removing_itself()] {
        assert_eq!(rejected(b.self_remove(&world, anothers)), refused);
    }
    let commit = b.commit(Vec::new(), &[], 0).request.commit;
    assert_eq!(rejected(b.self_remove(&world, commit)), Reject::TooLarge("proposal"));
    assert_eq!(rejected(b.self_remove(&world, Mls::default())), refused);
    let mut bent = b.leaving().to_vec();
    let place = bent.len() - 40;
    bent[place] ^= 1;
    assert_eq!(rejected(b.self_remove(&world, Mls::new(bent).unwrap())), refused);
    assert_eq!(world.group_rows(), before);
}

#[test]
fn a_self_remove_is_for_groups_in_which_all_leaves_list_it_and_a_remove_is_for_all() {
    let world = World::new();
    let [mut a, mut b, mut c] = ["alpha.test"; 3].map(|it| Member::new(&world, it));
    c.lists = Vec::new();
    a.create(&world, None).unwrap();
    a.add(&world, &mut [&mut b, &mut c]).unwrap();
    let [modern, plain] = [b.leaving(), b.removing_itself()];

    assert_eq!(rejected(b.self_remove(&world, modern)), Reject::Malformed("proposal"));
    b.self_remove(&world, plain).unwrap();
    a.follow(&world.delivered());
    assert!(a.update(&world).is_ok());
}

#[test]
fn the_last_whose_commit_could_be_taken_stays() {
    let world = World::new();
    let mut alone = Member::new(&world, "alpha.test");
    alone.create(&world, None).unwrap();
    let proposal = alone.removing_itself();
    assert_eq!(rejected(alone.self_remove(&world, proposal)), Reject::Forbidden);

    let [mut a, mut b] = group(&world, Suite::Ed25519);
    let [of_a, of_b] = [&mut a, &mut b].map(Member::leaving);
    a.self_remove(&world, of_a).unwrap();
    assert_eq!(rejected(b.self_remove(&world, of_b)), Reject::Forbidden);
    b.forget_proposals();
    b.follow(&world.delivered());
    assert!(b.update(&world).is_ok());
}

#[test]
fn a_proposal_has_a_bound_that_is_the_stores() {
    let world = World::new();
    let [_a, mut b] = group(&world, Suite::Ed25519);
    let mut sized = |aad: usize| {
        b.group.as_mut().unwrap().set_aad(vec![0; aad]);
        b.leaving()
    };
    let length = sized(100).len() - 100;

    let [fits, more] = [960 - length, 961 - length].map(&mut sized);

    assert_eq!([fits.len(), more.len()], [960, 961]);
    assert_eq!(rejected(b.self_remove(&world, more)), Reject::TooLarge("proposal"));
    assert!(b.self_remove(&world, fits).is_ok());
}

#[test]
fn who_was_away_for_long_is_not_told_off_for_leaving() {
    let world = World::new();
    let [mut a, mut b, mut c] = group(&world, Suite::Ed25519);
    calendar::idle(&world, &mut [&mut b, &mut a, &mut c]);
    let proposal = b.leaving();

    b.self_remove(&world, proposal).unwrap();

    // The DS decrypted the group, and found the two others inactive.
    let arrived = world.delivered();
    let from: Vec<_> = a.proposals(&arrived).into_iter().map(|(from, _)| from).collect();
    assert_eq!(from, [LeafIndex(1), DS_LEAF, DS_LEAF]);
    for it in [&mut a, &mut c] {
        it.follow(&arrived);
    }
    a.update(&world).unwrap();
    assert_eq!(world.group(a.access.as_ref().unwrap()).members.roster.members.len(), 1);
}

#[test]
fn a_frame_of_another_key_asks_for_nobody() {
    let world = World::new();
    let [a, mut b] = group(&world, Suite::Ed25519);
    let (access, proposal) = (b.access.clone().unwrap(), b.leaving());
    let request = phoenix_core::api::delivery::SelfRemoveRequest { access, proposal };

    let forged = (b.leaf().0, &a.key);

    assert_eq!(rejected(world.call::<SelfRemove>(&request, Some(forged))), Reject::Unauthenticated);
}
