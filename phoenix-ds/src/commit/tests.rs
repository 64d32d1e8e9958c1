#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use openmls::prelude::LeafNodeParameters;
use phoenix_core::{
    LeafIndex, Pseudonym, Reject,
    api::delivery::{CommitRequest, Proposals},
    wire::Wire,
};

use super::{Committer, Submission, stage};
use crate::{
    AddUsers, DeliverySettings, UpdateClient,
    accept::accept,
    rules::Act,
    testing::{Member, World, refusal, rejected},
};

fn submission(request: &CommitRequest) -> Submission<'_> {
    Submission { access: &request.access, commit: &request.commit, update: &request.group_info }
}

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

    let staged = stage(group, submission(&request), Committer::Member(LeafIndex(0)), Act::Update).unwrap();

    assert!(accept(staged, Vec::new(), &cx, |arrived| arrived).is_ok());
}
