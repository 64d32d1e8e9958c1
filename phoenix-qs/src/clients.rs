//! How clients end, and whether one has.

use bytes::Bytes;
use phoenix_core::{
    Failure, QsClientId, QsUserId, Timestamp,
    crypto::AtRestKey,
    operation::{Decision, Hint},
    port::{Alarm, Write},
};

use crate::{
    kinds::{client, packages, place_topic, topic},
    record::{ClientRecord, from_row},
};

/// Whether a row is the record of a client of this user that has not expired.
///
/// # Errors
/// A fault where it is no record.
pub(crate) fn lives(row: Option<&Bytes>, owner: &QsUserId, now: Timestamp) -> Result<bool, Failure> {
    let record = row.map(from_row::<ClientRecord>).transpose()?;
    // An id that was free again may be somebody else's.
    Ok(record.and_then(|record| record.current(now)).is_some_and(|record| record.user == *owner))
}

/// A decision that also ends a client, its queue and its packages; who reads or streams is to see it.
pub(crate) fn ended<R>(decision: Decision<R>, id: &QsClientId, key: &AtRestKey) -> Decision<R> {
    decision
        .change(client(id), vec![Write::Drop], Alarm::Never)
        .change(packages(id), vec![Write::Drop], Alarm::Never)
        .hint(Hint::Wake(topic(key, id)))
        .hint(Hint::Wake(place_topic(key, id)))
}
