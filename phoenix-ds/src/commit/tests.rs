#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use openmls::prelude::{DeserializeBytes as _, LeafNodeParameters, MlsMessageIn, ProcessedMessageContent};
use openmls_rust_crypto::RustCrypto;
use phoenix_core::{
    LeafIndex, Pseudonym, Reject,
    api::delivery::{CommitRequest, MAX_PROPOSALS, Mls},
    wire::{List, Wire},
};

use super::{Committer, Submission, stage};
use crate::{
    AddUsers, DeliverySettings, UpdateClient,
    accept::accept,
    group::Group,
    rules::Act,
    testing::{Member, World, refusal, rejected},
};

/// The group with a proposal stored, as an endpoint that takes proposals would leave it.
fn with_proposal(mut group: Group, message: &Mls) -> Group {
    let crypto = RustCrypto::default();
    let proposal =
        MlsMessageIn::tls_deserialize_exact_bytes(message).unwrap().try_into_protocol_message().unwrap();
    let processed = group.tree.group.process_message(&crypto, proposal).unwrap();
    let ProcessedMessageContent::ProposalMessage(queued) = processed.into_content() else { unreachable!() };
    group.tree.store(*queued, message.clone()).unwrap();
    group
}

fn submission(request: &CommitRequest) -> Submission<'_> {
    Submission { access: &request.access, commit: &request.commit, update: &request.group_info }
}

#[test]
fn a_members_commit_covers_all_stored_proposals_or_learns_them() {
    let world = World::new();
    let [mut a, mut b, mut c] = ["alpha.test"; 3].map(|it| Member::new(&world, it));
    a.create(&world, None).unwrap();
    a.add(&world, &mut [&mut b, &mut c]).unwrap();
    let access = a.access.clone().unwrap();
    let proposal = b.leaving();
    let committer = Committer::Member(LeafIndex(0));

    let deaf = a.commit(Vec::new(), &[], 0).request;
    let group = with_proposal(world.group(&access), &proposal);
    let refused = refusal(stage(group, submission(&deaf), committer, Act::Update));
    let told = List::<Mls, MAX_PROPOSALS>::decode(&refused.detail).unwrap();
    a.hear(&told[0]);
    let covering = a.commit(Vec::new(), &[], 0).request;
    let group = with_proposal(world.group(&access), &proposal);
    let staged = stage(group, submission(&covering), committer, Act::Update).unwrap();
    let cx = world.context();
    let outcome = accept(staged, Vec::new(), &cx, |arrived| arrived).map(drop);

    assert_eq!(refused.reject, Reject::PendingProposals);
    assert_eq!(told[..], [proposal]);
    assert!(outcome.is_ok());
}

#[test]
fn stored_proposals_come_back_with_the_group() {
    let world = World::new();
    let [mut a, mut b] = ["alpha.test"; 2].map(|it| Member::new(&world, it));
    a.create(&world, None).unwrap();
    a.add(&world, &mut [&mut b]).unwrap();
    let access = a.access.clone().unwrap();
    let group = with_proposal(world.group(&access), &b.leaving());

    let again = crate::tree::Tree::load(group.tree.record().unwrap(), &access.group).unwrap();

    assert_eq!(again.stored().unwrap(), group.tree.stored().unwrap());
    assert_eq!(again.proposals, group.tree.proposals);
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
