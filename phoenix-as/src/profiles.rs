//! Profiles of users (04): the last two versions, as ciphertext that the AS cannot open.
//!
//! A profile's partition holds a row for each version under its number, and the latest number. It ends when every
//! credential has that was given until the last sign of life: whoever gives one calls [`kept`].

use bytes::Bytes;
use phoenix_core::{
    Fault, Timestamp, UserId,
    api::auth::MAX_PROFILE,
    operation::{Context, Decision, FRAME_WINDOW_S, Reading, Rows},
    port::{Alarm, RowKey, Wanted, Write},
    wire::Opaque,
};

use crate::{AuthService, kinds, record};

/// Reads the latest number of a profile, and one version, to change it.
pub(crate) fn reading_to_change(user: &UserId, version: u32) -> Reading {
    Reading::change(kinds::profile(user), Wanted::Keys(vec![record::ROW, row(version)]))
}

/// Reads one version.
pub(crate) fn reading(user: &UserId, version: u32) -> Reading {
    Reading::glance(kinds::profile(user), Wanted::Keys(vec![row(version)]))
}

/// The number of the latest version, if there is one.
///
/// # Errors
/// A fault where what is stored is none.
pub(crate) fn latest(rows: &Rows, place: usize) -> Result<Option<u32>, Fault> {
    rows.row(place, &record::ROW)?.map(|stored| record::decode(stored)).transpose()
}

/// A version, if it is there.
///
/// # Errors
/// A fault where what is stored is none.
pub(crate) fn found(
    rows: &Rows,
    place: usize,
    version: u32,
    cx: &Context<AuthService>,
) -> Result<Option<Opaque<MAX_PROFILE>>, Fault> {
    let has_ended = rows.place(place)?.alarm.is_some_and(|ends| ends <= cx.now);
    rows.row(place, &row(version))?.filter(|_| !has_ended).map(|stored| record::decode(stored)).transpose()
}

/// The writes that add a version; of those before only the latest stays.
pub(crate) fn update(version: u32, latest: Option<u32>, ciphertext: &Opaque<MAX_PROFILE>) -> Vec<Write> {
    vec![
        Write::DeleteBelow(row(latest.unwrap_or(version))),
        Write::Put(row(version), record::encode(ciphertext)),
        Write::Put(record::ROW, record::encode(&version)),
    ]
}

/// Reads when a profile ends, to keep it.
pub(crate) fn reading_to_keep(user: &UserId) -> Reading {
    Reading::change(kinds::profile(user), Wanted::Mark)
}

/// Also keeps a user's profile, if there is one, as long as any credential that can be given now; `ends` is its alarm.
pub(crate) fn kept<R>(
    decision: Decision<R>,
    user: &UserId,
    ends: Option<Timestamp>,
    cx: &Context<AuthService>,
) -> Decision<R> {
    match ends {
        Some(_) => decision.change(kinds::profile(user), Vec::new(), lasting(ends, cx)),
        None => decision,
    }
}

/// The alarm of a profile that is used now: never earlier than the one that it has.
pub(crate) fn lasting(ends: Option<Timestamp>, cx: &Context<AuthService>) -> Alarm {
    let longest = cx.now.plus_secs(cx.settings.client_validity_s.saturating_add(FRAME_WINDOW_S));
    if ends.is_some_and(|ends| ends >= longest) { Alarm::Keep } else { Alarm::At(longest) }
}

/// The highest version that may follow: nobody uses up a user's versions at once.
pub(crate) fn highest(latest: Option<u32>) -> u32 {
    latest.unwrap_or(0).saturating_add(LARGEST_STEP)
}

/// Behind the row of the latest number, in the order of versions.
fn row(version: u32) -> RowKey {
    Bytes::copy_from_slice(&version.to_be_bytes())
}

/// By how much a version is higher than the latest, at most: more than any user publishes while a profile lasts.
const LARGEST_STEP: u32 = 1 << 16;
