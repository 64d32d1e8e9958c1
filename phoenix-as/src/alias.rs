//! What is known of an alias.

use phoenix_core::{
    AliasHash, Failure, Reject, Timestamp,
    crypto::VerifyingKey,
    operation::{Anyone, Context, Decoded, Frame, Operation, Proven, Reading, Rows},
    port::Wanted,
    time::DAY,
    wire::Sender,
};

use crate::{
    AuthService, kinds,
    record::{self, Alias},
};

/// An alias that there is.
pub(crate) struct Known {
    pub(crate) auth_key: VerifyingKey,
    /// When it expires.
    pub(crate) ends: Timestamp,
}

/// The alias that a call's frame names; nothing is proven yet.
///
/// # Errors
/// [`Reject::Unauthenticated`] where it names none.
pub(crate) fn claimed<O: Operation>(call: &Decoded<O>) -> Result<&AliasHash, Reject> {
    named(call.frame()?)
}

/// The alias that a frame names.
///
/// # Errors
/// [`Reject::Unauthenticated`] where it names none.
pub(crate) fn named(frame: &Frame) -> Result<&AliasHash, Reject> {
    match frame.sender() {
        Sender::Alias(alias) => Ok(alias),
        _ => Err(Reject::Unauthenticated),
    }
}

/// Reads an alias's record, to rely on it.
pub(crate) fn reading(alias: &AliasHash, cx: &Context<AuthService>) -> Reading {
    Reading::watch(kinds::alias(alias, cx), Wanted::Keys(vec![record::ROW]))
}

/// Reads an alias's record, to change it.
pub(crate) fn reading_to_change(alias: &AliasHash, cx: &Context<AuthService>) -> Reading {
    Reading::change(kinds::alias(alias, cx), Wanted::Keys(vec![record::ROW]))
}

/// The alias at a place that [`reading`] asked for, if there is one and it has not expired.
///
/// # Errors
/// A fault where what is stored is none.
pub(crate) fn found(rows: &Rows, place: usize, cx: &Context<AuthService>) -> Result<Option<Known>, Failure> {
    let ends = rows.place(place)?.alarm.unwrap_or(Timestamp::MAX);
    let stored = rows.row(place, &record::ROW)?.filter(|_| cx.now < ends);
    let Some(stored) = stored else { return Ok(None) };
    let Alias { auth_key } = record::decode(stored)?;
    Ok(Some(Known { auth_key, ends }))
}

/// When what is an alias's own is dropped, where it ends then: after it, however their alarms are rounded, and
/// whoever takes the alias finds nothing of it.
pub(crate) const fn cleared(ends: Timestamp) -> Timestamp {
    ends.plus_secs(2 * DAY)
}

/// Proves that a frame is of an alias that there is.
///
/// # Errors
/// [`Reject::Unauthenticated`] where there is none, or the signature is not its key's.
pub(crate) fn prove<O: Operation>(
    call: &Decoded<O>,
    known: Option<&Known>,
) -> Result<Proven<Anyone>, Reject> {
    call.frame()?.prove_known(known.map(|known| &known.auth_key), Anyone)
}
