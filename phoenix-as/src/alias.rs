//! What is known of an alias.

use phoenix_core::{
    AliasHash, Failure, Reject,
    operation::{Anyone, Context, Decoded, Operation, Proven, Reading, Rows},
    port::Wanted,
    wire::Sender,
};

use crate::{
    AuthService, kinds,
    record::{self, Alias},
};

/// The alias that a frame names; nothing is proven yet.
///
/// # Errors
/// [`Reject::Unauthenticated`] where it names none.
pub(crate) fn claimed<O: Operation>(call: &Decoded<O>) -> Result<&AliasHash, Reject> {
    match call.frame()?.sender() {
        Sender::Alias(alias) => Ok(alias),
        _ => Err(Reject::Unauthenticated),
    }
}

/// Reads an alias's record, to rely on it.
pub(crate) fn reading(alias: &AliasHash, cx: &Context<AuthService>) -> Reading {
    Reading::watch(kinds::alias(alias, cx), Wanted::Keys(vec![record::ROW]))
}

/// The record at a place that [`reading`] asked for, if there is such an alias and it has not expired.
///
/// # Errors
/// A fault where what is stored is none.
pub(crate) fn found(rows: &Rows, place: usize, cx: &Context<AuthService>) -> Result<Option<Alias>, Failure> {
    let has_expired = rows.place(place)?.alarm.is_some_and(|alarm| alarm <= cx.now);
    let stored = rows.row(place, &record::ROW)?.filter(|_| !has_expired);
    Ok(stored.map(|stored| record::decode(stored)).transpose()?)
}

/// Proves that a frame is of an alias that there is.
///
/// # Errors
/// [`Reject::Unauthenticated`] where there is none, or the signature is not its key's.
pub(crate) fn prove<O: Operation>(call: &Decoded<O>, known: Option<&Alias>) -> Result<Proven<Anyone>, Reject> {
    let known = known.ok_or(Reject::Unauthenticated)?;
    call.frame()?.prove(&known.auth_key, Anyone)
}
