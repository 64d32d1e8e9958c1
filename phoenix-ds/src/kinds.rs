//! The partitions of the delivery service, and the rows in them (09).

use bytes::Bytes;
use phoenix_core::{
    Epoch, GroupId, MessageId,
    crypto::AtRestKey,
    operation::{Local, OnAlarm},
    wire::Wire,
};

use crate::sealed::Ear;

/// A group, under a keyed hash of its id. Its alarm rings 90 days after the month of its last commit, and drops it.
///
/// Rows: [`CLEAR`], [`TOMBSTONE`], [`NOTES`], [`ROSTER`], joiner snapshots (see [`snapshot`]), [`TREE`]. Of a group that
/// was deleted there is [`BARRED`] alone.
pub(crate) const GROUP: u8 = 1;
/// That a message was accepted, under a keyed hash of group, leaf and message id: one row, a keyed hash of group, message
/// id and pseudonym. Its alarm rings after an hour, and drops it.
pub(crate) const RECEIPT: u8 = 2;

/// What happens when the alarm of a partition rings.
pub(crate) const fn on_alarm(_kind: u8) -> OnAlarm {
    OnAlarm::Drop
}

/// The group's row in clear: a [`Clear`](crate::group::Clear).
pub(crate) const CLEAR: Bytes = Bytes::from_static(b"c");
/// The secret half of the tombstone key, under the EAR key. Made with the group and never written again, and of one
/// length in all groups: so it is also what tells whether a request's EAR key is the group's, before any other row is
/// read.
pub(crate) const TOMBSTONE: Bytes = Bytes::from_static(b"k");
/// Notes that queues are gone: [`Notes`](crate::notes::Notes), each under the tombstone key, and all padded.
pub(crate) const NOTES: Bytes = Bytes::from_static(b"n");
/// The members: a [`Roster`](crate::roster::Roster) under the EAR key.
pub(crate) const ROSTER: Bytes = Bytes::from_static(b"r");
/// The public MLS group: a [`TreeRecord`](crate::tree::TreeRecord) under the EAR key.
pub(crate) const TREE: Bytes = Bytes::from_static(b"t");

/// That a group was deleted, and its id is barred until the partition's alarm rings. Behind all other rows.
pub(crate) const BARRED: Bytes = Bytes::from_static(b"x");

/// The partition of a group.
pub(crate) fn group(at_rest: &AtRestKey, group: &GroupId) -> Local {
    Local::new(GROUP, at_rest.prf("group", &group.encode()))
}

/// The partition that says that a message was accepted. Not under its sender's leaf, which is another once the sender
/// came back.
pub(crate) fn receipt(at_rest: &AtRestKey, group: &GroupId, id: MessageId) -> Local {
    Local::new(RECEIPT, at_rest.prf("message", &(group.clone(), id).encode()))
}

/// The lane on which a group's messages travel in order; related to no other key.
pub(crate) fn lane(at_rest: &AtRestKey, group: &GroupId) -> Bytes {
    at_rest.prf("lane", &group.encode()).to_vec().into()
}

/// The row of what joiners of an epoch need: a [`Snapshot`](crate::snapshot::Snapshot) under the EAR key. The key
/// does not tell the epoch.
pub(crate) fn snapshot(ear: &Ear, epoch: Epoch) -> Bytes {
    [b"s".as_slice(), &ear.prf("snapshot", &epoch.encode())].concat().into()
}
