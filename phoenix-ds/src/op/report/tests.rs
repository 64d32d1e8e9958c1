#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use phoenix_core::{
    Pseudonym, Reject,
    api::delivery::{MAX_EVIDENCE, ReportReason, ReportRequest},
    limit::{Limits, Rate},
    wire::{Opaque, Wire},
};

use super::Report;
use crate::testing::{Member, World, rejected};

fn two(world: &World) -> [Member; 2] {
    let [mut a, mut b] = ["alpha.test"; 2].map(|it| Member::new(world, it));
    a.create(world, None).unwrap();
    a.add(world, &mut [&mut b]).unwrap();
    [a, b]
}

#[test]
fn the_operator_is_told_and_nothing_is_kept() {
    let world = World::new();
    let [a, b] = two(&world);
    let before = world.group_rows();

    world.call::<Report>(&a.complaint(b.credential.pseudonym), Some(a.leaf())).unwrap();

    let reported = world.reported();
    assert_eq!(reported.len(), 1);
    assert_eq!(reported[0].group, a.access.as_ref().unwrap().group);
    assert_eq!((reported[0].accused, reported[0].reporter), (b.credential.pseudonym, a.credential.pseudonym));
    assert_eq!((reported[0].reason, &reported[0].evidence[..]), (ReportReason::Spam, &b"what b said"[..]));
    assert_eq!(reported[0].reported_at, world.now());
    assert_eq!(world.group_rows(), before);
    assert!(world.delivered().is_empty(), "no member learns of it");
}

#[test]
fn only_a_member_reports_and_only_another_member() {
    let world = World::new();
    let [a, b] = two(&world);
    let request = a.complaint(b.credential.pseudonym);
    let call = |request: &ReportRequest, signer| rejected(world.call::<Report>(request, signer));

    assert_eq!(call(&a.complaint(Pseudonym([9; 16])), Some(a.leaf())), Reject::NotFound);
    assert_eq!(call(&a.complaint(a.credential.pseudonym), Some(a.leaf())), Reject::Malformed("accused"));
    assert_eq!(call(&request, Some((a.leaf().0, &b.key))), Reject::Unauthenticated);
    assert_eq!(call(&request, None), Reject::Unauthenticated);
    let mut wrong_key = request;
    wrong_key.access.ear_key = [9; 32].into();
    assert_eq!(call(&wrong_key, Some(a.leaf())), Reject::NotFound);
    assert!(world.reported().is_empty());
}

#[test]
fn evidence_is_bounded() {
    let most = Opaque::<MAX_EVIDENCE>::new(vec![1; MAX_EVIDENCE]).unwrap();
    let world = World::new();
    let [a, b] = two(&world);
    let request = ReportRequest { evidence: most, ..a.complaint(b.credential.pseudonym) };

    world.call::<Report>(&request, Some(a.leaf())).unwrap();

    assert_eq!(world.reported()[0].evidence.len(), MAX_EVIDENCE);
    assert!(Opaque::<MAX_EVIDENCE>::new(vec![1; MAX_EVIDENCE + 1]).is_err());
    let mut longer = request.encode().to_vec();
    longer.push(1);
    assert!(ReportRequest::decode(&longer).is_err());
}

#[test]
fn reports_without_end_are_held_back_and_change_nothing_for_whom_they_are_about() {
    let world = World::limited(Limits { leaf_changes: Some(Rate::new(1, 3)), ..Limits::unlimited() });
    let [a, mut b] = two(&world);

    // The commit that added b was the first.
    for _ in 0..2 {
        world.call::<Report>(&a.complaint(b.credential.pseudonym), Some(a.leaf())).unwrap();
    }
    let more = world.call::<Report>(&a.complaint(b.credential.pseudonym), Some(a.leaf()));

    assert_eq!(rejected(more), Reject::RateLimited(1));
    assert_eq!(world.reported().len(), 2);
    world.delivered();
    for number in 0..50_u8 {
        b.send(&world, &[number]).unwrap();
    }
    assert_eq!(world.delivered().len(), 50);
}

#[test]
fn reports_that_nobody_takes_fill_no_memory() {
    let world = World::limited(Limits::unlimited());
    let [a, b] = two(&world);
    let request = a.complaint(b.credential.pseudonym);

    for _ in 0..300 {
        world.call::<Report>(&request, Some(a.leaf())).unwrap();
    }

    assert_eq!(world.reported().len(), 256);
}
