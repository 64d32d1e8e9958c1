//! Groups: making, joining, changing, sending, receiving (07).

mod accept;
mod commit;
mod create;
mod external;
mod invite;
mod join;
mod leave;
mod members;
mod mend;
mod pins;
mod plan;
mod process;
mod profiles;
mod receive;
mod renew;
mod resync;
mod roles;
mod send;
mod trust;

use std::sync::Arc;

use openmls::prelude::{MlsGroupJoinConfig, PURE_PLAINTEXT_WIRE_FORMAT_POLICY};
use phoenix_core::{
    AliasHash, ClientId, ConfigId, Epoch, Fingerprint, GroupId, LeafIndex, MessageId, Pseudonym, QsClientId,
    Timestamp, UserId, Uuid,
    api::{
        delivery::{GroupAccess, MemberKeys},
        queue::MAX_LINK_KEY,
    },
    crypto::{Chance, VerifyingKey, open_with_key, seal_with_key},
    port::Circuit,
    wire::{Flag, MAX_BODY, Opaque, Secret, Sender, Wire},
};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

pub(crate) use members::{LeafKeys, Tell};
pub(crate) use plan::Plan;
pub(crate) use send::Letter;
pub(crate) use trust::Effort;

use crate::{
    call::{Auth, Route},
    error::ClientError,
    mls::{leaf::OwnLeaf, provider::Blob},
    session::Session,
    state::FriendshipKeys,
    table::Table,
};

/// What we keep of a group beside what OpenMLS keeps.
#[derive(Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct GroupRecord {
    pub(crate) circuit: u64,
    pub(crate) access: GroupAccess,
    /// Seals the members' link keys.
    pub(crate) credential_key: Secret<32>,
    /// Seals the members' profile keys.
    pub(crate) profile_key: Secret<32>,
    pub(crate) leaf: OwnLeaf,
    /// The leaf that takes its place, where that is due: made some time before, since a state that was saved in between
    /// and goes on must know the keys that the DS knows us by.
    pub(crate) next_leaf: Option<OwnLeaf>,
    /// The pseudonym that we had before, where we came by a last-resort package.
    pub(crate) former_name: Option<Pseudonym>,
    /// The queue config that the DS has of us.
    pub(crate) config: ConfigId,
    /// The queue that it leads to.
    pub(crate) queue: QsClientId,
    /// Of which generation that is.
    pub(crate) config_generation: u32,
    /// The one that it gets next: known before, for the same reason as the next leaf.
    pub(crate) next_config: Option<ConfigId>,
    /// Those that the DS was given and has perhaps, since no answer came; the oldest first, one of each queue at most.
    pub(crate) given: Vec<Given>,
    /// Whether the present one is one for any DS still, to be replaced before anything else is sent.
    pub(crate) is_config_shared: Flag,
    /// When it is to be replaced since it ends soon, in seconds.
    pub(crate) config_until: u64,
    /// Whether we joined by a last-resort package: the leaf is replaced by our first commit.
    pub(crate) is_leaf_shared: Flag,
    pub(crate) standing: Standing,
    pub(crate) health: Health,
    /// The last epoch that the DS has surely accepted: we never go back behind it.
    pub(crate) reached: u64,
    /// When a commit of ours was accepted last, or we came in.
    pub(crate) committed_at: Timestamp,
    /// The version of our profile whose key the members have; 0 for none.
    pub(crate) profile_told: u32,
    pub(crate) members: Table<LeafIndex, MemberRecord>,
    /// SHA-256 of the commits that led out of the last epochs, as far as we merged them.
    pub(crate) history: Table<u64, [u8; 32]>,
    /// How many accepted commits of a member we could not process.
    pub(crate) failed: Table<Pseudonym, u8>,
    /// Members of past epochs whose messages can be opened still, by the last epoch that they were in.
    pub(crate) former: Table<(u64, LeafIndex), FormerMember>,
    /// Who is or was behind which leaf, by the hash of its credential and key; verified.
    pub(crate) faces: Table<[u8; 32], Face>,
    /// Users that the application was told of.
    pub(crate) told: Table<UserId, Flag>,
    pub(crate) connection: ConnectionState,
    /// Messages whose answers did not come, by the SHA-256 of their texts.
    pub(crate) unsent: Table<[u8; 32], Unsent>,
    /// Our commit that is on its way.
    pub(crate) sent: Option<Sent>,
    /// SHA-256 of our last commit that was accepted.
    pub(crate) merged: [u8; 32],
    /// The plan of a removal, of a change of roles or of the group's end that was accepted, of which whoever asked for
    /// it was not told yet.
    pub(crate) done: Option<[u8; 32]>,
}

impl GroupRecord {
    /// A group that we are a member of, and know nobody in yet. `keys` are the credential key and the profile key.
    pub(crate) fn new(
        circuit: u64,
        access: GroupAccess,
        (credential_key, profile_key): (Secret<32>, Secret<32>),
        (leaf, config, queue): (OwnLeaf, ConfigId, QsClientId),
    ) -> Self {
        Self {
            circuit,
            access,
            credential_key,
            profile_key,
            leaf,
            next_leaf: None,
            former_name: None,
            config,
            queue,
            config_generation: 0,
            next_config: None,
            given: Vec::new(),
            is_config_shared: Flag::No,
            config_until: u64::MAX,
            is_leaf_shared: Flag::No,
            standing: Standing::Member,
            health: Health::Sound,
            reached: 0,
            committed_at: Timestamp::from_secs(0),
            profile_told: 0,
            members: Table::default(),
            history: Table::default(),
            failed: Table::default(),
            former: Table::default(),
            faces: Table::default(),
            told: Table::default(),
            connection: ConnectionState::None,
            unsent: Table::default(),
            sent: None,
            merged: [0; 32],
            done: None,
        }
    }
}

/// A queue config that a DS was given.
#[derive(Clone, Copy, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct Given {
    pub(crate) config: ConfigId,
    /// The queue that it leads to.
    pub(crate) queue: QsClientId,
    /// Of which generation it is.
    pub(crate) generation: u32,
}

/// How we stand to a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
#[repr(u8)]
pub(crate) enum Standing {
    /// We asked to join, and wait for the answer.
    Joining = 1,
    Member = 2,
    Removed = 3,
    /// We have proposed that we leave, and wait for a member to commit it.
    Leaving = 4,
}

impl Standing {
    /// Whether we have a leaf in the group.
    pub(crate) const fn is_inside(self) -> bool {
        matches!(self, Self::Member | Self::Leaving)
    }
}

/// How far our state of a group can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
#[repr(u8)]
pub(crate) enum Health {
    /// It is the group's, as far as we know.
    Sound = 1,
    /// Entries of our queue were lost: it is to be compared with what the DS has.
    Doubtful = 2,
    /// We missed something, or could not process a commit: we resync (03).
    Lost = 3,
    /// The DS let happen what it must not: nothing is sent any more.
    GivenUp = 4,
}

/// A member, as its leaf shows it.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct MemberRecord {
    pub(crate) pseudonym: Pseudonym,
    /// The leaf's signature key.
    pub(crate) leaf_key: Blob,
    /// Names the leaf: hash of its credential and signature key.
    pub(crate) face: [u8; 32],
    /// The first epoch that we saw the leaf in.
    pub(crate) since: u64,
    /// The key of its identity link, under the group's credential key; that of its profile, under the profile key.
    pub(crate) keys: MemberKeys,
    pub(crate) trust: Trust,
    /// Who was verified to be behind this leaf, or behind the one that committed it in its own place.
    pub(crate) proven: Option<UserId>,
    /// Since when its messages wait, where its AS does not answer.
    pub(crate) held_from: Option<Timestamp>,
}

/// A leaf that is not in the tree any more.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct FormerMember {
    /// The first epoch that we saw it in.
    pub(crate) since: u64,
    pub(crate) face: [u8; 32],
}

/// What we know of who is behind a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
#[repr(u8)]
pub(crate) enum Trust {
    /// New, and not looked at yet.
    Unknown = 1,
    Verified = 2,
    /// The link does not verify.
    False = 3,
    /// It verified, by a chain that has ended since.
    Expired = 4,
    /// It verified, by a credential that was revoked since: what was said before is still theirs.
    Revoked = 5,
    /// It verifies, but with another key than the one that is pinned: nobody says that it is the same person.
    KeyChanged = 6,
    /// Its chain had ended when it was first seen. Whether it was revoked before cannot be known any more.
    Unproven = 7,
}

impl Trust {
    /// Whether it is known who is behind the leaf.
    pub(crate) const fn is_proof(self) -> bool {
        matches!(self, Self::Verified | Self::Expired)
    }

    /// Whether what it says is never shown as anybody's.
    pub(crate) const fn is_hidden(self) -> bool {
        matches!(self, Self::False | Self::KeyChanged | Self::Unproven)
    }

    /// Whether the leaf has no business in a group (any more).
    pub(crate) const fn is_bad(self) -> bool {
        matches!(self, Self::False | Self::Revoked)
    }
}

/// Who is behind a leaf.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct Face {
    pub(crate) client: ClientId,
    pub(crate) key: VerifyingKey,
    /// The credential that the leaf's identity link holds.
    pub(crate) credential: Fingerprint,
    /// Since which second that is void, if it is.
    pub(crate) revoked_at: Option<u64>,
    pub(crate) leaf_key: Blob,
}

/// Whether a group is a connection, and how far it has come.
#[derive(Clone, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
#[repr(u8)]
pub(crate) enum ConnectionState {
    /// An ordinary group.
    #[tls_codec(discriminant = 1)]
    None,
    /// We offered, and wait for an answer.
    #[tls_codec(discriminant = 2)]
    Open(OpenOffer),
    /// Whoever is behind an alias answered, and waits to be confirmed.
    #[tls_codec(discriminant = 3)]
    Answered(Answer),
    /// It stands.
    #[tls_codec(discriminant = 4)]
    Stands(UserId),
}

/// An offer of ours.
#[derive(Clone, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct OpenOffer {
    pub(crate) asked: Asked,
    pub(crate) join_code: Secret<32>,
    /// Last second of the offer.
    pub(crate) expires: u64,
    /// What whoever joined sent along, before it is known who that is.
    pub(crate) answer: Option<FriendshipKeys>,
}

/// Whom a connection was offered.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
#[repr(u8)]
pub enum Asked {
    /// A user.
    #[tls_codec(discriminant = 1)]
    User(UserId),
    /// Whoever is behind an alias.
    #[tls_codec(discriminant = 2)]
    Alias(AliasHash),
}

/// Who answered.
#[derive(Clone, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct Answer {
    pub(crate) user: UserId,
    pub(crate) key: VerifyingKey,
    pub(crate) credential: Fingerprint,
    pub(crate) friendship: FriendshipKeys,
}

/// A commit of ours that was made, and of which we do not know yet what became.
#[derive(Clone, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct Sent {
    pub(crate) act: Act,
    /// What tells the plan from others, if it may be asked for again.
    pub(crate) plan: Option<[u8; 32]>,
    /// SHA-256 of the commit's MLSMessage.
    pub(crate) hash: [u8; 32],
    /// The request, to be sent again unchanged.
    pub(crate) body: Opaque<MAX_BODY>,
    /// Sealed keys of the leaves that it brings, by their signature keys.
    pub(crate) fresh: LeafKeys,
    /// The leaf that replaces ours, if it does.
    pub(crate) leaf: Option<OwnLeaf>,
}

/// A message that may have been accepted: trying again sends it under the same id, and so once.
#[derive(Clone, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct Unsent {
    pub(crate) id: MessageId,
    /// When it was tried first.
    pub(crate) at: Timestamp,
}

/// What a commit is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
#[repr(u8)]
pub(crate) enum Act {
    Add = 1,
    Remove = 2,
    Update = 3,
    Join = 4,
    Roles = 5,
    Delete = 6,
    Resync = 7,
}

/// A member of a group, for the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its leaf.
    pub leaf: LeafIndex,
    /// Who it is; none while that is not verified.
    pub user: Option<UserId>,
    /// Which of the user's clients it is.
    pub client: Option<Uuid>,
    /// Whether it may add, remove and change roles.
    pub admin: bool,
}

/// What a homeserver said of a message that it accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The group's epoch.
    pub epoch: Epoch,
    /// Domains towards which delivery is delayed, and since which second.
    pub delayed: Vec<(phoenix_core::Fqdn, u64)>,
}

impl Session {
    /// How we call the group's DS: on the group's circuit.
    pub(crate) fn group_route(&self, group: &GroupId) -> Result<Route, ClientError> {
        Ok(Route { domain: group.domain.clone(), circuit: Circuit(self.group(group)?.circuit) })
    }

    /// Signs as our leaf.
    pub(crate) fn leaf_identity(&mut self, group: &GroupId) -> Result<Auth, ClientError> {
        let key = self.group(group)?.leaf.key.clone();
        let leaf = LeafIndex(self.mls(group)?.0.own_leaf_index().u32());
        Ok(Auth::new(Sender::Leaf(group.clone(), leaf), Arc::new(key)))
    }

    /// The group's epoch.
    pub(crate) fn epoch(&mut self, group: &GroupId) -> Result<Epoch, ClientError> {
        Ok(Epoch(self.mls(group)?.0.epoch().as_u64()))
    }
}

/// Seals a leaf's link key for the group's members.
pub(crate) fn seal_link_key(
    credential_key: &Secret<32>,
    pseudonym: Pseudonym,
    link_key: &Secret<32>,
    chance: &mut Chance,
) -> Result<Opaque<MAX_LINK_KEY>, ClientError> {
    Ok(Opaque::new(seal_with_key(credential_key, &pseudonym.encode(), link_key.expose(), chance))?)
}

/// Opens what [`seal_link_key`] sealed, or the friendship encryption key did.
pub(crate) fn open_link_key(
    key: &Secret<32>,
    pseudonym: Pseudonym,
    sealed: &[u8],
) -> Result<Secret<32>, ClientError> {
    let opened = open_with_key(key, &pseudonym.encode(), sealed)?;
    let bytes: [u8; 32] =
        opened.as_slice().try_into().map_err(|_| phoenix_core::Reject::Malformed("link key"))?;
    Ok(Secret::new(bytes))
}

/// How OpenMLS is to hold the groups that we join.
pub(crate) fn join_config() -> MlsGroupJoinConfig {
    MlsGroupJoinConfig::builder()
        .wire_format_policy(PURE_PLAINTEXT_WIRE_FORMAT_POLICY)
        .padding_size(PADDING)
        .max_past_epochs(usize::from(PAST_EPOCHS))
        .use_ratchet_tree_extension(false)
        .build()
}

/// Epochs whose messages can still be opened. The DS takes messages of the last five (07); our own commits are merged
/// when they are answered, and so ahead of what waits in the queue: those come on top.
pub(crate) const PAST_EPOCHS: u8 = 5 + 11;
/// Application messages are padded to multiples of it, so that short ones are all of one length.
pub(crate) const PADDING: usize = 256;
