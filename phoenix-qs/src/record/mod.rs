//! What the QS stores. Each record has a version byte in front.

mod mailbox;
mod packages;
mod queue;
mod receipt;

use bytes::Bytes;
use phoenix_core::{
    Fault, QsClientId, QsUserId,
    crypto::VerifyingKey,
    time::Month,
    wire::{List, Wire},
};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

pub(crate) use mailbox::{LaterKey, MailboxBody, MailboxRecord, RoundRecord};
pub(crate) use packages::{PackageIndex, PackageNote};
pub(crate) use queue::{QueueRecord, entry_key};
pub(crate) use receipt::{HeldRecord, Reason, ReceiptRecord};

/// A user record.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct UserRecord {
    /// Signs for the record.
    pub(crate) auth_key: VerifyingKey,
    /// Keyed hash of the friendship secret.
    pub(crate) friendship: [u8; 32],
    /// The user's clients.
    pub(crate) clients: List<QsClientId, MAX_CLIENTS>,
}

/// A client record.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct ClientRecord {
    /// Whose client it is.
    pub(crate) user: QsUserId,
    /// Signs for the client, and its queue configs.
    pub(crate) auth_key: VerifyingKey,
    /// Keys that still vouch for queue configs.
    pub(crate) former_keys: List<VerifyingKey, MAX_FORMER_KEYS>,
    /// Queue configs of an earlier generation are void.
    pub(crate) min_generation: u32,
    /// The last month in which the client read its queue.
    pub(crate) active: Month,
}

/// The row of a record.
pub(crate) fn to_row(record: &impl Wire) -> Bytes {
    [&[VERSION], record.encode().as_ref()].concat().into()
}

/// The record of a row.
///
/// # Errors
/// [`Fault::Broken`] where the row is not what was written.
pub(crate) fn from_row<T: Wire>(row: &[u8]) -> Result<T, Fault> {
    match row.split_first() {
        Some((&VERSION, record)) => {
            T::decode(record).map_err(|_| Fault::Broken("a record of the queuing service"))
        }
        _ => Err(Fault::Broken("the version of a record of the queuing service")),
    }
}

/// Clients of one user (06).
pub(crate) const MAX_CLIENTS: usize = 10;
/// Auth keys that a client may change within the life of its queue configs: a year at one a month, and some.
const MAX_FORMER_KEYS: usize = 16;
/// The version of all records.
const VERSION: u8 = 1;
