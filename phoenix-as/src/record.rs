//! Records as they lie in the store: a version byte, then the struct.

use bytes::Bytes;
use phoenix_core::{
    ClientId, Fault, Fingerprint, UserId, Uuid,
    api::auth::{MAX_CLIENTS, MAX_OPAQUE},
    credential::ClientCredential,
    crypto::VerifyingKey,
    operation::Rows,
    time::Month,
    wire::{List, Opaque, Wire},
};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

/// A user (04, "State").
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct User {
    /// The registration, or change of password, that the record is of: what its OPRF key is made of.
    pub(crate) registration: [u8; 16],
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
    /// Its earlier credentials that have not ended: they are as good, and revoked together.
    pub(crate) earlier: List<Earlier, MAX_EARLIER>,
}

/// A credential that was renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct Earlier {
    pub(crate) credential: Fingerprint,
    /// Its last second.
    pub(crate) not_after: u64,
}

/// A change of password that was begun.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct PasswordChange {
    pub(crate) client: ClientId,
    /// SHA-256 of the OPAQUE record that it is to take the place of.
    pub(crate) of: [u8; 32],
}

/// A registration that was begun.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct Registration {
    pub(crate) user: UserId,
    /// The hash of the invitation that it uses up when it is finished.
    pub(crate) invitation: Option<[u8; 32]>,
}

/// An alias (04, "State"); the partition's alarm is its expiry.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct Alias {
    pub(crate) auth_key: VerifyingKey,
}

/// When a remote domain came for tokens. Days are counted from the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct Known {
    /// The first day.
    pub(crate) since: u64,
    /// The last day so far.
    pub(crate) seen: u64,
}

/// What was issued of one class to a remote domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct Domain {
    /// As in [`Known`]: with another first day, the record is of a time that is forgotten.
    pub(crate) known_since: u64,
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

/// The record of a row that was read, if there is one.
pub(crate) fn found<T: Wire>(found: &Rows, place: usize, key: &[u8]) -> Result<Option<T>, Fault> {
    found.row(place, key)?.map(|stored| decode(stored)).transpose()
}

/// Earlier credentials of a client that have not ended. A client that renews halfway has one or two; each is an entry
/// of the revocation list when the client is removed, so they are few.
pub(crate) const MAX_EARLIER: usize = 3;
/// The form of all records so far.
const VERSION: u8 = 1;
