//! Notes that queues of members are gone (07, "DS-induced removals"): made while nobody's key is at hand, and read
//! when a commit brings it.

use std::collections::BTreeSet;

use bytes::Bytes;
use phoenix_core::{
    Failure, Fault, Reject, Timestamp,
    crypto::{AtRestKey, Chance, HpkeCiphertext, HpkePublicKey, HpkeSecretKey, pad, unpad},
    time::{DAY, HOUR},
    wire::{Flag, List, Wire},
};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use crate::sealed::{NOTES, unversioned, versioned};

/// The notes of a group: of each queue the first and the latest.
#[derive(Clone, Debug, Default, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct Notes {
    notes: List<SealedNote, MAX_NOTES>,
}

/// A note as it is stored: two of one queue have one name, which does not tell the queue.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
struct SealedNote {
    name: [u8; 32],
    latest: Flag,
    sealed: HpkeCiphertext,
}

/// That a queue was gone at a time.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
struct Note {
    /// SHA-256 of the sealed config.
    queue: [u8; 32],
    /// When that was seen, in seconds, told to the minute.
    at: u64,
}

/// Where notes are made: the group's partition, and the key that they are sealed to.
pub(crate) struct Desk<'a> {
    /// The key of the group's partition.
    pub(crate) group: &'a [u8],
    /// The group's tombstone key.
    pub(crate) tombstone: &'a HpkePublicKey,
    /// Names notes.
    pub(crate) at_rest: &'a AtRestKey,
}

impl Notes {
    /// The notes that were stored; none where there is no row.
    ///
    /// # Errors
    /// [`Fault::Broken`] where the row is not what [`Notes::row`] made.
    pub(crate) fn stored(row: Option<&Bytes>) -> Result<Self, Fault> {
        let Some(row) = row else { return Ok(Self::default()) };
        unversioned(unpad(row).map_err(|_| Fault::Broken("padding of notes"))?)
    }

    /// The notes as they are stored: padded to one length, since how many of its queues are gone is the group's business.
    pub(crate) fn row(&self) -> Bytes {
        pad(&versioned(self), NOTES).to_vec().into()
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.notes.is_empty()
    }

    /// How many there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.notes.len()
    }

    /// The notes with one more: the first of its queue, or in place of the latest. Where there are too many, a latest
    /// one takes the place of another queue's only one, and a first one is not kept: else many queues that were gone once
    /// would leave no room to tell of any that it is gone for good.
    ///
    /// # Errors
    /// [`Reject::Malformed`] where the tombstone key is none, which no stored group has.
    pub(crate) fn with(
        self,
        desk: &Desk<'_>,
        queue: [u8; 32],
        at: u64,
        chance: &mut Chance,
    ) -> Result<Self, Reject> {
        let name = desk.at_rest.prf("note", &[desk.group, &queue].concat());
        let mut notes = self.notes.into_vec();
        let latest = Flag::from(notes.iter().any(|it| it.name == name));
        notes.retain(|it| it.name != name || it.latest != latest);
        if notes.len() >= MAX_NOTES && latest.is_set() {
            let is_only = |note: &SealedNote| notes.iter().filter(|it| it.name == note.name).count() == 1;
            if let Some(place) = notes.iter().rposition(|it| it.name != name && is_only(it)) {
                notes.remove(place);
            }
        }
        if notes.len() < MAX_NOTES {
            let sealed = desk.tombstone.seal(INFO, desk.group, &Note { queue, at }.encode(), chance)?;
            notes.push(SealedNote { name, latest, sealed });
        }
        Ok(Self { notes: List::new(notes)? })
    }

    /// The queues that were gone twice, long enough apart; and the notes of queues that are still somebody's. A note is
    /// forgotten in time, so that two mistakes of a QS in a year do not add up.
    ///
    /// # Errors
    /// Where the notes that stay are too many, which is fewer than there were.
    pub(crate) fn gone(
        self,
        (key, group): (&HpkeSecretKey, &[u8]),
        used: &BTreeSet<[u8; 32]>,
        now: Timestamp,
    ) -> Result<(BTreeSet<[u8; 32]>, Self), Failure> {
        let mut gone = BTreeSet::new();
        let mut kept: Vec<(SealedNote, Note)> = Vec::new();
        let is_fresh = |note: &Note| note.at.saturating_add(KEPT_S) >= now.as_secs();
        for sealed in self.notes {
            let opened = key.open(INFO, group, &sealed.sealed).and_then(|note| Note::decode(&note));
            let wanted = |note: &Note| used.contains(&note.queue) && is_fresh(note);
            let Some(note) = opened.ok().filter(wanted) else { continue };
            let others: Vec<_> = kept.iter().filter(|(_, other)| other.queue == note.queue).collect();
            if others.iter().any(|(_, other)| other.at.abs_diff(note.at) > APART_S) {
                gone.insert(note.queue);
            }
            // What was the latest may be the only one by now, and be followed by another.
            let latest = Flag::from(!others.is_empty());
            kept.push((SealedNote { latest, ..sealed }, note));
        }
        let notes = List::new(kept.into_iter().map(|(sealed, _)| sealed).collect()).map_err(Reject::from)?;
        Ok((gone, Self { notes }))
    }
}

/// HPKE info of notes.
const INFO: &[u8] = b"phoenix note";
/// Notes of a group at most (07).
const MAX_NOTES: usize = 64;
/// A queue must have been gone twice, longer apart than this: a QS that restores a backup may be wrong for a while (07).
/// Times are told to the minute, so more than that is at least an hour and a moment.
const APART_S: u64 = HOUR;
/// For how long a note counts. Clients commit every 30 days in every group (07), so of a queue that stays gone another
/// note comes before.
const KEPT_S: u64 = 60 * DAY;
