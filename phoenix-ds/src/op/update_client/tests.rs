#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use openmls::prelude::LeafNodeParameters;
use phoenix_core::{Pseudonym, Reject, limit::Limits, wire::Opaque};

use super::UpdateClient;
use crate::{
    RemoveUsers,
    testing::{Member, World, rejected},
};

#[test]
fn one_commit_wins_an_epoch_and_the_others_learn_which_it_is() {
    let world = World::new();
    let [mut a, mut b, mut c] = ["alpha.test"; 3].map(|it| Member::new(&world, it));
    a.create(&world, None).unwrap();
    a.add(&world, &mut [&mut b, &mut c]).unwrap();
    let commits = [&mut a, &mut b, &mut c].map(|it| it.commit(Vec::new(), &[], 0));

    let won = world.call::<UpdateClient>(&commits[1].request, Some(b.leaf()));
    let lost =
        [(&a, 0), (&c, 2)].map(|(it, n)| world.call::<UpdateClient>(&commits[n].request, Some(it.leaf())));

    assert_eq!(won.unwrap().epoch.0, 2);
    for outcome in lost {
        assert_eq!(rejected(outcome), Reject::Conflict(Some(2)));
    }
    a.process(&commits[1].request.commit);
    let again = a.commit(Vec::new(), &[], 0);
    assert_eq!(world.call::<UpdateClient>(&again.request, Some(a.leaf())).unwrap().epoch.0, 3);
}

#[test]
fn a_member_renews_its_credential_and_keeps_its_pseudonym() {
    let world = World::new();
    let mut a = Member::new(&world, "alpha.test");
    a.create(&world, None).unwrap();
    a.credential.encrypted_identity_link = Opaque::new(vec![2; 1052]).unwrap();
    let renewed = LeafNodeParameters::builder().with_credential_with_key(a.credential_with_key()).build();
    let without_keys = a.commit_with(Vec::new(), &[], 0, renewed.clone());
    assert_eq!(
        rejected(world.call::<UpdateClient>(&without_keys.request, Some(a.leaf()))),
        Reject::Malformed("keys")
    );

    let commit = a.commit_with(Vec::new(), &[], 1, renewed);
    world.call::<UpdateClient>(&commit.request, Some(a.leaf())).unwrap();
    a.merge();

    a.credential.pseudonym = Pseudonym([7; 16]);
    let other = LeafNodeParameters::builder().with_credential_with_key(a.credential_with_key()).build();
    let commit = a.commit_with(Vec::new(), &[], 1, other);
    let outcome = world.call::<UpdateClient>(&commit.request, Some(a.leaf()));
    assert_eq!(rejected(outcome), Reject::Malformed("pseudonym"));
}

#[test]
fn keys_that_nobody_needs_are_refused() {
    let world = World::new();
    let mut a = Member::new(&world, "alpha.test");
    a.create(&world, None).unwrap();
    let commit = a.commit(Vec::new(), &[], 1);

    let outcome = world.call::<UpdateClient>(&commit.request, Some(a.leaf()));

    assert_eq!(rejected(outcome), Reject::Malformed("keys"));
}

#[test]
fn any_change_of_a_commit_is_refused_and_changes_nothing() {
    // Each is refused for itself, not for being one of many.
    let world = World::limited(Limits::unlimited());
    let mut a = Member::new(&world, "alpha.test");
    a.create(&world, None).unwrap();
    let commit = a.commit(Vec::new(), &[], 0).request;
    let before = world.group_rows();

    // The membership tag at the end is beyond the DS: only members know the epoch's secrets.
    for place in (0..commit.commit.len() - 33).step_by(7) {
        let mut changed = commit.clone();
        let mut bytes = changed.commit.to_vec();
        bytes[place] ^= 0x20;
        changed.commit = Opaque::new(bytes).unwrap();
        rejected(world.call::<UpdateClient>(&changed, Some(a.leaf())));
    }
    assert_eq!(world.group_rows(), before);
    assert!(world.call::<RemoveUsers>(&commit, Some(a.leaf())).is_err());
    assert!(world.call::<UpdateClient>(&commit, Some(a.leaf())).is_ok());
}
