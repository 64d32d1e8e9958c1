//! The client's half of a queue's ratchet.

use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use super::ratchet::{self, Fresh};
use crate::{
    api::queue::{Entry, EntryPayload, QueueEntry, SealedEntry},
    crypto::{HpkeCiphertext, HpkePublicKey, HpkeSecretKey, unpad},
    wire::{Secret, Wire},
};

/// Opens the entries of one queue, in order. Its encoding is secret: keep it sealed, and keep it together with what
/// the entry changed, before the entry is acknowledged.
#[derive(Clone, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct ClientRatchet {
    queue_key: HpkeSecretKey,
    ratchet_key: Option<Secret<32>>,
    next_seq: u64,
}

/// Why an entry did not open. Nothing changed, but for [`RatchetError::Malformed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RatchetError {
    /// Its number was opened before.
    #[error("the entry was read before")]
    Replayed,
    /// The ratchet does not fit: entries before it were lost, or it was changed on its way. Where reading it once
    /// more does not help, the client calls `update_client` with a new queue key (06).
    #[error("the ratchet does not fit the entry")]
    Lost,
    /// The server sealed something that is no entry; it counts as read.
    #[error("the entry is malformed")]
    Malformed,
}

impl ClientRatchet {
    /// The ratchet of a queue that was just made with the public half of this key.
    #[must_use]
    pub const fn new(queue_key: HpkeSecretKey) -> Self {
        Self { queue_key, ratchet_key: None, next_seq: 0 }
    }

    /// The key that the queue was made with.
    #[must_use]
    pub fn queue_key(&self) -> &HpkePublicKey {
        self.queue_key.public_key()
    }

    /// The number of the next entry, where none is missing: what to ask for, and what may be acknowledged below.
    #[must_use]
    pub const fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Opens an entry: its content, or `None` for one that only concerns the ratchet.
    ///
    /// A higher number than [`ClientRatchet::next_seq`] is taken where the ratchet still fits, as it does where a
    /// full queue dropped entries: the caller compares, and resyncs its groups.
    ///
    /// # Errors
    /// [`RatchetError`]; never panics, whatever the entry is.
    pub fn open(&mut self, entry: &QueueEntry) -> Result<Option<Entry>, RatchetError> {
        if entry.seq < self.next_seq {
            return Err(RatchetError::Replayed);
        }
        let after = entry.seq.checked_add(1).ok_or(RatchetError::Malformed)?;
        let (opened, ratchet_key) = match &entry.payload {
            EntryPayload::Ratchet(sealed) => (Ok(None), self.fresh(entry.seq, sealed)?),
            EntryPayload::Message(sealed) => self.message(entry.seq, sealed)?,
        };
        self.ratchet_key = Some(ratchet_key);
        self.next_seq = after;
        opened
    }

    /// The ratchet's key after a `ratchet` entry.
    fn fresh(&self, seq: u64, sealed: &HpkeCiphertext) -> Result<Secret<32>, RatchetError> {
        let updated = self.ratchet_key.as_ref().and_then(|key| {
            let secret = Fresh::Secret.open(&self.queue_key, seq, sealed)?;
            Some(ratchet::update(key, &secret))
        });
        updated.or_else(|| Fresh::Key.open(&self.queue_key, seq, sealed)).ok_or(RatchetError::Lost)
    }

    fn message(&self, seq: u64, sealed: &SealedEntry) -> Result<(Opened, Secret<32>), RatchetError> {
        let key = self.ratchet_key.as_ref().ok_or(RatchetError::Lost)?;
        let (padded, next_key) = ratchet::open(key, seq, sealed).map_err(|_| RatchetError::Lost)?;
        let entry = unpad(&padded).and_then(Entry::decode);
        Ok((entry.map(Some).map_err(|_| RatchetError::Malformed), next_key))
    }
}

type Opened = Result<Option<Entry>, RatchetError>;
