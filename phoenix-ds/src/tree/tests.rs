#![allow(clippy::unwrap_used, reason = "tests")]

use openmls::prelude::ProcessedMessageContent;
use openmls_rust_crypto::RustCrypto;
use phoenix_core::{
    Epoch, Fqdn, GroupId, LeafIndex, Reject, Uuid,
    api::delivery::{GroupAccess, MAX_MEMBERS, MAX_MLS, MAX_PROPOSAL, MAX_TREE},
    crypto::{Suite, pad},
    wire::Wire,
};

use super::{Reason, Tree, TreeRecord};
use crate::{
    mls::frames,
    testing::{Member, World, rejected},
};

/// A group of two in epoch 1, as version 1 of the record holds it: OpenMLS's parts are not self-describing, so a
/// library that encodes them differently must be noticed here and not on an operator's disk.
const GOLDEN: &[u8] = include_bytes!("golden_v1.bin");
const GOLDEN_ID: [u8; 16] = *include_bytes!("golden_v1.id");

#[test]
fn a_record_of_the_first_version_is_read_and_written_as_ever() {
    let id = GroupId { uuid: Uuid(GOLDEN_ID), domain: "alpha.test".parse::<Fqdn>().unwrap() };

    let tree = Tree::load(TreeRecord::decode(GOLDEN).unwrap(), &id).unwrap();

    assert_eq!(tree.epoch(), Epoch(1));
    assert_eq!(tree.group.members().count(), 2);
    assert_eq!(tree.record().unwrap().encode(), GOLDEN);
}

#[test]
fn a_group_keeps_so_many_proposals_and_no_more() {
    let world = World::new();
    let [mut a, mut b] = ["alpha.test"; 2].map(|it| Member::new(&world, it));
    a.create(&world, None).unwrap();
    a.add(&world, &mut [&mut b]).unwrap();
    let (access, message) = (a.access.clone().unwrap(), b.leaving());
    let mut tree = world.group(&access).tree;
    let proposal = frames::proposal(&message, &access.group.encode()).unwrap();
    let processed = tree.group.process_message(&RustCrypto::default(), proposal).unwrap();
    let ProcessedMessageContent::ProposalMessage(queued) = processed.into_content() else { unreachable!() };

    let mut store = |leaf| tree.store((*queued).clone(), (LeafIndex(leaf), Reason::Left), message.clone());
    let stored = (0..64).all(|leaf| store(leaf).is_ok());

    assert!(stored);
    assert_eq!(rejected(store(64)), Reject::TooLarge("proposals"));
    // They fit into the detail of an error, if each is as long as it may be.
    const { assert!(64 * (MAX_PROPOSAL + 2) + 4 <= 64 << 10) };
}

#[test]
fn a_record_that_was_cut_short_is_a_fault_and_no_panic() {
    let id = GroupId { uuid: Uuid(GOLDEN_ID), domain: "alpha.test".parse::<Fqdn>().unwrap() };
    for length in (0..GOLDEN.len()).step_by(13) {
        let cut = TreeRecord::decode(GOLDEN.get(..length).unwrap());
        assert!(cut.is_err(), "{length}");
    }
    let mut record = TreeRecord::decode(GOLDEN).unwrap();
    record.context = record.tag.clone();
    assert!(Tree::load(record, &id).is_err());
}

#[test]
fn the_tree_of_a_full_group_is_longer_than_a_message_and_within_its_own_bound() {
    let world = World::new();
    let mut a = Member::with(&world, "alpha.test", Suite::P256);
    a.create(&world, None).unwrap();
    let access = a.access.clone().unwrap();
    let (before, grown) = (sizes(&world, &access), 48);

    a.grow(&world, grown, |_| "alpha.test".to_owned());

    for (before, after) in before.into_iter().zip(sizes(&world, &access)) {
        let full = (after - before) / grown * MAX_MEMBERS;
        assert!(full > MAX_MLS);
        // Its row also holds what members know of each other, or the GroupInfo, whose roles may be a thousand.
        assert!(pad(&vec![0; full + (256 << 10)], 0).len() < MAX_TREE);
    }
}

/// Bytes of the tree as joiners get it, and as it is stored.
fn sizes(world: &World, access: &GroupAccess) -> [usize; 2] {
    let tree = world.group(access).tree;
    [tree.ratchet_tree().unwrap().len(), tree.record().unwrap().encode().len()]
}
