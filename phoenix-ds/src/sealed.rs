//! Records under a group's EAR key, padded so that their length tells little (07, "State").

use bytes::Bytes;
use phoenix_core::{
    Fault, Reject,
    api::delivery::GroupAccess,
    crypto::{AtRestKey, Chance, Draft, SEAL_OVERHEAD, unpad},
    operation::Local,
    port::MAX_VALUE,
    wire::{Wiped, Wire, decode_shared},
};
use zeroize::Zeroizing;

/// A group's EAR key, bound to the group's partition. Wiped when it is dropped.
pub(crate) struct Ear {
    key: AtRestKey,
    place: Vec<u8>,
}

impl Ear {
    /// The key that a request brings, for the partition that it names.
    pub(crate) fn new(access: &GroupAccess, at: &Local) -> Self {
        let place = [at.key(), &access.ear_key_id.to_be_bytes()].concat();
        Self { key: AtRestKey::new(access.ear_key.clone()).derive("group state"), place }
    }

    /// A keyed hash under this key, for names of rows.
    pub(crate) fn prf(&self, label: &str, input: &[u8]) -> [u8; 32] {
        self.key.prf(label, input)
    }

    /// Seals a record for its row, padded with Padmé to at least `floor` bytes.
    pub(crate) fn seal<T: Wire>(
        &self,
        row: &[u8],
        record: &T,
        floor: usize,
        chance: &mut Chance,
    ) -> Result<Bytes, Reject> {
        let padded = Draft::padded(&[VERSION], record, floor);
        if padded.sealed_len() > MAX_VALUE {
            return Err(Reject::TooLarge("group"));
        }
        Ok(self.key.seal_draft(&self.record_key(row), padded, chance))
    }

    /// Opens a row of a group whose key this is.
    ///
    /// # Errors
    /// [`Reject::NotFound`] where there is no such row, or it is not what was sealed here.
    pub(crate) fn open<T: Wire>(&self, row: &[u8], sealed: Option<&Bytes>) -> Result<T, Reject> {
        let padded = Bytes::from(self.unseal(row, sealed.ok_or(Reject::NotFound)?)?);
        let stored = unpad(&padded).map_err(|_| Reject::NotFound)?;
        let encoded = encoded(stored).map_err(|_| Reject::NotFound)?;
        decode_shared(&padded.slice_ref(encoded)).map_err(|_| Reject::NotFound)
    }

    /// Tries the key on a row that every group has, of the one length that it has in all. Where there is none, as much
    /// work is done in vain: an unknown group and a wrong key are the same error in the same time (02).
    ///
    /// # Errors
    /// [`Reject::NotFound`] where it does not open.
    pub(crate) fn try_key(&self, row: &[u8], sealed: Option<&Bytes>) -> Result<(), Reject> {
        self.unseal(row, sealed.map_or(&[0; SEALED_KEY], Bytes::as_ref)).map(drop)
    }

    fn unseal(&self, row: &[u8], sealed: &[u8]) -> Result<Wiped, Reject> {
        #[cfg(test)]
        OPENED.with_borrow_mut(|opened| opened.push(sealed.len()));
        self.key.open(&self.record_key(row), sealed).map_err(|_| Reject::NotFound)
    }

    fn record_key(&self, row: &[u8]) -> Vec<u8> {
        [self.place.as_slice(), row].concat()
    }
}

/// A record as it is stored: a version, then its encoding.
pub(crate) fn versioned<T: Wire>(record: &T) -> Zeroizing<Vec<u8>> {
    // Both are wiped, and neither grows: what lies here may be keys.
    let encoded = record.encode_secret();
    let mut stored = Zeroizing::new(Vec::with_capacity(encoded.len().saturating_add(1)));
    stored.push(VERSION);
    stored.extend_from_slice(&encoded);
    stored
}

/// The record that was stored.
pub(crate) fn unversioned<T: Wire>(stored: &[u8]) -> Result<T, Fault> {
    T::decode(encoded(stored)?).map_err(|_| Fault::Broken("stored record"))
}

/// The encoding of a record, behind its version.
fn encoded(stored: &[u8]) -> Result<&[u8], Fault> {
    match stored.split_first() {
        Some((&VERSION, encoded)) => Ok(encoded),
        _ => Err(Fault::Broken("version of a stored record")),
    }
}

/// Least padded length of a roster (07).
pub(crate) const LEAST_ROSTER: usize = 4 << 10;
/// Padded length of notes, as many as there may be.
pub(crate) const NOTES: usize = 12 << 10;
/// Least padded length of trees and snapshots (07).
pub(crate) const LEAST_TREE: usize = 16 << 10;
/// Least padded length of a tombstone key; all are of one length.
pub(crate) const LEAST_KEY: usize = 64;
/// Length of a tombstone key as it is stored.
const SEALED_KEY: usize = LEAST_KEY + SEAL_OVERHEAD;
/// The version of the records of this crate.
const VERSION: u8 = 1;

#[cfg(test)]
thread_local! {
    /// The lengths of what was decrypted on this thread, or tried.
    pub(crate) static OPENED: std::cell::RefCell<Vec<usize>> = const { std::cell::RefCell::new(Vec::new()) };
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

    use phoenix_core::crypto::{SEAL_OVERHEAD, pad};

    use super::{LEAST_ROSTER, LEAST_TREE, SEALED_KEY};
    use crate::{
        kinds,
        testing::{Member, World},
    };

    #[test]
    fn rows_have_the_lengths_of_the_ladder_and_no_others() {
        let world = World::new();
        let mut a = Member::new(&world, "alpha.test");
        a.create(&world, None).unwrap();
        let mut seen = Vec::new();
        for _ in 0..3 {
            let rows = world.group_rows();
            // What keys are tried on is as long in every group, and as what stands in for it where there is none.
            assert!(rows.iter().any(|(row, key)| *row == kinds::TOMBSTONE && key.len() == SEALED_KEY));
            for (row, value) in rows.iter().filter(|(row, _)| matches!(row[0], b'r' | b't' | b's')) {
                let (length, least) =
                    (value.len() - SEAL_OVERHEAD, if row[0] == b'r' { LEAST_ROSTER } else { LEAST_TREE });
                // Four bytes tell the length of what is padded; nothing is added to what is as long as a step.
                assert!(length >= least);
                assert_eq!(pad(&vec![0; length - 4], least).len(), length);
                seen.push(length > least);
            }
            a.grow(&world, 14, |_| "alpha.test".to_owned());
        }
        assert!(seen.contains(&true) && seen.contains(&false));
    }
}
