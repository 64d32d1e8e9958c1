//! What happened, for the application.

use bytes::Bytes;
use phoenix_core::{
    AliasHash, ClientId, Epoch, Fqdn, GroupId, LeafIndex, Timestamp, UserId, Uuid, wire::Flag,
};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use crate::{fingerprint::KeyFingerprint, group::Asked};

/// Something that happened, in the order in which it did. Each event is handed out once; a client that goes on from a
/// saved state hands out again what [`Client::sync`](crate::Client::sync) was not called after before it was saved.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
#[repr(u8)]
pub enum Event {
    /// A user offers a connection. Show the id and nothing else until the offer is accepted.
    #[tls_codec(discriminant = 1)]
    Offer {
        /// What to accept or to ignore.
        offer: OfferId,
        /// Who offers; the chain of their credential was verified.
        from: UserId,
        /// The alias that they found us by, if so.
        alias: Option<AliasHash>,
    },
    /// Someone answered an offer that was made to an alias. Show who it is, then confirm or close the group.
    #[tls_codec(discriminant = 2)]
    AliasAnswered {
        /// The connection group.
        group: GroupId,
        /// Who is behind the alias.
        user: UserId,
    },
    /// Another user than the one that was asked answered an offer; the group was closed.
    #[tls_codec(discriminant = 3)]
    AnswerRefused {
        /// What was the connection group.
        group: GroupId,
        /// Who answered.
        user: UserId,
    },
    /// A connection stands: each can add the other to groups now.
    #[tls_codec(discriminant = 4)]
    Connected {
        /// The connection group.
        group: GroupId,
        /// The other.
        user: UserId,
    },
    /// We were added to a group, by a user that we are connected with.
    #[tls_codec(discriminant = 5)]
    Joined {
        /// The group.
        group: GroupId,
        /// Who added us.
        by: UserId,
    },
    /// A message.
    #[tls_codec(discriminant = 6)]
    Message(Message),
    /// A user was added to a group.
    #[tls_codec(discriminant = 7)]
    MemberAdded {
        /// The group.
        group: GroupId,
        /// Who was added.
        user: UserId,
    },
    /// A user was removed from a group, or left it.
    #[tls_codec(discriminant = 8)]
    MemberRemoved {
        /// The group.
        group: GroupId,
        /// Who is gone.
        user: UserId,
    },
    /// We are in a group no more: we were removed, have left, or have ended it. What is sent to it from now on cannot be
    /// read.
    #[tls_codec(discriminant = 9)]
    Removed {
        /// The group.
        group: GroupId,
    },
    /// A group has a new epoch.
    #[tls_codec(discriminant = 10)]
    EpochChanged {
        /// The group.
        group: GroupId,
        /// Its epoch.
        epoch: Epoch,
    },
    /// A user that we are connected with shows another signature key than the one that was pinned: another client,
    /// or someone who only claims to be them. Compare safety numbers.
    #[tls_codec(discriminant = 11)]
    KeyChanged {
        /// Who.
        user: UserId,
    },
    /// A member's leaf does not prove who is behind it: nothing from it is shown.
    #[tls_codec(discriminant = 12)]
    Unverified {
        /// The group.
        group: GroupId,
        /// The member.
        leaf: LeafIndex,
    },
    /// A member did what its role does not allow, and the DS let it pass. It was merged, since all others do so too; then
    /// the group was given up ([`Event::GivenUp`]).
    #[tls_codec(discriminant = 13)]
    RoleViolated {
        /// The group.
        group: GroupId,
        /// The member.
        leaf: LeafIndex,
    },
    /// A message that the group's DS accepted cannot be opened, or is not what its sender claims. Worth a report:
    /// [`Client::report`](crate::Client::report).
    #[tls_codec(discriminant = 14)]
    Undecryptable {
        /// The group.
        group: GroupId,
        /// The member that sent it, by the frame of its request.
        sender: LeafIndex,
    },
    /// An invitation came from someone that we are not connected with, or does not verify; it was refused.
    #[tls_codec(discriminant = 15)]
    InvitationRefused,
    /// Entries of a queue were lost before they were read. The client asks for the state of its groups, and comes back
    /// where it fell behind ([`Event::Resynced`]).
    #[tls_codec(discriminant = 16)]
    Gap,
    /// Few AddPackages are left at the QS; [`Client::maintain`](crate::Client::maintain) publishes more.
    #[tls_codec(discriminant = 17)]
    PackagesLow,
    /// An offer of ours was declined.
    #[tls_codec(discriminant = 18)]
    Declined {
        /// The connection group; nobody will join it by that offer.
        group: GroupId,
        /// Whom we asked.
        to: Asked,
    },
    /// A client of a user was revoked: removed by the user, or gone with it. What it says from then on is not shown,
    /// and it is removed from groups that we are admin of. Where it is our own user, this client can do nothing
    /// any more.
    #[tls_codec(discriminant = 19)]
    Revoked {
        /// Whose client.
        user: UserId,
    },
    /// A homeserver shows different token keys to different clients, by which it could tell them apart. No tokens of
    /// it are spent until [`Client::check_token_keys`](crate::Client::check_token_keys) finds nothing wrong any more.
    #[tls_codec(discriminant = 20)]
    TokenKeysDiffer {
        /// Which.
        domain: Fqdn,
    },
    /// Another client of our own user gives us what the two have in common. Nothing of it counts before
    /// [`Client::accept_provision`](crate::Client::accept_provision).
    #[tls_codec(discriminant = 21)]
    ProvisionOffered {
        /// The client.
        from: Uuid,
        /// The fingerprint of its key: let the user compare it with the one that the other client shows.
        fingerprint: KeyFingerprint,
    },
    /// A member of a group shows a user that we are connected with, but with another key than the one that is pinned:
    /// nothing from it is shown. [`Client::accept_key`](crate::Client::accept_key) believes it, once it was compared.
    #[tls_codec(discriminant = 22)]
    MemberKeyChanged {
        /// The group.
        group: GroupId,
        /// The member.
        leaf: LeafIndex,
        /// Whom it shows.
        client: ClientId,
    },
    /// Another client of our own user is in a group of ours, and neither was given anything by this one nor gave this
    /// one anything. Told once; where the user does not know it, [`Client::remove_client`](crate::Client::remove_client).
    #[tls_codec(discriminant = 23)]
    OwnClient {
        /// The client.
        client: Uuid,
    },
    /// This client fell behind in a group, or could not process what was accepted, and has come back by itself. What was
    /// said in between cannot be read.
    #[tls_codec(discriminant = 25)]
    Resynced {
        /// The group.
        group: GroupId,
        /// Its epoch now.
        epoch: Epoch,
    },
    /// A group's homeserver let happen what it must not. What comes is shown still, but nothing is sent to the group any
    /// more: leave it, and make another.
    #[tls_codec(discriminant = 26)]
    GivenUp {
        /// The group.
        group: GroupId,
        /// What happened.
        cause: Distrust,
    },
    /// A member gave the group the key of a new version of its profile: [`Client::member_profile`](crate::Client::member_profile).
    #[tls_codec(discriminant = 27)]
    ProfileChanged {
        /// The group.
        group: GroupId,
        /// Whose profile.
        user: UserId,
    },
    /// A user that we are connected with vouches for a further client of theirs: it is taken for them from now on.
    #[tls_codec(discriminant = 28)]
    ClientAdded {
        /// Whose client.
        user: UserId,
        /// The client.
        client: Uuid,
    },
    /// The second path to a homeserver has not answered for days: whether it shows everyone the same token keys is not
    /// known. Told once, until it answers again.
    #[tls_codec(discriminant = 24)]
    NoWitness {
        /// The homeserver.
        domain: Fqdn,
    },
}

/// Why a group's homeserver is not to be trusted with it any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
#[repr(u8)]
pub enum Distrust {
    /// It accepted a commit that its proposer had no right to; whoever came in by it reads what is sent.
    RoleViolated = 1,
    /// It has an older state of the group than this client saw accepted (09, "Restore").
    WentBack = 2,
    /// It shows this client another history of the group than others: two groups that look like one.
    Forked = 3,
}

/// Whom a message was sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
#[repr(u8)]
pub enum Audience {
    /// All members.
    Everybody = 1,
    /// This client alone. The others could open it, but were not sent it.
    Us = 2,
}

/// A message of a group.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct Message {
    /// The group.
    pub group: GroupId,
    /// Who sent it; verified.
    pub sender: UserId,
    /// Which of the sender's clients.
    pub client: Uuid,
    /// What it says.
    #[tls_codec(with = "text")]
    pub text: Bytes,
    /// When the group's DS accepted it, to the second.
    pub accepted_at: Timestamp,
    /// Whom it was sent to.
    pub audience: Audience,
    /// Whether it is of the moment (typing, presence), and not to be kept.
    pub ephemeral: Flag,
}

/// Names an offer of a connection.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, TlsSerialize, TlsDeserializeBytes, TlsSize,
)]
pub struct OfferId(pub(crate) [u8; 32]);

mod text {
    use std::io;

    use bytes::Bytes;
    use tls_codec::{DeserializeBytes, Error, Serialize, Size, VLByteSlice, VLBytes};

    pub(super) fn tls_serialized_len(text: &Bytes) -> usize {
        VLByteSlice(text).tls_serialized_len()
    }

    pub(super) fn tls_serialize<W: io::Write>(text: &Bytes, writer: &mut W) -> Result<usize, Error> {
        VLByteSlice(text).tls_serialize(writer)
    }

    pub(super) fn tls_deserialize_bytes(input: &[u8]) -> Result<(Bytes, &[u8]), Error> {
        VLBytes::tls_deserialize_bytes(input).map(|(text, rest)| (Vec::from(text).into(), rest))
    }
}
