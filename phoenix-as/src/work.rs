//! Proof of work (05, "Registration policy"): what is asked for, and whether it was done.
//!
//! A challenge is kept nowhere. Half of its salt is a keyed hash over the rest of it and its purpose, so the AS knows
//! its own again, as hard as it made them. Only what was solved and used is remembered, until it ends by itself.

use phoenix_core::{
    Fault, UserId,
    api::auth::{MAX_BITS, WorkChallenge, WorkProof},
    operation::{Context, Decision, Local, Reading, Rows},
    port::{Alarm, Wanted},
    time::HOUR,
    wire::{Secret, Wire},
};

use crate::{AuthService, account::ends, allowance::CLOCK_MARGIN, kinds};

/// What work is done for: done for the one, it is worth nothing for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To register.
    Registration = 1,
    /// To log in after many failed logins.
    Login = 2,
}

/// A new challenge of so many bits, at most [`MAX_BITS`].
pub(crate) fn challenge(purpose: Purpose, bits: u8, cx: &Context<AuthService>) -> WorkChallenge {
    let random: [u8; 16] = cx.chance("work").bytes();
    let (bits, expires) = (bits.min(MAX_BITS), cx.now.plus_secs(VALID_S).as_secs());
    let tag = tag(&random, bits, expires, purpose, cx);
    let mut salt = [0; 32];
    salt.iter_mut().zip(random.iter().chain(tag.expose())).for_each(|(to, from)| *to = *from);
    WorkChallenge { salt, bits, expires }
}

/// Whether a proof is about as hard as what is asked for now. Who gathers challenges while they are easy gains a bit by
/// it; who solves one while others come does not solve it in vain.
pub(crate) const fn is_enough(proof: &WorkProof, bits: u8) -> bool {
    proof.challenge.bits.saturating_add(1) >= bits
}

/// Whether a proof answers a challenge that was made here for this purpose and has not expired, for this user.
/// Whether it was used before is seen in what [`reading`] finds.
pub(crate) fn holds(proof: &WorkProof, purpose: Purpose, user: &UserId, cx: &Context<AuthService>) -> bool {
    let WorkChallenge { salt, bits, expires } = &proof.challenge;
    let (Some(random), Some(own)) = (salt.first_chunk(), salt.last_chunk()) else { return false };
    cx.now.as_secs() <= *expires
        && tag(random, *bits, *expires, purpose, cx) == Secret::new(*own)
        && proof.holds(user)
}

/// Reads whether a proof was used before, to use it.
pub(crate) fn reading(proof: &WorkProof, cx: &Context<AuthService>) -> Reading {
    Reading::change(place(proof, cx), Wanted::Mark)
}

/// Whether the proof that [`reading`] asked about was used before.
///
/// # Errors
/// A fault where it was not asked about.
pub(crate) fn is_used(rows: &Rows, place: usize) -> Result<bool, Fault> {
    Ok(rows.place(place)?.mark.is_some())
}

/// Also uses up a proof, for as long as its challenge could be answered, also by a clock that is late or was put back.
pub(crate) fn used<R>(decision: Decision<R>, proof: &WorkProof, cx: &Context<AuthService>) -> Decision<R> {
    decision.change(
        place(proof, cx),
        Vec::new(),
        Alarm::At(ends(proof.challenge.expires).plus_secs(CLOCK_MARGIN)),
    )
}

fn place(proof: &WorkProof, cx: &Context<AuthService>) -> Local {
    kinds::work(&proof.challenge.salt, cx)
}

fn tag(random: &[u8; 16], bits: u8, expires: u64, purpose: Purpose, cx: &Context<AuthService>) -> Secret<16> {
    let tag = cx.keys.at_rest.prf("work", &(*random, [bits, purpose as u8], expires).encode());
    Secret::new(tag.first_chunk().copied().unwrap_or_default())
}

/// How long a challenge can be answered: the hardest takes a core two minutes, and a slow one half an hour.
const VALID_S: u64 = HOUR;
