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
        let at = place(access, cx)?;
        let ear = Ear::new(access, &at);
        Ok(Self { at, ear })
    }

    /// What is read of a group, round by round: its [door](Site::door), then, once that has opened, these rows.
    ///
    /// # Errors
    /// [`Reject::NotFound`] where there is no such group, or its key is another.
    pub(crate) fn readings(
        access: &GroupAccess,
        found: &Rows,
        (rows, purpose): (&[Bytes], Purpose),
        cx: &Context<DeliveryService>,
    ) -> Result<Vec<Reading>, Failure> {
        Ok(match found.len() {
            0 => vec![Self::door(access, purpose, cx)?],
            1 => vec![Self::entered(access, found, cx)?.reading(rows, purpose)],
            _ => Vec::new(),
        })
    }

    /// The first that is read of a group: a row that opens under its key, and is as long for every group. Whoever lacks
    /// the key learns by it neither whether there is the group, nor how large it is (10, T25).
    ///
    /// # Errors
    /// [`Reject::NotFound`] for a group of another domain.
    pub(crate) fn door(
        access: &GroupAccess,
        purpose: Purpose,
        cx: &Context<DeliveryService>,
    ) -> Result<Reading, Reject> {
        Ok(Reading { at: place(access, cx)?, wanted: Wanted::Keys(vec![kinds::TOMBSTONE]), purpose })
    }

    /// The site, if the request's key opens its door, which was read first. A group that was given up may not have
    /// been dropped yet; it opens no more than one that has.
    ///
    /// # Errors
    /// [`Reject::NotFound`] where it does not.
    pub(crate) fn entered(
        access: &GroupAccess,
        found: &Rows,
        cx: &Context<DeliveryService>,
    ) -> Result<Self, Failure> {
        let site = Self::of(access, cx)?;
        let is_over = found.place(0)?.alarm.is_some_and(|alarm| alarm <= cx.now);
        let door = found.row(0, &kinds::TOMBSTONE)?.filter(|_| !is_over);
        site.ear.try_key(&kinds::TOMBSTONE, door)?;
        Ok(site)
    }

    /// Reads rows of the group.
    pub(crate) fn reading(&self, rows: &[Bytes], purpose: Purpose) -> Reading {
        Reading { at: self.at.clone(), wanted: Wanted::Keys(rows.to_vec()), purpose }
    }

    /// A row of the group, which was read last.
    ///
    /// # Errors
    /// [`Reject::NotFound`] where there is no such row, or its key is another.
    pub(crate) fn open<T: Wire>(&self, row: &Bytes, found: &Rows) -> Result<T, Failure> {
        Ok(self.ear.open(row, found.row(last(found), row)?)?)
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
    /// Reads, round by round, all that is needed where the tree is not.
    ///
    /// # Errors
    /// See [`Site::readings`].
    pub(crate) fn readings(
        access: &GroupAccess,
        found: &Rows,
        purpose: Purpose,
        cx: &Context<DeliveryService>,
    ) -> Result<Vec<Reading>, Failure> {
        Site::readings(access, found, (&[kinds::ROSTER], purpose), cx)
    }

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
        let roster = site.open(&kinds::ROSTER, found)?;
        Ok(Self { site, roster })
    }

    /// Who.
    pub(crate) const fn roster(&self) -> &Roster {
        &self.roster
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

/// Notes about queues that are gone, and the sealed key to them: kept open only where there are any.
#[derive(Clone, Debug, Default)]
pub(crate) struct Graveyard {
    /// The notes.
    pub(crate) notes: Notes,
    /// The secret half of the tombstone key, under the EAR key.
    pub(crate) key: Option<Bytes>,
}

impl Graveyard {
    fn open(found: &Rows) -> Result<Self, Failure> {
        let notes = Notes::stored(found.row(last(found), &kinds::NOTES)?)?;
        Ok(Self { notes, key: found.row(0, &kinds::TOMBSTONE)?.cloned() })
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
    /// Reads, round by round, all that a commit needs.
    ///
    /// # Errors
    /// See [`Site::readings`].
    pub(crate) fn readings(
        access: &GroupAccess,
        found: &Rows,
        purpose: Purpose,
        cx: &Context<DeliveryService>,
    ) -> Result<Vec<Reading>, Failure> {
        Site::readings(
            access,
            found,
            (&[kinds::CLEAR, kinds::NOTES, kinds::ROSTER, kinds::TREE], purpose),
            cx,
        )
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
        let clear = found.row(last(found), &kinds::CLEAR)?.ok_or(Reject::NotFound)?;
        let record: TreeRecord = members.site.open(&kinds::TREE, found)?;
        let tree = Tree::load(record, &access.group)?;
        Ok(Self { members, clear: unversioned(clear)?, graveyard: Graveyard::open(found)?, tree })
    }

    /// Its members.
    pub(crate) const fn roster(&self) -> &Roster {
        &self.members.roster
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

/// The partition of the group that a request names.
fn place(access: &GroupAccess, cx: &Context<DeliveryService>) -> Result<Local, Reject> {
    if access.group.domain != cx.domain {
        return Err(Reject::NotFound);
    }
    Ok(kinds::group(&cx.keys.at_rest, &access.group))
}

/// The place that was read last, with the rows that the request is about.
fn last(found: &Rows) -> usize {
    found.len().saturating_sub(1)
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
