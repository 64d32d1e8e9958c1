//! What the QS stores. Each record has a version byte in front.

mod client;
mod mailbox;
mod packages;
mod queue;
mod receipt;
mod user;

use bytes::Bytes;
use phoenix_core::{
    Fault, Fqdn,
    operation::Rows,
    wire::{Wire, decode_shared},
};

pub(crate) use client::{ClientRecord, MAX_RULES, RuleRecord};
pub(crate) use mailbox::{LaterKey, MailboxBody, MailboxRecord, RoundRecord, Suspect, Width};
pub(crate) use packages::{PackageIndex, PackageNote};
pub(crate) use queue::{QueueRecord, entry_key, packages_low};
pub(crate) use receipt::{HeldRecord, Reason, ReceiptRecord};
pub(crate) use user::UserRecord;

/// The row of a record.
pub(crate) fn to_row(record: &impl Wire) -> Bytes {
    let mut row = Vec::with_capacity(record.encoded_len().saturating_add(1));
    row.push(VERSION);
    record.encode_to(&mut row);
    row.into()
}

/// The record of a row.
///
/// # Errors
/// [`Fault::Broken`] where the row is not what was written.
pub(crate) fn from_row<T: Wire>(row: &Bytes) -> Result<T, Fault> {
    if row.first() != Some(&VERSION) {
        return Err(Fault::Broken("the version of a record of the queuing service"));
    }
    decode_shared(&row.slice(1..)).map_err(|_| Fault::Broken("a record of the queuing service"))
}

/// The record of a row at a place, where there is one.
///
/// # Errors
/// [`Fault::Broken`] where fewer places were read, or the row is not what was written.
pub(crate) fn read_row<T: Wire>(found: &Rows, place: usize, key: &[u8]) -> Result<Option<T>, Fault> {
    found.row(place, key)?.map(from_row).transpose()
}

/// The homeserver that a mailbox is for, by its row [`DESTINATION`](crate::DESTINATION).
///
/// # Errors
/// [`Fault::Broken`] where the row is not what was written.
pub fn destination(row: &Bytes) -> Result<Fqdn, Fault> {
    from_row(row)
}

/// The version of all records.
const VERSION: u8 = 1;
