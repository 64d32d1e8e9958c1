#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use phoenix_core::{
    Delay, LeafIndex, Reject,
    api::delivery::{CommitRequest, ContentKind, DS_LEAF, Proposals},
    crypto::{Chance, SigningKey, Suite},
    wire::Opaque,
};

use super::Resync;
use crate::{
    RemoveUsers,
    testing::{Member, World, rejected},
};

fn group<const N: usize>(world: &World, suite: Suite) -> [Member; N] {
    let mut members = std::array::from_fn(|_| Member::with(world, "alpha.test", suite));
    let (first, others) = members.split_first_mut().unwrap();
    first.create(world, None).unwrap();
    first.add(world, &mut others.iter_mut().collect::<Vec<_>>()).unwrap();
    members
}

/// What a member that fell behind would send now.
fn returning(world: &World, member: &mut Member) -> CommitRequest {
    let info = member.external_commit_info(world).unwrap();
    member.resyncing(&info)
}

#[test]
fn who_fell_behind_comes_back_as_who_it_was_in_both_suites() {
    for suite in [Suite::Ed25519, Suite::P256] {
        let world = World::new();
        let [mut a, mut b, mut c] = group(&world, suite);
        a.update(&world).unwrap();
        a.update(&world).unwrap();
        c.follow(&world.delivered());

        let joined = b.resync(&world).unwrap();

        assert_eq!((joined.leaf, joined.epoch.0), (LeafIndex(1), 4));
        let arrived = world.delivered();
        let kinds: Vec<_> = b.contents(&arrived).into_iter().map(|it| (it.kind, it.sender)).collect();
        assert_eq!(kinds, [(ContentKind::CommitAccepted, LeafIndex(1))]);
        for it in [&mut a, &mut c] {
            it.follow(&arrived);
        }
        b.send(&world, b"back").unwrap();
        let sent = a.contents(&world.delivered()).remove(0);
        assert_eq!((sent.sender, a.read(&sent.message)), (LeafIndex(1), b"back".to_vec()));
    }
}

#[test]
fn an_admin_that_comes_back_is_one_still() {
    let world = World::new();
    let [mut a, mut b, c] = group(&world, Suite::Ed25519);
    b.update(&world).unwrap();

    a.resync(&world).unwrap();

    let commit = a.commit(Vec::new(), &[c.index()], 0);
    assert!(world.call::<RemoveUsers>(&commit.request, Some(a.leaf())).is_ok());
}

#[test]
fn who_comes_back_may_land_on_a_lower_leaf_and_brings_its_queue() {
    let world = World::new();
    let [mut a, b, mut c] = group(&world, Suite::Ed25519);
    let commit = a.commit(Vec::new(), &[b.index()], 0);
    world.call::<RemoveUsers>(&commit.request, Some(a.leaf())).unwrap();
    a.merge();
    world.delivered();
    let (old_leaf, key) = (c.leaf().0, c.key.clone());

    let joined = c.resync(&world).unwrap();

    assert_eq!(joined.leaf, LeafIndex(1));
    let arrived = world.delivered();
    // The commit names the leaf by its frame.
    assert_eq!(a.contents(&arrived)[0].sender, LeafIndex(2));
    a.follow(&arrived);
    a.send(&world, b"to the new leaf").unwrap();
    assert_eq!(c.contents(&world.delivered()).len(), 1);
    c.send(&world, b"from the new leaf").unwrap();
    let request = c.message(b"from the old leaf");
    let outcome = world.call::<crate::SendMessage>(&request, Some((old_leaf, &key)));
    assert_eq!(rejected(outcome), Reject::Unauthenticated);
}

#[test]
fn a_message_that_is_repeated_from_a_new_leaf_goes_nowhere() {
    // given a message that was accepted, whose answer was lost
    let world = World::new();
    let [mut a, b, mut c] = group(&world, Suite::Ed25519);
    let request = c.message(b"once");
    world.call::<crate::SendMessage>(&request, Some(c.leaf())).unwrap();
    assert_eq!(world.delivered().len(), 1);

    // when its sender comes back into the group, and lands on another leaf
    let commit = a.commit(Vec::new(), &[b.index()], 0);
    world.call::<RemoveUsers>(&commit.request, Some(a.leaf())).unwrap();
    a.merge();
    c.resync(&world).unwrap();
    assert_eq!(c.index(), 1);
    world.delivered();

    // then it may be repeated, and nobody gets it twice
    world.call::<crate::SendMessage>(&request, Some(c.leaf())).unwrap();
    assert!(world.delivered().is_empty());
}

#[test]
fn nobody_comes_back_as_another() {
    let world = World::new();
    let [_, mut b, mut c] = group(&world, Suite::Ed25519);
    let before = world.group_rows();

    let (leaf, key) = (b.leaf().0, b.key.clone());
    let sent = |request: &CommitRequest| rejected(world.call::<Resync>(request, Some((leaf.clone(), &key))));

    // With the commit of another.
    let theirs = returning(&world, &mut c);
    assert_eq!(sent(&theirs), Reject::Malformed("proposal"));
    // With another link, or pseudonym, in its credential.
    let credential = b.credential.clone();
    b.credential.encrypted_identity_link = Opaque::new(vec![2; 1052]).unwrap();
    let renewed = returning(&world, &mut b);
    assert_eq!(sent(&renewed), Reject::Malformed("leaf"));
    b.credential = credential;
    b.credential.pseudonym = c.credential.pseudonym;
    let renamed = returning(&world, &mut b);
    assert_eq!(sent(&renamed), Reject::Malformed("leaf"));
    assert_eq!(world.group_rows(), before);
}

#[test]
fn who_has_another_key_removes_nobody_and_does_not_come_back() {
    let world = World::new();
    let [_, mut b] = group(&world, Suite::Ed25519);
    let info = b.external_commit_info(&world).unwrap();
    let (leaf, key) = (b.leaf().0, b.key.clone());
    b.key = SigningKey::generate(Suite::Ed25519, &mut Chance::from_seed([77; 32]));

    let request = b.resyncing(&info);

    let outcome = world.call::<Resync>(&request, Some((leaf, &key)));
    assert_eq!(rejected(outcome), Reject::Malformed("proposals"));
}

#[test]
fn an_ordinary_commit_brings_nobody_back_and_keys_are_of_new_credentials_only() {
    let world = World::new();
    let [mut a, mut b] = group(&world, Suite::Ed25519);
    let commit = a.commit(Vec::new(), &[], 0);
    let outcome = world.call::<Resync>(&commit.request, Some(a.leaf()));
    assert_eq!(rejected(outcome), Reject::Malformed("committer"));

    let info = b.external_commit_info(&world).unwrap();
    let (leaf, key) = (b.leaf().0, b.key.clone());
    let request = b.entering(b.access.clone().unwrap(), &info, 1);
    let outcome = world.call::<Resync>(&request, Some((leaf, &key)));
    assert_eq!(rejected(outcome), Reject::Malformed("keys"));
}

#[test]
fn a_race_is_lost_by_who_comes_second() {
    let world = World::new();
    let [mut a, mut b] = group(&world, Suite::Ed25519);
    let (leaf, key) = (b.leaf().0, b.key.clone());
    let late = returning(&world, &mut b);
    a.update(&world).unwrap();

    let outcome = world.call::<Resync>(&late, Some((leaf, &key)));

    assert_eq!(rejected(outcome), Reject::Conflict(Some(2)));
}

#[test]
fn who_comes_back_takes_along_who_leaves_and_the_ds_proposes_the_rest_anew() {
    let world = World::new();
    let [mut a, mut b, mut c, mut d] = group(&world, Suite::Ed25519);
    let (modern, plain) = (b.leaving(), c.removing_itself());
    b.self_remove(&world, modern.clone()).unwrap();
    c.self_remove(&world, plain.clone()).unwrap();
    a.follow(&world.delivered());
    let info = d.external_commit_info(&world).unwrap();
    assert_eq!(info.proposals[..], [modern, plain]);

    d.resync(&world).unwrap();

    let arrived = world.delivered();
    a.follow(&arrived);
    // b left with the commit: its leaf was free for d. c is to be removed still, now by the DS.
    assert_eq!(d.index(), 1);
    let proposals = d.proposals(&arrived);
    assert_eq!(proposals.iter().map(|it| it.0).collect::<Vec<_>>(), [DS_LEAF]);
    assert_eq!(a.proposals(&arrived), proposals);
    assert!(b.proposals(&arrived).is_empty());
    let pending = world.group(a.access.as_ref().unwrap()).tree.proposals();
    assert_eq!(pending, Proposals::new(vec![proposals[0].1.clone()]).unwrap());
    a.update(&world).unwrap();
    d.follow(&arrived);
    d.follow(&world.delivered());
    assert_eq!(d.epoch(), a.epoch());
    assert_eq!(world.group(a.access.as_ref().unwrap()).members.roster.members.len(), 2);
}

#[test]
fn who_leaves_and_is_not_taken_along_is_proposed_anew() {
    let world = World::new();
    let [mut a, mut b, mut c] = group(&world, Suite::Ed25519);
    let info = c.external_commit_info(&world).unwrap();
    let proposal = b.leaving();
    b.self_remove(&world, proposal).unwrap();
    a.follow(&world.delivered());
    let (leaf, key) = (c.leaf().0, c.key.clone());

    // c cannot open the proposal, whose membership tag the DS does not see: nobody is stuck with it.
    let request = c.resyncing(&info);
    world.call::<Resync>(&request, Some((leaf, &key))).unwrap();

    let arrived = world.delivered();
    a.follow(&arrived);
    assert_eq!(a.proposals(&arrived).len(), 1);
    a.update(&world).unwrap();
    b.forget_proposals();
    assert_eq!(rejected(b.send(&world, b"still here?")), Reject::Unauthenticated);
}

#[test]
fn who_comes_back_learns_which_domains_are_delayed_but_for_its_own() {
    let world = World::new();
    let [mut a, mut b, mut c] = ["alpha.test", "beta.test", "gamma.test"].map(|it| Member::new(&world, it));
    a.create(&world, None).unwrap();
    a.add(&world, &mut [&mut b]).unwrap();
    a.add(&world, &mut [&mut c]).unwrap();
    // It lands on another leaf than its own.
    let commit = a.commit(Vec::new(), &[b.index()], 0);
    world.call::<RemoveUsers>(&commit.request, Some(a.leaf())).unwrap();
    let (now, delay) = (world.now(), |until| Some(Delay { since: world.now(), until, ..Delay::default() }));
    for domain in ["alpha.test", "beta.test", "gamma.test"] {
        world.engine.shared().note_delay(domain.parse().unwrap(), delay(now.plus_secs(400)));
    }

    let joined = c.resync(&world).unwrap();

    assert_eq!(joined.leaf, LeafIndex(1));
    let told: Vec<_> = joined.delayed.iter().map(|it| (it.domain.as_str(), it.since)).collect();
    assert_eq!(told, [("alpha.test", now.as_secs())]);
}
