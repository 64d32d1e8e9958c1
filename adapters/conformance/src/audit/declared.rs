//! What some kinds of records may do and all others may not: the one table of the audit's exceptions, each with its
//! reason. A kind that is not named here may do nothing special.

use phoenix_core::{crypto::SEAL_OVERHEAD, port::Space};

use super::Kind;

/// A row of the DS's partitions that is padded to a ladder of its own.
pub(super) struct Size {
    /// The kind of the partition.
    pub(super) kind: u8,
    /// What the row's key begins with.
    pub(super) begins: &'static [u8],
    /// The lowest step, without the seal.
    pub(super) floor: usize,
    /// The bytes of the seal around what is padded.
    pub(super) seal: usize,
}

/// Group ciphertexts (07, "State").
pub(super) const SIZES: &[Size] = &[
    // The roster.
    Size { kind: GROUP, begins: b"r", floor: LEAST_FLOOR, seal: SEAL_OVERHEAD },
    // The tree.
    Size { kind: GROUP, begins: b"t", floor: 16 << 10, seal: SEAL_OVERHEAD },
    // Joiner snapshots.
    Size { kind: GROUP, begins: b"s", floor: 16 << 10, seal: SEAL_OVERHEAD },
    // Notes that queues are gone: each is sealed, and all are padded together.
    Size { kind: GROUP, begins: b"n", floor: 12 << 10, seal: 0 },
];

/// Rows of the DS without a ladder of their own: keys and months are small and of one size each.
pub(super) const SMALL: usize = 512;
/// The lowest step of any larger row.
pub(super) const LEAST_FLOOR: usize = 4 << 10;

/// Kinds of partitions that lie under the id of whom they are about, or name it: these words may stand there, and in no
/// other record of their service. What an alias is, or what was issued to whom, names nobody (09, "What may be
/// persisted").
pub(super) const NAMING: &[(Kind, Space, u8, &str)] = &[
    (Kind::User, Space::As, 1, "users"),
    (Kind::User, Space::As, 2, "clients"),
    (Kind::User, Space::As, 3, "direct queues of clients"),
    (Kind::User, Space::As, 4, "connection packages of clients"),
    (Kind::User, Space::As, 5, "registrations under way"),
    (Kind::User, Space::As, 20, "profiles"),
    (Kind::User, Space::As, 31, "changes of password under way"),
    (Kind::User, Space::As, 42, "whom a user's DPoP tokens are for"),
    (Kind::Queue, Space::Qs, 1, "users of the QS"),
    (Kind::Queue, Space::Qs, 2, "clients of the QS and their queues"),
    (Kind::Queue, Space::Qs, 3, "AddPackages of a client"),
];

/// Kinds whose rows are numbered by nature: the numbers tell the order within one owner's queue, which its service
/// sees anyway, and nothing about other owners.
pub(super) const NUMBERED: &[(Space, u8, &str)] = &[
    (Space::As, 3, "direct queues of clients"),
    (Space::As, 7, "direct queues of aliases"),
    (Space::As, 4, "connection packages of clients"),
    (Space::As, 8, "connection packages of aliases"),
    (Space::As, 20, "versions of a profile"),
    (Space::Qs, 2, "queues"),
    (Space::Qs, 3, "AddPackages of a client"),
    (Space::Qs, 6, "mailboxes"),
    (Space::Qs, 8, "what a homeserver refused as bad"),
];

/// Kinds of the QS and the DS whose values may hold times finer than a day: they limit or end something and go with
/// it, and are about a homeserver or a delivery, not about a client.
pub(super) const TIMED: &[(Space, u8, &str)] = &[
    (Space::Qs, 4, "results of a delivery, for ten days"),
    (Space::Qs, 5, "deliveries of a homeserver that were put off"),
    (Space::Qs, 6, "mailboxes: the time of the next try"),
    (Space::Qs, 7, "sending of a mailbox"),
    (Space::Qs, 9, "what a homeserver put off"),
];

/// Names of rows that are long enough to be noticed.
pub(super) const CONSTANTS: &[(&[u8], &str)] =
    &[(b"\xff\xff\xff\xff\xff\xff\xff\xff idle", "the row of a lane that rests")];

/// The kind of a group.
const GROUP: u8 = 1;
