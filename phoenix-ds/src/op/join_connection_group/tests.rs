#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use phoenix_core::{
    Delay, Reject,
    api::{
        delivery::{ExternalCommitInfoReply, ExternalCommitInfoRequest},
        mls::Connection,
    },
    crypto::{Suite, sha256},
    wire::{Flag, Secret},
};

use super::JoinConnectionGroup;
use crate::{
    ExternalCommitInfo,
    testing::{Member, World, rejected},
};

const CODE: [u8; 32] = [6; 32];

fn offered(world: &World, suite: Suite) -> (Member, ExternalCommitInfoReply) {
    let mut a = Member::with(world, "alpha.test", suite);
    let expires = world.now().as_secs() + 1_000;
    a.create(world, Some(&Connection { join_code_hash: sha256(&CODE), expires })).unwrap();
    let info = info(world, &a, Some(CODE)).unwrap();
    (a, info)
}

fn info(
    world: &World,
    member: &Member,
    code: Option<[u8; 32]>,
) -> Result<ExternalCommitInfoReply, phoenix_core::Failure> {
    let access = member.access.clone().unwrap();
    let request = ExternalCommitInfoRequest { access, join_code: code.map(Secret::new) };
    world.call::<ExternalCommitInfo>(&request, code.is_none().then(|| member.leaf()))
}

#[test]
fn the_holder_of_the_code_joins_in_both_suites() {
    for suite in [Suite::Ed25519, Suite::P256] {
        let world = World::new();
        let (mut a, info) = offered(&world, suite);
        let mut b = Member::with(&world, "beta.test", suite);
        let request = b.joining(a.access.clone().unwrap(), &info, CODE.into());

        let joined = b.join_connection(&world, &request).unwrap();

        assert_eq!((joined.leaf.0, joined.epoch.0), (1, 1));
        assert_eq!(b.index(), 1);
        a.process(&request.commit);
        assert_eq!(world.delivered().len(), 2);
        assert!(a.send(&world, b"hello").is_ok());
        assert!(b.send(&world, b"hello").is_ok());
    }
}

#[test]
fn of_two_that_join_the_first_wins_and_closes_the_group() {
    let world = World::new();
    let (a, found) = offered(&world, Suite::Ed25519);
    let [mut b, mut c] = ["beta.test"; 2].map(|it| Member::new(&world, it));
    let access = a.access.clone().unwrap();
    let [first, second] = [&mut b, &mut c].map(|it| it.joining(access.clone(), &found, CODE.into()));

    assert!(b.join_connection(&world, &first).is_ok());
    assert_eq!(rejected(c.join_connection(&world, &second)), Reject::Conflict(Some(1)));
    assert_eq!(rejected(info(&world, &a, Some(CODE))), Reject::NotFound);
}

#[test]
fn a_wrong_code_an_expired_offer_and_a_group_without_one_are_not_told_apart() {
    let world = World::new();
    let (a, found) = offered(&world, Suite::Ed25519);
    let mut b = Member::new(&world, "beta.test");
    let mut request = b.joining(a.access.clone().unwrap(), &found, [7; 32].into());
    assert_eq!(rejected(b.join_connection(&world, &request)), Reject::NotFound);
    assert_eq!(rejected(info(&world, &a, Some([7; 32]))), Reject::NotFound);

    world.advance_s(1_001);
    request.join_code = CODE.into();
    assert_eq!(rejected(b.join_connection(&world, &request)), Reject::NotFound);
    assert_eq!(rejected(info(&world, &a, Some(CODE))), Reject::NotFound);

    let mut plain = Member::new(&world, "alpha.test");
    plain.create(&world, None).unwrap();
    request.access = plain.access.clone().unwrap();
    assert_eq!(rejected(b.join_connection(&world, &request)), Reject::NotFound);
}

#[test]
fn adding_a_member_closes_the_group_too() {
    let world = World::new();
    let (mut a, found) = offered(&world, Suite::Ed25519);
    let [mut b, mut c] = ["beta.test"; 2].map(|it| Member::new(&world, it));
    a.add(&world, &mut [&mut b]).unwrap();
    let late = c.joining(a.access.clone().unwrap(), &found, CODE.into());

    assert_eq!(rejected(c.join_connection(&world, &late)), Reject::Conflict(Some(1)));
    assert_eq!(rejected(info(&world, &a, Some(CODE))), Reject::NotFound);
    assert!(info(&world, &a, None).is_ok());
}

#[test]
fn the_frames_key_is_the_path_leafs() {
    let world = World::new();
    let (a, found) = offered(&world, Suite::Ed25519);
    let [mut b, c] = ["beta.test"; 2].map(|it| Member::new(&world, it));
    let request = b.joining(a.access.clone().unwrap(), &found, CODE.into());

    let outcome = world.call::<JoinConnectionGroup>(&request, Some(c.new_key()));

    assert_eq!(rejected(outcome), Reject::Unauthenticated);
}

#[test]
fn a_pseudonym_or_config_of_a_member_and_a_config_for_any_ds_are_refused() {
    let world = World::new();
    let (a, found) = offered(&world, Suite::Ed25519);
    let access = a.access.clone().unwrap();
    let [mut b, mut c, mut d] = ["beta.test"; 3].map(|it| Member::new(&world, it));
    b.credential.pseudonym = a.credential.pseudonym;
    let taken = b.joining(access.clone(), &found, CODE.into());
    c.config = a.config.clone();
    let used = c.joining(access.clone(), &found, CODE.into());
    d.config.any = Flag::Yes;
    let any = d.joining(access, &found, CODE.into());

    assert_eq!(rejected(b.join_connection(&world, &taken)), Reject::DuplicateKey);
    assert_eq!(rejected(c.join_connection(&world, &used)), Reject::DuplicateKey);
    assert_eq!(rejected(d.join_connection(&world, &any)), Reject::Malformed("queue config"));
}

#[test]
fn who_joins_learns_whether_the_other_ones_domain_is_delayed() {
    let world = World::new();
    let (a, info) = offered(&world, Suite::Ed25519);
    let mut b = Member::new(&world, "beta.test");
    let request = b.joining(a.access.clone().unwrap(), &info, CODE.into());
    let now = world.now();
    for domain in ["alpha.test", "beta.test"] {
        let delay = Delay { since: now, until: now.plus_secs(400), ..Delay::default() };
        world.engine.shared().note_delay(domain.parse().unwrap(), Some(delay));
    }

    let joined = b.join_connection(&world, &request).unwrap();

    let told: Vec<_> = joined.delayed.iter().map(|it| (it.domain.as_str(), it.since)).collect();
    assert_eq!(told, [("alpha.test", now.as_secs())]);
}
