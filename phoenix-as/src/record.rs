//! Records as they lie in the store: a version byte, then the struct.

use bytes::Bytes;
use phoenix_core::{
    Fault, UserId, Uuid,
    api::auth::{MAX_CLIENTS, MAX_OPAQUE},
    credential::ClientCredential,
    crypto::VerifyingKey,
    time::Month,
    wire::{List, Opaque, Wire},
};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

/// A user (04, "State").
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct User {
    /// OPAQUE registration record.
    pub(crate) opaque: Opaque<MAX_OPAQUE>,
    pub(crate) clients: List<Uuid, MAX_CLIENTS>,
}

/// A client (04, "State").
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct Client {
    pub(crate) credential: ClientCredential,
    /// The last month in which it was seen.
    pub(crate) activity: Month,
}

/// A registration that was begun.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct Registration {
    pub(crate) user: UserId,
}

/// An alias (04, "State"); the partition's alarm is its expiry.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct Alias {
    pub(crate) auth_key: VerifyingKey,
}

/// What one class was issued of to a remote domain. Days are counted from the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct Domain {
    pub(crate) first_day: u64,
    /// The day that `used` is of.
    pub(crate) day: u64,
    pub(crate) used: u64,
    /// Days before that one on which at least half of the allowance was used.
    pub(crate) good_days: u32,
}

/// The row that holds a record, in partitions with one.
pub(crate) const ROW: Bytes = Bytes::new();

/// A record, as it is stored.
pub(crate) fn encode(record: &impl Wire) -> Bytes {
    let encoded = record.encode();
    let mut stored = Vec::with_capacity(encoded.len().saturating_add(1));
    stored.push(VERSION);
    stored.extend_from_slice(&encoded);
    stored.into()
}

/// The record that was stored.
pub(crate) fn decode<T: Wire>(stored: &[u8]) -> Result<T, Fault> {
    let encoded = stored.strip_prefix(&[VERSION]).ok_or(Fault::Broken("version of a record"))?;
    T::decode(encoded).map_err(|_| Fault::Broken("encoding of a record"))
}

/// The form of all records so far.
const VERSION: u8 = 1;
