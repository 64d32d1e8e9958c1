//! What is known of an alias.

use std::sync::LazyLock;

use phoenix_core::{
    AliasHash, Failure, Reject, Timestamp,
    crypto::{Chance, SigningKey, Suite, VerifyingKey},
    operation::{Anyone, Context, Decoded, Frame, Operation, Proven, Reading, Rows},
    port::Wanted,
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

/// Proves that a frame is of an alias that there is. A refusal takes one verification of each suite, so that its
/// time tells neither whether there is such an alias nor what key it has.
///
/// # Errors
/// [`Reject::Unauthenticated`] where there is none, or the signature is not its key's.
pub(crate) fn prove<O: Operation>(
    call: &Decoded<O>,
    known: Option<&Known>,
) -> Result<Proven<Anyone>, Reject> {
    let frame = call.frame()?;
    let [first, second] = trial(known);
    let proven = frame.prove(first, Anyone);
    if proven.is_ok() && known.is_some() {
        return proven;
    }
    // For the time that it takes, whatever comes of it.
    let _ = frame.prove(std::hint::black_box(second), Anyone);
    Err(Reject::Unauthenticated)
}

/// The keys that a frame is tried with, one of each suite: first the alias's own, if there is one.
fn trial(known: Option<&Known>) -> [&VerifyingKey; 2] {
    let [ed25519, p256] = &*NOBODY;
    match known.map(|known| &known.auth_key) {
        None => [ed25519, p256],
        Some(own) => match own.suite {
            Suite::Ed25519 => [own, p256],
            Suite::P256 => [own, ed25519],
        },
    }
}

/// Keys of no alias. Anyone can sign with them, and it proves nothing.
static NOBODY: LazyLock<[VerifyingKey; 2]> = LazyLock::new(|| {
    let mut chance = Chance::from_seed([0; 32]);
    [Suite::Ed25519, Suite::P256].map(|suite| SigningKey::generate(suite, &mut chance).verifying_key())
});

#[cfg(test)]
mod tests {
    use phoenix_core::{
        Timestamp,
        crypto::{Chance, SigningKey, Suite},
    };

    use super::{Known, trial};

    #[test]
    fn a_frame_is_tried_with_one_key_of_each_suite_whoever_is_named() {
        for suite in [Suite::Ed25519, Suite::P256] {
            let key = SigningKey::generate(suite, &mut Chance::from_seed([1; 32]));
            let known = Known { auth_key: key.verifying_key(), ends: Timestamp::MAX };

            let [own, other] = trial(Some(&known));

            assert_eq!(*own, known.auth_key);
            assert_ne!(own.suite, other.suite);
        }
        assert_eq!(trial(None).map(|key| key.suite), [Suite::Ed25519, Suite::P256]);
    }
}
