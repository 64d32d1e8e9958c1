//! What happened, for the application.

use bytes::Bytes;
use phoenix_core::{AliasHash, Epoch, GroupId, LeafIndex, Timestamp, UserId};

/// Something that happened, in the order in which it did. Each event is handed out once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A user offers a connection. Show the id and nothing else until the offer is accepted.
    Offer {
        /// What to accept or to ignore.
        offer: OfferId,
        /// Who offers; the chain of their credential was verified.
        from: UserId,
        /// The alias that they found us by, if so.
        alias: Option<AliasHash>,
    },
    /// Someone answered an offer that was made to an alias. Show who it is, then confirm or close the group.
    AliasAnswered {
        /// The connection group.
        group: GroupId,
        /// Who is behind the alias.
        user: UserId,
    },
    /// Another user than the one that was asked answered an offer; the group was closed.
    AnswerRefused {
        /// What was the connection group.
        group: GroupId,
        /// Who answered.
        user: UserId,
    },
    /// A connection stands: each can add the other to groups now.
    Connected {
        /// The connection group.
        group: GroupId,
        /// The other.
        user: UserId,
    },
    /// We were added to a group, by a user that we are connected with.
    Joined {
        /// The group.
        group: GroupId,
        /// Who added us.
        by: UserId,
    },
    /// A message.
    Message(Message),
    /// A user was added to a group.
    MemberAdded {
        /// The group.
        group: GroupId,
        /// Who was added.
        user: UserId,
    },
    /// A user was removed from a group, or left it.
    MemberRemoved {
        /// The group.
        group: GroupId,
        /// Who is gone.
        user: UserId,
    },
    /// We were removed from a group. What is sent to it from now on cannot be read.
    Removed {
        /// The group.
        group: GroupId,
    },
    /// A group has a new epoch.
    EpochChanged {
        /// The group.
        group: GroupId,
        /// Its epoch.
        epoch: Epoch,
    },
    /// A user that we are connected with shows another signature key than the one that was pinned: another client,
    /// or someone who only claims to be them. Compare safety numbers.
    KeyChanged {
        /// Who.
        user: UserId,
    },
    /// A member's leaf does not prove who is behind it: nothing from it is shown.
    Unverified {
        /// The group.
        group: GroupId,
        /// The member.
        leaf: LeafIndex,
    },
    /// A member did what its role does not allow, and the DS let it pass. It was merged, since all others do so too.
    RoleViolated {
        /// The group.
        group: GroupId,
        /// The member.
        leaf: LeafIndex,
    },
    /// A message that the group's DS accepted cannot be opened, or is not what its sender claims. Worth a report.
    Undecryptable {
        /// The group.
        group: GroupId,
        /// The member that sent it, by the frame of its request.
        sender: LeafIndex,
    },
    /// An invitation came from someone that we are not connected with, or does not verify; it was refused.
    InvitationRefused,
    /// Entries of a queue were lost before they were read: groups may have to be joined anew.
    Gap,
    /// Few AddPackages are left at the QS; [`Client::maintain`](crate::Client::maintain) publishes more.
    PackagesLow,
}

/// A message of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The group.
    pub group: GroupId,
    /// Who sent it; verified.
    pub sender: UserId,
    /// What it says.
    pub text: Bytes,
    /// When the group's DS accepted it, to the second.
    pub accepted_at: Timestamp,
}

/// Names an offer of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OfferId(pub(crate) [u8; 32]);
