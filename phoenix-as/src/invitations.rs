//! Invitations (05, "Registration policy"): codes that let one user register.
//!
//! An invitation lies under a keyed hash of its code, and its row is its last second: nothing tells who made it or
//! for whom. It is looked at when a registration begins, and goes in the batch that makes the user.

use phoenix_core::{
    Fault,
    api::auth::{Invitation, InvitationCode},
    operation::{Context, Decision, Purpose, Reading, Rows},
    port::{Alarm, Wanted, Write},
    time::DAY,
    wire::Secret,
};

use crate::{AuthService, account::ends, kinds, record};

/// The decision that makes an invitation, good for so many seconds.
pub(crate) fn made(valid_s: u64, cx: &Context<AuthService>) -> Decision<Invitation> {
    let code = InvitationCode(Secret::new(cx.chance("invitation").bytes()));
    let expires = expiry(valid_s, cx);
    let write = Write::Put(record::ROW, record::encode(&expires));
    let at = kinds::invitation(&hash(&code, cx));
    Decision::reply(Invitation { code, expires }).change(at, vec![write], Alarm::At(ends(expires)))
}

/// What an invitation is known by.
pub(crate) fn hash(code: &InvitationCode, cx: &Context<AuthService>) -> [u8; 32] {
    cx.keys.at_rest.prf("invitation", code.0.expose())
}

/// Reads an invitation, to rely on it.
pub(crate) fn reading(hash: &[u8; 32]) -> Reading {
    Reading::watch(kinds::invitation(hash), Wanted::Keys(vec![record::ROW]))
}

/// Reads an invitation, to use it up.
pub(crate) fn reading_to_use(hash: &[u8; 32]) -> Reading {
    Reading { purpose: Purpose::Change, ..reading(hash) }
}

/// Whether the invitation that was asked for is good: it was made, was not used, and has not expired.
///
/// # Errors
/// A fault where what is stored is none.
pub(crate) fn is_good(rows: &Rows, place: usize, cx: &Context<AuthService>) -> Result<bool, Fault> {
    let Some(stored) = rows.row(place, &record::ROW)? else { return Ok(false) };
    let expires: u64 = record::decode(stored)?;
    Ok(cx.now.as_secs() <= expires)
}

/// The last second of an invitation. One that is farther away than a day ends with a day, so that what is stored does
/// not tell when the invitation was made.
fn expiry(valid_s: u64, cx: &Context<AuthService>) -> u64 {
    let expires = cx.now.as_secs().saturating_add(valid_s);
    if valid_s <= DAY { expires } else { expires.div_ceil(DAY).saturating_mul(DAY) }
}
