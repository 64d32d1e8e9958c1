//! The members of a group, as the DS needs them for application messages: all but the ratchet tree (07, "State").

use phoenix_core::{
    Epoch, LeafIndex, Pseudonym, Reject,
    api::{
        delivery::{MAX_MEMBERS, MemberKeys, Roster as MemberList, RosterMember},
        queue::{ClientQueueConfig, SealedQueueConfig},
    },
    crypto::VerifyingKey,
    time::Month,
    wire::{Flag, List},
};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

/// The members of a group, of its current epoch.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct Roster {
    /// The group's epoch: application messages are checked against it without the tree.
    pub(crate) epoch: Epoch,
    /// Whether nobody can join by a join code any more.
    pub(crate) closed: Flag,
    /// The members, in the order of their leaves.
    pub(crate) members: List<Member, MAX_MEMBERS>,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct Member {
    /// Its leaf.
    pub(crate) leaf: LeafIndex,
    /// What rights go by.
    pub(crate) pseudonym: Pseudonym,
    /// Its leaf's signature key: verifies its frames.
    pub(crate) key: VerifyingKey,
    /// Where its messages go.
    pub(crate) config: ClientQueueConfig,
    /// Whether it is an admin.
    pub(crate) admin: Flag,
    /// What the other members know it by.
    pub(crate) keys: MemberKeys,
    /// The month of its last commit, or of its joining.
    pub(crate) active: Month,
    /// The epoch of its last commit, or of its joining.
    pub(crate) active_epoch: Epoch,
    /// The first epoch that it is a member in.
    pub(crate) since: Epoch,
    /// Whether it was added by a last-resort package and has not committed since: its first commit brings a new
    /// pseudonym (07, "Roles").
    pub(crate) last_resort: Flag,
    /// Set until the member was seen as a leaf: the snapshot that it joins by is kept for so long.
    pub(crate) awaited: Option<Awaited>,
}

/// A joiner that was not seen yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct Awaited {
    /// The epoch of its snapshot.
    pub(crate) epoch: Epoch,
    /// Last second of its KeyPackage.
    pub(crate) expires: u64,
}

impl Roster {
    /// The member at a leaf.
    pub(crate) fn member(&self, leaf: LeafIndex) -> Option<&Member> {
        let place = self.members.binary_search_by_key(&leaf, |member| member.leaf).ok()?;
        self.members.get(place)
    }

    /// All members but the one at a leaf, where one is named.
    pub(crate) fn others(&self, but: impl Into<Option<LeafIndex>>) -> impl Iterator<Item = &Member> {
        let but = but.into();
        self.members.iter().filter(move |member| Some(member.leaf) != but)
    }

    /// The member that goes by this pseudonym.
    pub(crate) fn named(&self, pseudonym: &Pseudonym) -> Option<&Member> {
        self.members.iter().find(|member| member.pseudonym == *pseudonym)
    }

    /// Whether a member goes by this pseudonym.
    pub(crate) fn has_pseudonym(&self, pseudonym: &Pseudonym) -> bool {
        self.named(pseudonym).is_some()
    }

    /// Whether a member other than the one at `leaf` uses this config.
    pub(crate) fn uses_config(&self, config: &SealedQueueConfig, but: Option<LeafIndex>) -> bool {
        self.others(but).any(|member| member.config.sealed == *config)
    }

    /// Whether a member may do what admins may: where none of the listed is left, the one with the lowest leaf acts
    /// as admin (07, "Roles").
    pub(crate) fn is_admin(&self, member: &Member) -> bool {
        let any = self.members.iter().any(|member| member.admin.is_set());
        member.admin.is_set() || (!any && self.members.first().is_some_and(|first| first.leaf == member.leaf))
    }

    /// The epochs whose snapshots are still waited for.
    pub(crate) fn awaited(&self) -> Vec<Epoch> {
        let mut epochs: Vec<_> = self.members.iter().filter_map(|it| it.awaited).map(|it| it.epoch).collect();
        epochs.sort_unstable();
        epochs.dedup();
        epochs
    }

    /// What members are told of each other.
    pub(crate) fn published(&self) -> Result<MemberList, Reject> {
        let members = self.members.iter().map(|it| RosterMember { leaf: it.leaf, keys: it.keys.clone() });
        Ok(MemberList { members: List::new(members.collect())? })
    }

    /// The roster with one member replaced.
    pub(crate) fn with(self, changed: Member) -> Result<Self, Reject> {
        let Self { epoch, closed, members } = self;
        let replace = |member: Member| if member.leaf == changed.leaf { changed.clone() } else { member };
        Ok(Self { epoch, closed, members: List::new(members.into_iter().map(replace).collect())? })
    }
}
