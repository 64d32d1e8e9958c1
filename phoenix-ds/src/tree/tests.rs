#![allow(clippy::unwrap_used, reason = "tests")]

use phoenix_core::{Epoch, Fqdn, GroupId, Uuid, wire::Wire};

use super::{Tree, TreeRecord};

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
