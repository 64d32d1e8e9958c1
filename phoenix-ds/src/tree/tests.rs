#![allow(clippy::unwrap_used, reason = "tests")]

use phoenix_core::{
    Epoch, Fqdn, GroupId, Uuid,
    api::delivery::{GroupAccess, MAX_MEMBERS, MAX_MLS, MAX_TREE},
    crypto::{Suite, pad},
    wire::Wire,
};

use super::{Tree, TreeRecord};
use crate::testing::{Member, World};

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
