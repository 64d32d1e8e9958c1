#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use openmls::prelude::Lifetime;
use phoenix_core::{
    Epoch, KeyPackageRef, Reject, Timestamp, api::delivery::WelcomeInfoRequest, crypto::Chance, time::DAY,
    wire::Sender,
};

use super::WelcomeInfo;
use crate::{
    AddUsers, UpdateClient,
    testing::{Member, World, calendar, rejected},
};

#[test]
fn a_joiner_gets_the_state_of_its_epoch_also_after_later_commits() {
    let world = World::new();
    let [mut a, mut b] = ["alpha.test"; 2].map(|it| Member::new(&world, it));
    a.create(&world, None).unwrap();
    let request = a.adding(&world, &mut [&mut b]);
    world.call::<AddUsers>(&request, Some(a.leaf())).unwrap();
    a.merge();
    let welcome = world.delivered().remove(1).message.content;
    let commit = a.commit(Vec::new(), &[], 0);
    world.call::<UpdateClient>(&commit.request, Some(a.leaf())).unwrap();

    b.join(&world, &welcome);

    assert_eq!(b.epoch(), 1);
    b.process(&commit.request.commit);
    assert_eq!(b.epoch(), 2);
}

#[test]
fn only_the_joiner_itself_gets_it_for_its_own_epoch() {
    let world = World::new();
    let [mut a, mut b] = ["alpha.test"; 2].map(|it| Member::new(&world, it));
    a.create(&world, None).unwrap();
    let request = a.adding(&world, &mut [&mut b]);
    world.call::<AddUsers>(&request, Some(a.leaf())).unwrap();
    let access = a.access.clone().unwrap();
    let asked = WelcomeInfoRequest { access: access.clone(), epoch: Epoch(1), package: b.reference() };
    let other_package = KeyPackageRef([1; 32]);

    let other_key = (b.joiner(&access).0, &a.key);
    assert_eq!(rejected(world.call::<WelcomeInfo>(&asked, Some(other_key))), Reject::Unauthenticated);
    let other = (Sender::KeyPackage(access.group.clone(), other_package), &b.key);
    assert_eq!(rejected(world.call::<WelcomeInfo>(&asked, Some(other))), Reject::Unauthenticated);
    let other_epoch = WelcomeInfoRequest { epoch: Epoch(2), ..asked.clone() };
    let outcome = world.call::<WelcomeInfo>(&other_epoch, Some(b.joiner(&access)));
    assert_eq!(rejected(outcome), Reject::NotFound);
    assert!(world.call::<WelcomeInfo>(&asked, Some(b.joiner(&access))).is_ok());
}

#[test]
fn nobody_joins_by_a_package_that_has_expired() {
    let world = World::new();
    let [mut a, mut b] = ["alpha.test"; 2].map(|it| Member::new(&world, it));
    a.create(&world, None).unwrap();
    let now = world.now().as_secs();
    let expires = now + 121 * DAY;
    let package = b.package_until(Lifetime::init(now - 3_600, expires));
    let request = a.adding_packages(&world, &[&mut b], vec![package]);
    world.call::<AddUsers>(&request, Some(a.leaf())).unwrap();
    a.merge();
    let access = a.access.clone().unwrap();
    let asked = WelcomeInfoRequest { access: access.clone(), epoch: Epoch(1), package: b.reference() };
    // Its group lives on.
    world.wait_until(Timestamp::from_secs(now + 60 * DAY));
    let commit = a.commit(Vec::new(), &[], 0);
    world.call::<UpdateClient>(&commit.request, Some(a.leaf())).unwrap();
    a.merge();

    world.wait_until(Timestamp::from_secs(expires));
    assert!(world.call::<WelcomeInfo>(&asked, Some(b.joiner(&access))).is_ok());
    world.advance_s(1);
    let outcome = world.call::<WelcomeInfo>(&asked, Some(b.joiner(&access)));
    assert_eq!(rejected(outcome), Reject::Unauthenticated);
    let commit = a.commit(Vec::new(), &[], 0);
    world.call::<UpdateClient>(&commit.request, Some(a.leaf())).unwrap();
    assert!(world.group_rows().iter().all(|(key, _)| key[0] != b's'), "the next commit drops the snapshot");
}

#[test]
fn nobody_joins_a_group_that_was_given_up_whether_or_not_it_was_dropped() {
    let world = World::new();
    let [mut a, mut b] = ["alpha.test"; 2].map(|it| Member::new(&world, it));
    a.create(&world, None).unwrap();
    let now = world.now().as_secs();
    let package = b.package_until(Lifetime::init(now - 3_600, now + 200 * DAY));
    let request = a.adding_packages(&world, &[&mut b], vec![package]);
    world.call::<AddUsers>(&request, Some(a.leaf())).unwrap();
    let access = a.access.clone().unwrap();
    let asked = WelcomeInfoRequest { access: access.clone(), epoch: Epoch(1), package: b.reference() };
    let alarm = world.partition(&access).alarm.unwrap();

    world.wait_until(Timestamp(alarm.0 - 2_000));
    assert!(world.call::<WelcomeInfo>(&asked, Some(b.joiner(&access))).is_ok());
    world.wait_until(alarm);
    let outcome = world.call::<WelcomeInfo>(&asked, Some(b.joiner(&access)));

    assert_eq!(rejected(outcome), Reject::NotFound);
    assert!(!world.partition(&access).rows.is_empty(), "nothing has swept it");
}

#[test]
fn a_snapshot_goes_with_the_last_joiner_that_was_seen() {
    let world = World::new();
    let [mut a, mut b, mut c] = ["alpha.test"; 3].map(|it| Member::new(&world, it));
    a.create(&world, None).unwrap();
    a.add(&world, &mut [&mut b, &mut c]).unwrap();
    let snapshots = || world.group_rows().iter().filter(|(key, _)| key[0] == b's').count();
    assert_eq!(snapshots(), 1);

    let config = Member::fresh_config("alpha.test", &mut Chance::from_seed([5; 32]));
    b.update_config(&world, config).unwrap();
    assert_eq!(snapshots(), 1);
    let commit = c.commit(Vec::new(), &[], 0);
    world.call::<UpdateClient>(&commit.request, Some(c.leaf())).unwrap();

    assert_eq!(snapshots(), 0);
}

#[test]
fn of_many_snapshots_the_oldest_go() {
    let world = World::new();
    let mut a = Member::new(&world, "alpha.test");
    a.create(&world, None).unwrap();
    for _ in 0..18 {
        let mut joiner = Member::new(&world, "alpha.test");
        let request = a.adding(&world, &mut [&mut joiner]);
        world.call::<AddUsers>(&request, Some(a.leaf())).unwrap();
        a.merge();
    }

    assert_eq!(world.group_rows().iter().filter(|(key, _)| key[0] == b's').count(), 16);
}

#[test]
fn a_snapshot_goes_when_the_packages_of_its_joiners_have_expired_or_they_were_removed() {
    let world = World::new();
    let [mut a, mut b, mut c] = ["alpha.test"; 3].map(|it| Member::new(&world, it));
    a.create(&world, None).unwrap();
    let now = world.now().as_secs();
    let package = b.package_until(Lifetime::init(now - DAY, now + 125 * DAY));
    let request = a.adding_packages(&world, &[&mut b], vec![package]);
    world.call::<AddUsers>(&request, Some(a.leaf())).unwrap();
    a.merge();
    let request = a.adding(&world, &mut [&mut c]);
    world.call::<AddUsers>(&request, Some(a.leaf())).unwrap();
    a.merge();
    world.delivered();
    let snapshots = || world.group_rows().iter().filter(|(key, _)| key[0] == b's').count();

    calendar::idle(&world, &mut [&mut a]);
    assert_eq!(snapshots(), 2);
    a.update(&world).unwrap();
    assert_eq!(snapshots(), 1);
    // c's package lasts, but c has never committed.
    a.follow(&world.delivered());
    a.update(&world).unwrap();

    assert_eq!(snapshots(), 0);
}
