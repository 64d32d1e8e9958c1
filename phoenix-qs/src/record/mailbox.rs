//! What waits for other homeservers.

use bytes::Bytes;
use phoenix_core::{
    Fault, Timestamp,
    api::{
        federation::SealedDelivery,
        queue::{FanOutMessage, MAX_BACK, MAX_RECIPIENTS},
    },
    crypto::{AtRestKey, Chance},
    wire::{List, Opaque},
};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use super::{from_row, to_row};

/// A message that waits for its destination. Stored sealed at rest as a whole.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct MailboxRecord {
    /// The delivery's id.
    pub(crate) id: [u8; 16],
    /// When the DS accepted it, in seconds.
    pub(crate) accepted_at: u64,
    /// To whom what cannot be delivered is told.
    pub(crate) back: Opaque<MAX_BACK>,
    /// The digests of its recipients' queue configs, in order: to tell the DS which of them are gone.
    pub(crate) recipients: List<[u8; 32], MAX_RECIPIENTS>,
    /// The message.
    pub(crate) body: MailboxBody,
}

/// The message of a [`MailboxRecord`].
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
#[repr(u8)]
pub(crate) enum MailboxBody {
    /// Sealed to the destination.
    #[tls_codec(discriminant = 1)]
    Sealed(SealedDelivery),
    /// Not yet: the destination's keys are not known.
    #[tls_codec(discriminant = 2)]
    Plain(FanOutMessage),
}

impl MailboxRecord {
    /// The row of this record in a mailbox.
    pub(crate) fn seal(&self, key: &AtRestKey, mailbox: &[u8], chance: &mut Chance) -> Bytes {
        key.seal(mailbox, &to_row(self), chance)
    }

    /// The record of a row.
    ///
    /// # Errors
    /// [`Fault::Broken`] where the row is not what was written there.
    pub(crate) fn open(key: &AtRestKey, mailbox: &[u8], row: &[u8]) -> Result<Self, Fault> {
        from_row(&key.open(mailbox, row)?)
    }
}

/// How far sending of a mailbox is.
#[derive(Clone, Debug, Default, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct RoundRecord {
    /// The transaction that is under way.
    pub(crate) transaction: Option<[u8; 16]>,
    /// Nothing is sent before this time, in milliseconds.
    pub(crate) until: u64,
    /// Attempts that failed since the last that did not.
    pub(crate) attempts: u32,
    /// Messages that the destination put off.
    pub(crate) held: List<HeldRow, MAX_HELD>,
}

impl RoundRecord {
    /// Whether a row was put off and its time has not come.
    pub(crate) fn is_held(&self, row: u64, now: Timestamp) -> bool {
        self.held.iter().any(|held| held.row == row && now < Timestamp(held.until))
    }

    /// When the next row that was put off may be sent again, in milliseconds.
    pub(crate) fn next_held(&self, now: Timestamp) -> u64 {
        self.held.iter().map(|held| held.until).filter(|until| now < Timestamp(*until)).min().unwrap_or(now.0)
    }
}

/// A message that its destination put off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct HeldRow {
    /// Its row.
    pub(crate) row: u64,
    /// When it may be sent again, in milliseconds.
    pub(crate) until: u64,
}

/// Messages that were put off and do not hold up others: beyond these the whole mailbox waits.
pub(crate) const MAX_HELD: usize = 256;
