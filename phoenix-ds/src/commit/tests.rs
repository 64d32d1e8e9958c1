#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use openmls::prelude::LeafNodeParameters;
use phoenix_core::{
    LeafIndex, Pseudonym, Reject,
    api::delivery::{Accepted, Proposals},
    limit::Limits,
    wire::Wire,
};

use super::{Committer, stage};
use crate::{
    AddUsers, ChangeRoles, DeleteGroup, DeliverySettings, RemoveUsers, Resync, UpdateClient,
    accept::accept,
    rules::Act,
    testing::{Member, World, refusal, rejected},
};

#[test]
fn a_members_commit_covers_all_stored_proposals_or_learns_them() {
    let world = World::new();
    let [mut a, mut b, mut c] = ["alpha.test"; 3].map(|it| Member::new(&world, it));
    a.create(&world, None).unwrap();
    a.add(&world, &mut [&mut b, &mut c]).unwrap();
    let proposal = b.leaving();
    b.self_remove(&world, proposal.clone()).unwrap();

    let deaf = a.commit(Vec::new(), &[], 0).request;
    let refused = refusal(world.call::<UpdateClient>(&deaf, Some(a.leaf())));
    let told = Proposals::decode(&refused.detail).unwrap();
    a.hear(&told[0]);
    let covering = a.update(&world);

    assert_eq!(refused.reject, Reject::PendingProposals);
    assert_eq!(told[..], [proposal]);
    assert_eq!(covering.unwrap().epoch.0, 2);
    b.forget_proposals();
    assert_eq!(rejected(b.send(&world, b"still here?")), Reject::Unauthenticated);
}

#[test]
fn whoever_lost_its_right_by_the_winning_commit_learns_that_there_was_one() {
    let world = World::limited(Limits::unlimited());
    let [mut a, mut b, mut d] = ["alpha.test"; 3].map(|it| Member::new(&world, it));
    a.create(&world, None).unwrap();
    a.add(&world, &mut [&mut b]).unwrap();
    let removal = a.commit(Vec::new(), &[b.index()], 0).request;
    let end = a.ending().request;
    let adding = a.adding(&world, &mut [&mut d]);
    let context = a.roles(&[&b]);
    let stepping_down = a.changing(context);
    world.call::<ChangeRoles>(&stepping_down, Some(a.leaf())).unwrap();

    let signer = || Some(a.leaf());
    let outcomes = [
        // The answer was lost, and it asks again.
        rejected(world.call::<ChangeRoles>(&stepping_down, signer())),
        rejected(world.call::<RemoveUsers>(&removal, signer())),
        rejected(world.call::<DeleteGroup>(&end, signer())),
        rejected(world.call::<AddUsers>(&adding, signer())),
    ];

    assert_eq!(outcomes, [Reject::Conflict(Some(2)); 4]);
    a.merge();
    let late = a.ending().request;
    assert_eq!(rejected(world.call::<DeleteGroup>(&late, Some(a.leaf()))), Reject::Forbidden);
}

#[test]
fn whoever_is_to_be_removed_since_the_winning_commit_learns_that_there_was_one() {
    let world = World::new();
    let [mut a, mut b] = ["alpha.test", "beta.test"].map(|it| Member::new(&world, it));
    a.create(&world, None).unwrap();
    a.add(&world, &mut [&mut b]).unwrap();
    let update = b.commit(Vec::new(), &[], 0).request;
    let (leaf, key) = (b.leaf().0, b.key.clone());
    let signer = || Some((leaf.clone(), &key));
    let info = b.external_commit_info(&world).unwrap();
    world.block(&["beta.test"]);
    a.update(&world).unwrap();

    let late = rejected(world.call::<UpdateClient>(&update, signer()));
    let current = b.external_commit_info(&world);
    let returning = b.resyncing(&info);
    let returned = rejected(world.call::<Resync>(&returning, signer()));

    assert_eq!([late, returned], [Reject::Conflict(Some(2)); 2]);
    let returning = b.resyncing(&current.unwrap());
    assert_eq!(rejected(world.call::<Resync>(&returning, signer())), Reject::Forbidden);
}

#[test]
fn stored_proposals_come_back_with_the_group() {
    let world = World::new();
    let [mut a, mut b] = ["alpha.test"; 2].map(|it| Member::new(&world, it));
    a.create(&world, None).unwrap();
    a.add(&world, &mut [&mut b]).unwrap();
    let (access, proposal) = (a.access.clone().unwrap(), b.leaving());
    b.self_remove(&world, proposal).unwrap();
    let group = world.group(&access);

    let again = crate::tree::Tree::load(group.tree.record().unwrap(), &access.group).unwrap();

    assert_eq!(again.pending.len(), 1);
    assert_eq!(again.pending, group.tree.pending);
    assert_eq!(again.record().unwrap(), group.tree.record().unwrap());
}

#[test]
fn who_was_added_by_a_last_resort_package_brings_a_new_pseudonym_once() {
    let world = World::new();
    let [mut a, mut b] = ["alpha.test"; 2].map(|it| Member::new(&world, it));
    a.create(&world, None).unwrap();
    let package = b.last_resort(&world);
    let request = a.adding_packages(&world, &[&mut b], vec![package]);
    world.call::<AddUsers>(&request, Some(a.leaf())).unwrap();
    a.merge();
    b.join(&world, &world.delivered()[1].message.content);
    let renamed = |member: &mut Member, name| {
        member.credential.pseudonym = name;
        let leaf =
            LeafNodeParameters::builder().with_credential_with_key(member.credential_with_key()).build();
        member.commit_with(Vec::new(), &[], 1, leaf).request
    };

    let taken = renamed(&mut b, a.credential.pseudonym);
    assert_eq!(rejected(world.call::<UpdateClient>(&taken, Some(b.leaf()))), Reject::DuplicateKey);
    let fresh = renamed(&mut b, Pseudonym([8; 16]));
    assert!(world.call::<UpdateClient>(&fresh, Some(b.leaf())).is_ok());
    b.merge();
    let again = renamed(&mut b, Pseudonym([9; 16]));
    let outcome = world.call::<UpdateClient>(&again, Some(b.leaf()));
    assert_eq!(rejected(outcome), Reject::Malformed("pseudonym"));
}

#[test]
fn a_group_over_a_limit_that_was_lowered_goes_on() {
    let world = World::new();
    let [mut a, mut b] = ["alpha.test"; 2].map(|it| Member::new(&world, it));
    a.create(&world, None).unwrap();
    a.add(&world, &mut [&mut b]).unwrap();
    let request = a.commit(Vec::new(), &[], 0).request;
    let group = world.group(&request.access);
    let cx = world.context_with(DeliverySettings { max_members: 1, ..DeliverySettings::default() });

    let staged = stage(group, (&request).into(), Committer::Member(LeafIndex(0)), Act::Update).unwrap();

    assert!(accept::<Accepted>(staged, Vec::new(), &cx).is_ok());
}
