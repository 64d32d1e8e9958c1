#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use openmls::prelude::Lifetime;
use phoenix_core::{
    Delay, Reject,
    api::{
        delivery::{AddUsersRequest, CommitAccepted, ContentKind},
        queue::NotifyClass,
    },
    crypto::{Suite, sha256},
    group::ContentHead,
    time::DAY,
    wire::{List, Opaque, Wire},
};

use super::AddUsers;
use crate::{
    DeliverySettings,
    mls::frames::Welcome,
    testing::{Member, World, rejected},
};

#[test]
fn joiners_are_invited_and_members_get_the_commit_in_both_suites() {
    for suite in [Suite::Ed25519, Suite::P256] {
        let world = World::new();
        let [mut a, mut b, mut c, mut d] =
            ["alpha.test", "alpha.test", "beta.test", "beta.test"].map(|it| Member::with(&world, it, suite));
        a.create(&world, None).unwrap();
        a.add(&world, &mut [&mut b]).unwrap();
        let request = a.adding(&world, &mut [&mut c, &mut d]);

        let accepted = world.call::<AddUsers>(&request, Some(a.leaf())).unwrap();

        a.merge();
        assert_eq!(accepted.epoch.0, 2);
        let arrived = world.delivered();
        let to: Vec<_> = arrived.iter().map(|it| it.message.recipients[0].config.clone()).collect();
        assert_eq!(to, [&b, &a, &c, &d].map(|it| it.config.sealed.clone()));
        assert_eq!(arrived[2].message.notify, NotifyClass::Normal);
        let key = &request.access.ear_key;
        let open = |place: usize| {
            let message = &arrived[place].message;
            ContentHead::of(message).open(key, &message.content).unwrap()
        };
        assert_eq!((open(0).kind, open(0).message), (ContentKind::Commit, request.commit.clone()));
        let told = CommitAccepted { epoch: accepted.epoch, hash: sha256(&request.commit) };
        assert_eq!((open(1).kind, &open(1).message[..]), (ContentKind::CommitAccepted, &told.encode()[..]));
        b.process(&request.commit);
        c.join(&world, &arrived[2].message.content);
        d.join(&world, &arrived[3].message.content);
        assert_eq!([a.epoch(), b.epoch(), c.epoch(), d.epoch()], [2; 4]);
        let content = d.send(&world, b"hi").map(|_| world.delivered()).unwrap();
        let content = ContentHead::of(&content[0].message).open(key, &content[0].message.content).unwrap();
        assert_eq!(a.read(&content.message), b"hi");
    }
}

#[test]
fn only_admins_add() {
    let world = World::new();
    let [mut a, mut b, mut c] = ["alpha.test"; 3].map(|it| Member::new(&world, it));
    a.create(&world, None).unwrap();
    a.add(&world, &mut [&mut b]).unwrap();
    let request = b.adding(&world, &mut [&mut c]);

    assert_eq!(rejected(world.call::<AddUsers>(&request, Some(b.leaf()))), Reject::Forbidden);
    // Nor does an admin lend its name to another's commit.
    assert_eq!(rejected(world.call::<AddUsers>(&request, Some(a.leaf()))), Reject::Malformed("committer"));
}

#[test]
fn a_commit_for_a_past_epoch_learns_the_current_one() {
    let world = World::new();
    let [mut a, mut b, mut c] = ["alpha.test"; 3].map(|it| Member::new(&world, it));
    a.create(&world, None).unwrap();
    let late = a.adding(&world, &mut [&mut c]);
    a.add(&world, &mut [&mut b]).unwrap();

    assert_eq!(rejected(world.call::<AddUsers>(&late, Some(a.leaf()))), Reject::Conflict(Some(1)));
}

#[test]
fn who_is_in_the_group_already_is_not_added_again() {
    let world = World::new();
    let [mut a, mut b, mut c] = ["alpha.test"; 3].map(|it| Member::new(&world, it));
    a.create(&world, None).unwrap();
    a.add(&world, &mut [&mut b]).unwrap();
    // Fresh keys, and somebody's pseudonym.
    c.credential.pseudonym = b.credential.pseudonym;
    let pseudonym = a.adding(&world, &mut [&mut c]);
    let outcome = world.call::<AddUsers>(&pseudonym, Some(a.leaf()));
    assert_eq!(rejected(outcome), Reject::DuplicateKey);

    let mut d = Member::new(&world, "alpha.test");
    d.config = b.config.clone();
    let config = a.adding(&world, &mut [&mut d]);
    assert_eq!(rejected(world.call::<AddUsers>(&config, Some(a.leaf()))), Reject::DuplicateKey);
}

#[test]
fn a_package_needs_the_word_of_its_own_queues_qs_and_a_fresh_one() {
    let world = World::new();
    let [mut a, mut b] = ["alpha.test", "beta.test"].map(|it| Member::new(&world, it));
    a.create(&world, None).unwrap();
    let request = a.adding(&world, &mut [&mut b]);
    let mut forged = request.batches[0].clone();
    forged.payload.issued_at += 1;
    let mut unknown_key = request.batches[0].clone();
    unknown_key.payload.key.0[0] ^= 1;
    let other_domain = world.batch(&"alpha.test".parse().unwrap(), vec![b.reference()]);
    let mut early = request.batches[0].clone();
    early.payload.issued_at += 3_600;

    for (batches, expected) in [
        (vec![forged], Reject::Forbidden),
        (vec![unknown_key], Reject::Unauthenticated),
        (vec![other_domain], Reject::Malformed("queue config")),
        (vec![early], Reject::Forbidden),
        (vec![], Reject::Malformed("batches")),
    ] {
        let request = AddUsersRequest { batches: List::new(batches).unwrap(), ..request.clone() };
        assert_eq!(rejected(world.call::<AddUsers>(&request, Some(a.leaf()))), expected);
    }
    world.advance_s(DAY + 1);
    assert_eq!(rejected(world.call::<AddUsers>(&request, Some(a.leaf()))), Reject::Forbidden);
    let just_in_time = world.batch(&b.config.domain, vec![b.reference()]);
    world.advance_s(DAY);
    let batches = List::new(vec![just_in_time]).unwrap();
    let request = AddUsersRequest { batches, ..request };
    assert!(world.call::<AddUsers>(&request, Some(a.leaf())).is_ok());
}

#[test]
fn batches_of_more_domains_than_peers_are_asked_are_refused() {
    let world = World::new();
    let [mut a, mut b] = ["alpha.test"; 2].map(|it| Member::new(&world, it));
    a.create(&world, None).unwrap();
    let request = a.adding(&world, &mut [&mut b]);
    let domains = (0..17).map(|number| format!("d{number}.test").parse().unwrap());
    let batches = domains.map(|domain| world.batch(&domain, vec![b.reference()])).collect();
    let request = AddUsersRequest { batches: List::new(batches).unwrap(), ..request };

    assert_eq!(rejected(world.call::<AddUsers>(&request, Some(a.leaf()))), Reject::TooLarge("batches"));
}

#[test]
fn a_package_must_fit_its_config_and_last_for_months() {
    let world = World::new();
    let [mut a, mut b] = ["alpha.test"; 2].map(|it| Member::new(&world, it));
    a.create(&world, None).unwrap();
    let now = world.now().as_secs();
    let short = b.package_until(Lifetime::init(now - DAY, now + 120 * DAY - 1));
    let short = a.adding_packages(&world, &[&mut b], vec![short]);
    assert_eq!(rejected(world.call::<AddUsers>(&short, Some(a.leaf()))), Reject::Malformed("lifetime"));
    let mut c = Member::new(&world, "alpha.test");
    let enough = c.package_until(Lifetime::init(now - DAY, now + 120 * DAY));
    let enough = a.adding_packages(&world, &[&mut c], vec![enough]);
    assert!(world.call::<AddUsers>(&enough, Some(a.leaf())).is_ok());
    a.merge();

    let package = b.package(&world);
    b.config = Member::new(&world, "alpha.test").config;
    let other = a.adding_packages(&world, &[&mut b], vec![package]);
    assert_eq!(rejected(world.call::<AddUsers>(&other, Some(a.leaf()))), Reject::Malformed("queue config"));
}

#[test]
fn parts_that_do_not_fit_the_commit_are_refused() {
    let world = World::new();
    let [mut a, mut b] = ["alpha.test"; 2].map(|it| Member::new(&world, it));
    a.create(&world, None).unwrap();
    let request = a.adding(&world, &mut [&mut b]);
    let no_joiner = AddUsersRequest { joiners: List::default(), ..request.clone() };
    let no_welcome = AddUsersRequest { welcome: Opaque::default(), ..request.clone() };
    let mut signature = request.clone();
    let mut bytes = signature.group_info.signature.to_vec();
    bytes[3] ^= 1;
    signature.group_info.signature = Opaque::new(bytes).unwrap();
    let mut extensions = request.clone();
    extensions.group_info.extensions = Opaque::new(vec![0]).unwrap();
    let mut commit = request.clone();
    let mut bytes = commit.commit.to_vec();
    bytes[200] ^= 1;
    commit.commit = Opaque::new(bytes).unwrap();

    let before = world.group_rows();
    for request in [no_joiner, no_welcome, signature, extensions, commit] {
        let outcome = world.call::<AddUsers>(&request, Some(a.leaf()));
        assert!(matches!(rejected(outcome), Reject::Malformed(_)));
    }
    let packages = vec![b.package(&world)];
    let too_few = a.commit(packages, &[], 0);
    let too_few = AddUsersRequest { commit: too_few.request.commit, ..request };
    let outcome = world.call::<AddUsers>(&too_few, Some(a.leaf()));
    assert_eq!(rejected(outcome), Reject::Malformed("keys"));
    assert_eq!(world.group_rows(), before);
    assert!(world.delivered().is_empty());
}

#[test]
fn t20_a_welcome_that_would_take_a_batch_of_bytes_for_all_joiners_is_refused_before_it_is_cut() {
    let world = World::new();
    let mut a = Member::new(&world, "alpha.test");
    a.create(&world, None).unwrap();
    let mut joiners: Vec<_> = (0..9).map(|_| Member::new(&world, "alpha.test")).collect();
    let request = a.adding(&world, &mut joiners.iter_mut().collect::<Vec<_>>());

    // when what is for all of nine is nearly a megabyte, that each would get
    let welcome = Welcome::decode(&request.welcome, Suite::Ed25519).unwrap().lengthened(1_000_000);
    let long = AddUsersRequest { welcome, ..request.clone() };

    let outcome = world.call::<AddUsers>(&long, Some(a.leaf()));
    assert_eq!(rejected(outcome), Reject::TooLarge("welcome"));
    assert!(world.call::<AddUsers>(&request, Some(a.leaf())).is_ok());
}

#[test]
fn a_full_group_takes_nobody() {
    let world = World::with(DeliverySettings { max_members: 1, ..DeliverySettings::default() });
    let [mut a, mut b] = ["alpha.test"; 2].map(|it| Member::new(&world, it));
    a.create(&world, None).unwrap();
    let request = a.adding(&world, &mut [&mut b]);

    assert_eq!(rejected(world.call::<AddUsers>(&request, Some(a.leaf()))), Reject::TooLarge("members"));
}

#[test]
fn who_adds_members_learns_that_their_domain_is_delayed() {
    let world = World::new();
    let [mut a, mut b, mut c] = ["alpha.test", "beta.test", "gamma.test"].map(|it| Member::new(&world, it));
    a.create(&world, None).unwrap();
    let now = world.now();
    for domain in ["alpha.test", "beta.test"] {
        let delay = Delay { since: now, until: now.plus_secs(400), ..Delay::default() };
        world.engine.shared().note_delay(domain.parse().unwrap(), Some(delay));
    }

    let accepted = a.add(&world, &mut [&mut b, &mut c]).unwrap();

    let told: Vec<_> = accepted.delayed.iter().map(|it| (it.domain.as_str(), it.since)).collect();
    assert_eq!(told, [("beta.test", now.as_secs())]);
}
