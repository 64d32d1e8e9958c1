//! A group as requests find it: its rows, opened with the EAR key that the request brings.

use bytes::Bytes;
use phoenix_core::{
    Failure, GroupId, LeafIndex, Reject, Timestamp,
    api::delivery::GroupAccess,
    crypto::{Chance, HpkePublicKey, HpkeSecretKey, Suite},
    operation::{Context, Frame, Local, Proven, Purpose, Reading, Rows},
    port::{Alarm, Wanted, Write},
    time::{DAY, Month},
    wire::{Secret, Sender, Wire},
};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use crate::{
    kinds,
    notes::Notes,
    roster::Roster,
    sealed::{Ear, LEAST_ROSTER, LEAST_TREE, unversioned, versioned},
    service::DeliveryService,
    tree::{Tree, TreeRecord},
};

/// What is known of a group without its EAR key (09).
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct Clear {
    /// The month of the last commit.
    pub(crate) month: Month,
    /// Notes about queues that are gone are sealed to it.
    pub(crate) tombstone: HpkePublicKey,
    /// Which EAR key the group's rows are under.
    pub(crate) ear_key_id: u32,
}

/// A group's place, and the key to its rows.
pub(crate) struct Site {
    /// The group's partition.
    pub(crate) at: Local,
    /// The key.
    pub(crate) ear: Ear,
}

impl Site {
    /// The site that a request names.
    ///
    /// # Errors
    /// [`Reject::NotFound`] for a group of another domain.
    pub(crate) fn of(access: &GroupAccess, cx: &Context<DeliveryService>) -> Result<Self, Reject> {
        if access.group.domain != cx.domain {
            return Err(Reject::NotFound);
        }
        let at = kinds::group(&cx.keys.at_rest, &access.group);
        let ear = Ear::new(access, &at);
        Ok(Self { at, ear })
    }

    /// Reads rows of the group.
    pub(crate) fn reading(&self, rows: Vec<Bytes>, purpose: Purpose) -> Reading {
        Reading { at: self.at.clone(), wanted: Wanted::Keys(rows), purpose }
    }

    /// A row of the group, whose place was read first. A group that was given up may not have been dropped yet; it
    /// opens no more than one that has.
    ///
    /// # Errors
    /// [`Reject::NotFound`] where there is no such group or row, or its key is another.
    pub(crate) fn open<T: Wire>(
        &self,
        row: &Bytes,
        found: &Rows,
        cx: &Context<DeliveryService>,
    ) -> Result<T, Failure> {
        let is_over = found.place(0)?.alarm.is_some_and(|alarm| alarm <= cx.now);
        Ok(self.ear.open(row, found.row(0, row)?.filter(|_| !is_over))?)
    }
}

/// The members of a group; all that an application message needs.
pub struct Members {
    /// Where.
    pub(crate) site: Site,
    /// Who.
    pub(crate) roster: Roster,
}

impl Members {
    /// The members, if the request's key opens them.
    ///
    /// # Errors
    /// [`Reject::NotFound`] where there is no such group or its key is another.
    pub(crate) fn open(
        access: &GroupAccess,
        found: &Rows,
        cx: &Context<DeliveryService>,
    ) -> Result<Self, Failure> {
        let site = Site::of(access, cx)?;
        let roster = site.open(&kinds::ROSTER, found, cx)?;
        Ok(Self { site, roster })
    }

    /// The write of the members' row.
    pub(crate) fn write(&self, chance: &mut Chance) -> Result<Write, Reject> {
        let sealed = self.site.ear.seal(&kinds::ROSTER, &self.roster, LEAST_ROSTER, chance)?;
        Ok(Write::Put(kinds::ROSTER, sealed))
    }
}

/// A whole group.
pub struct Group {
    /// Its members.
    pub(crate) members: Members,
    /// Its row in clear.
    pub(crate) clear: Clear,
    /// What is known of its queues that are gone.
    pub(crate) graveyard: Graveyard,
    /// Its public MLS group.
    pub(crate) tree: Tree,
}

/// Notes about queues that are gone, and the sealed key to them: opened only where there are any.
#[derive(Clone, Debug, Default)]
pub(crate) struct Graveyard {
    /// The notes.
    pub(crate) notes: Notes,
    /// The secret half of the tombstone key, under the EAR key.
    pub(crate) key: Option<Bytes>,
}

impl Graveyard {
    fn open(found: &Rows) -> Result<Self, Failure> {
        let notes = found.row(0, &kinds::NOTES)?.map(|row| unversioned(row)).transpose()?;
        Ok(Self { notes: notes.unwrap_or_default(), key: found.row(0, &kinds::TOMBSTONE)?.cloned() })
    }

    /// The key that opens notes.
    ///
    /// # Errors
    /// [`Reject::NotFound`] where the site's EAR key does not open it.
    pub(crate) fn secret(&self, site: &Site, suite: Suite) -> Result<HpkeSecretKey, Reject> {
        let secret: Secret<32> = site.ear.open(&kinds::TOMBSTONE, self.key.as_ref())?;
        HpkeSecretKey::from_secret_bytes(suite, &secret)
    }
}

impl Group {
    /// Reads all that a commit needs.
    ///
    /// # Errors
    /// [`Reject::NotFound`] for a group of another domain.
    pub(crate) fn reading(
        access: &GroupAccess,
        purpose: Purpose,
        cx: &Context<DeliveryService>,
    ) -> Result<Reading, Reject> {
        let rows = vec![kinds::CLEAR, kinds::TOMBSTONE, kinds::NOTES, kinds::ROSTER, kinds::TREE];
        Ok(Site::of(access, cx)?.reading(rows, purpose))
    }

    /// The group, if the request's key opens it.
    ///
    /// # Errors
    /// [`Reject::NotFound`] where there is no such group or its key is another.
    pub(crate) fn open(
        access: &GroupAccess,
        found: &Rows,
        cx: &Context<DeliveryService>,
    ) -> Result<Self, Failure> {
        let members = Members::open(access, found, cx)?;
        let clear = found.row(0, &kinds::CLEAR)?.ok_or(Reject::NotFound)?;
        let record: TreeRecord = members.site.ear.open(&kinds::TREE, found.row(0, &kinds::TREE)?)?;
        let tree = Tree::load(record, &access.group)?;
        Ok(Self { members, clear: unversioned(clear)?, graveyard: Graveyard::open(found)?, tree })
    }

    /// The writes of the group's rows, but for its notes.
    ///
    /// # Errors
    /// [`Reject::TooLarge`] where the group is over the bound of stored values.
    pub(crate) fn writes(&self, chance: &mut Chance) -> Result<Vec<Write>, Failure> {
        let tree = self.members.site.ear.seal(&kinds::TREE, &self.tree.record()?, LEAST_TREE, chance)?;
        Ok(vec![
            Write::Put(kinds::CLEAR, versioned(&self.clear).to_vec().into()),
            self.members.write(chance)?,
            Write::Put(kinds::TREE, tree),
        ])
    }
}

/// Proves that the member at the leaf that a frame names signed it.
///
/// # Errors
/// [`Reject::Unauthenticated`] where it names another group, no member, or another signed.
pub(crate) fn prove_leaf<T>(
    frame: &Frame,
    group: &GroupId,
    roster: &Roster,
    claim: impl FnOnce(LeafIndex) -> T,
) -> Result<Proven<T>, Reject> {
    let Sender::Leaf(named, leaf) = frame.sender() else { return Err(Reject::Unauthenticated) };
    if named != group {
        return Err(Reject::Unauthenticated);
    }
    let member = roster.member(*leaf).ok_or(Reject::Unauthenticated)?;
    frame.prove(&member.key, claim(*leaf))
}

/// When a group that had its last commit now is given up: 90 days after the month's end, so that the alarm tells no
/// more than the month does (09, "Expiry").
pub(crate) fn expiry(now: Timestamp) -> Alarm {
    Alarm::At(Month::of(now).plus(1).start().plus_secs(UNUSED_DAYS * DAY))
}

/// A group without a commit for so long is dropped.
const UNUSED_DAYS: u64 = 90;

#[cfg(test)]
mod tests;
