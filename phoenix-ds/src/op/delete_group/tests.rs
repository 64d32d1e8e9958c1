#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use futures::executor::block_on;
use phoenix_core::{
    Reject, Timestamp,
    api::{
        delivery::{CommitAccepted, CommitRequest, ContentKind, CreateGroupRequest},
        queue::NotifyClass,
    },
    crypto::sha256,
    group::ContentHead,
    port::{Space, Store as _},
    time::DAY,
    wire::{Opaque, Wire},
};

use super::DeleteGroup;
use crate::{
    CreateGroup, RemoveUsers, SendMessage, UpdateClient,
    kinds::BARRED,
    testing::{Member, World, rejected},
};

fn three(world: &World) -> [Member; 3] {
    let [mut a, mut b, mut c] = ["alpha.test", "alpha.test", "beta.test"].map(|it| Member::new(world, it));
    a.create(world, None).unwrap();
    a.add(world, &mut [&mut b, &mut c]).unwrap();
    [a, b, c]
}

#[test]
fn all_learn_of_a_groups_end_after_what_was_sent_before_and_nothing_is_left_of_it() {
    let world = World::new();
    let [mut a, mut b, c] = three(&world);
    b.send(&world, b"before the end").unwrap();
    let commit = a.ending().request;

    let accepted = world.call::<DeleteGroup>(&commit, Some(a.leaf())).unwrap();

    assert_eq!(accepted.epoch.0, 2);
    let mut told = Vec::new();
    for arrived in world.delivered() {
        let content =
            ContentHead::of(&arrived.message).open(&commit.access.ear_key, &arrived.message.content);
        let content = content.unwrap();
        for recipient in &arrived.message.recipients {
            told.push((content.kind, recipient.config.clone(), content.message.clone()));
        }
        if content.kind != ContentKind::Application {
            assert_eq!(arrived.message.notify, NotifyClass::Silent);
        }
    }
    let of = |kind| told.iter().filter(move |(it, ..)| *it == kind).collect::<Vec<_>>();
    let last = told.iter().rposition(|(kind, ..)| *kind == ContentKind::Application).unwrap();
    assert!(told[last + 1..].iter().all(|(kind, ..)| *kind != ContentKind::Application));
    let commits = of(ContentKind::Commit);
    assert_eq!(commits.len(), 2);
    for member in [&b, &c] {
        assert!(commits.iter().any(|(_, to, sent)| *to == member.config.sealed && *sent == commit.commit));
    }
    let [(_, to, confirmed)] = of(ContentKind::CommitAccepted)[..] else { panic!("one confirmation") };
    assert_eq!(*to, a.config.sealed);
    let expected = CommitAccepted { epoch: accepted.epoch, hash: sha256(&commit.commit) };
    assert_eq!(CommitAccepted::decode(confirmed).unwrap(), expected);
    let left = world.partition(&commit.access).rows;
    assert_eq!(left, [(BARRED, bytes::Bytes::new())]);
}

#[test]
fn a_deleted_group_is_to_every_caller_as_if_it_had_never_been() {
    let world = World::new();
    let [mut a, mut b, _c] = three(&world);
    let late = b.message(b"late");
    let commit = a.ending().request;
    world.call::<DeleteGroup>(&commit, Some(a.leaf())).unwrap();

    assert_eq!(rejected(world.call::<SendMessage>(&late, Some(b.leaf()))), Reject::NotFound);
    for leaf in [a.leaf(), b.leaf()] {
        assert_eq!(rejected(world.call::<DeleteGroup>(&commit, Some(leaf))), Reject::NotFound);
    }
    assert_eq!(rejected(world.call::<UpdateClient>(&commit, Some(a.leaf()))), Reject::NotFound);
}

#[test]
fn the_id_of_a_deleted_group_is_barred_for_ninety_days() {
    let world = World::new();
    let mut a = Member::new(&world, "alpha.test");
    let creation: CreateGroupRequest = a.creation(&world, None);
    world.call::<CreateGroup>(&creation, Some(a.new_key())).unwrap();
    let commit = a.ending().request;
    world.call::<DeleteGroup>(&commit, Some(a.leaf())).unwrap();

    // The reservation is valid still.
    let again = world.call::<CreateGroup>(&creation, Some(a.new_key()));

    assert_eq!(rejected(again), Reject::AlreadyExists);
    let due = |day: u64| {
        let at: Timestamp = world.now().plus_secs(day * DAY);
        block_on(world.store.due(Space::Ds, at, 10)).unwrap().len()
    };
    // Far alarms are rounded up to whole days, and up to one more.
    assert_eq!([due(90), due(92)], [0, 1]);
}

#[test]
fn the_id_of_a_deleted_group_is_free_again_once_its_bar_has_expired() {
    let world = World::new();
    let mut a = Member::new(&world, "alpha.test");
    let mut creation: CreateGroupRequest = a.creation(&world, None);
    world.call::<CreateGroup>(&creation, Some(a.new_key())).unwrap();
    let commit = a.ending().request;
    world.call::<DeleteGroup>(&commit, Some(a.leaf())).unwrap();
    // A reservation of the same id, which nobody draws twice.
    let reserve = |creation: &mut CreateGroupRequest| {
        creation.reservation.expires = world.now().plus_secs(60).as_secs();
        creation.reservation = world.reservation_of(&world, creation);
    };

    world.advance_days(89);
    world.advance_s(DAY - 1);
    world.sweep();
    reserve(&mut creation);
    let barred = world.call::<CreateGroup>(&creation, Some(a.new_key()));
    assert_eq!(rejected(barred), Reject::AlreadyExists);
    // Far alarms are rounded up to whole days, and up to one more.
    world.advance_days(2);
    world.advance_s(1);
    world.sweep();

    assert_eq!(world.partition(&commit.access).mark, None);
    reserve(&mut creation);
    world.call::<CreateGroup>(&creation, Some(a.new_key())).unwrap();
}

#[test]
fn a_group_of_one_ends_too() {
    let world = World::new();
    let mut a = Member::new(&world, "alpha.test");
    a.create(&world, None).unwrap();
    let commit = a.ending().request;

    world.call::<DeleteGroup>(&commit, Some(a.leaf())).unwrap();

    assert_eq!(world.partition(&commit.access).rows.len(), 1);
}

#[test]
fn only_admins_end_a_group_and_only_by_removing_all_others_and_nothing_else() {
    let world = World::new();
    let [mut a, mut b, c] = three(&world);
    let before = world.group_rows();
    let by_b = b.ending().request;
    let leaving_c = a.commit(Vec::new(), &[b.index()], 0).request;
    let nobody = a.commit(Vec::new(), &[], 0).request;
    let mut d = Member::new(&world, "alpha.test");
    let package = d.package(&world);
    let adding = a.commit(vec![package], &[b.index(), c.index()], 1).request;

    assert_eq!(rejected(world.call::<DeleteGroup>(&by_b, Some(b.leaf()))), Reject::Forbidden);
    for (commit, what) in [(leaving_c, "proposals"), (nobody, "proposals"), (adding, "proposal")] {
        assert_eq!(rejected(world.call::<DeleteGroup>(&commit, Some(a.leaf()))), Reject::Malformed(what));
    }
    let ending = a.ending().request;
    assert_eq!(rejected(world.call::<DeleteGroup>(&ending, Some(b.leaf()))), Reject::Forbidden);
    assert_eq!(world.group_rows(), before);
    // As a removal, it leaves the group with one member.
    assert!(world.call::<RemoveUsers>(&ending, Some(a.leaf())).is_ok());
}

#[test]
fn who_is_about_to_leave_is_taken_along_by_the_end() {
    let world = World::new();
    let [mut a, mut b, mut c] = three(&world);
    let uncovered = a.ending().request;
    let proposal = b.leaving();
    b.self_remove(&world, proposal.clone()).unwrap();
    world.delivered();

    let outcome = world.call::<DeleteGroup>(&uncovered, Some(a.leaf()));
    assert_eq!(rejected(outcome), Reject::PendingProposals);
    a.hear(&proposal);
    let commit = a.commit(Vec::new(), &[c.index()], 0).request;
    assert_eq!(world.call::<DeleteGroup>(&commit, Some(a.leaf())).unwrap().epoch.0, 2);

    c.hear(&proposal);
    let told = world.delivered();
    assert!([&b, &c].iter().all(|it| it.contents(&told).iter().any(|it| it.message == commit.commit)));
    assert_eq!(world.partition(&commit.access).rows, [(BARRED, bytes::Bytes::new())]);
}

#[test]
fn an_admin_that_waits_to_be_removed_ends_nothing() {
    let world = World::new();
    let [mut a, ..] = three(&world);
    let commit = a.ending().request;
    let proposal = a.leaving();
    a.self_remove(&world, proposal).unwrap();

    assert_eq!(rejected(world.call::<DeleteGroup>(&commit, Some(a.leaf()))), Reject::Forbidden);
}

#[test]
fn a_commit_of_another_epoch_or_with_another_group_info_ends_nothing() {
    let world = World::new();
    let [mut a, ..] = three(&world);
    let ending = a.ending().request;
    let mut forged = ending.clone();
    let mut signature = forged.group_info.signature.to_vec();
    signature[0] ^= 1;
    forged.group_info.signature = Opaque::new(signature).unwrap();
    let forged: CommitRequest = forged;

    assert_eq!(rejected(world.call::<DeleteGroup>(&forged, Some(a.leaf()))), Reject::Malformed("group info"));
    let commit = a.commit(Vec::new(), &[], 0).request;
    world.call::<UpdateClient>(&commit, Some(a.leaf())).unwrap();
    assert_eq!(rejected(world.call::<DeleteGroup>(&ending, Some(a.leaf()))), Reject::Conflict(Some(2)));
    assert!(world.partition(&ending.access).rows.len() > 1);
}
