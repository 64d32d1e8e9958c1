//! Padding that hides lengths.

use crate::{Reject, wire::Wiped};

/// The padded length of `length` bytes: the next Padmé step (Nikitin et al., PETS 2019, §4), at least `floor`.
/// It leaks O(log log) bits of the length, and costs at most 12 %.
#[must_use]
pub const fn padme(length: usize, floor: usize) -> usize {
    let length = if length < floor { floor } else { length };
    if length < 2 {
        return length;
    }
    let exponent = length.ilog2();
    let significant = u32::BITS.saturating_sub(exponent.leading_zeros());
    let mask = (1_usize << exponent.saturating_sub(significant)).saturating_sub(1);
    length.saturating_add(mask) & !mask
}

/// Pads to the next Padmé step, at least `floor` bytes: a four-byte length, the plaintext, zeros.
#[must_use]
pub fn pad(plaintext: &[u8], floor: usize) -> Wiped {
    fill(plaintext, padme(plaintext.len().saturating_add(LENGTH), floor))
}

/// Pads to exactly `size` bytes: a four-byte length, the plaintext, zeros.
///
/// # Errors
/// [`Reject::TooLarge`] where the plaintext does not fit.
pub fn pad_to(plaintext: &[u8], size: usize) -> Result<Wiped, Reject> {
    if plaintext.len().saturating_add(LENGTH) > size {
        return Err(Reject::TooLarge("padding"));
    }
    Ok(fill(plaintext, size))
}

/// What was padded by [`pad`] or [`pad_to`].
///
/// # Errors
/// [`Reject::Malformed`] where the length is too large or a byte of the padding is not zero.
pub fn unpad(padded: &[u8]) -> Result<&[u8], Reject> {
    let (length, rest) = padded.split_first_chunk::<LENGTH>().ok_or(Reject::Malformed("padding"))?;
    let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| Reject::Malformed("padding"))?;
    let (plaintext, zeros) = rest.split_at_checked(length).ok_or(Reject::Malformed("padding"))?;
    if zeros.iter().any(|byte| *byte != 0) {
        return Err(Reject::Malformed("padding"));
    }
    Ok(plaintext)
}

/// What stands in front of a padded plaintext of this length.
pub(super) fn prefix(length: usize) -> [u8; LENGTH] {
    // Everything padded is bounded by 02 far below 4 GiB.
    u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes()
}

fn fill(plaintext: &[u8], size: usize) -> Wiped {
    let mut padded = Vec::with_capacity(size);
    padded.extend_from_slice(&prefix(plaintext.len()));
    padded.extend_from_slice(plaintext);
    padded.resize(size, 0);
    padded.into()
}

/// Bytes of the length in front.
pub(super) const LENGTH: usize = 4;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)] // a test may fail loudly

    use super::{pad, pad_to, padme, unpad};

    #[test]
    fn padded_lengths_are_the_steps_of_padme() {
        for (length, padded) in [(0, 0), (1, 1), (9, 10), (100, 104), (1_000, 1_024), (1_025, 1_088)] {
            assert_eq!(padme(length, 0), padded, "{length}");
        }
        assert_eq!(padme(3, 256), 256);
    }

    #[test]
    fn padding_grows_by_at_most_an_eighth_and_never_shrinks() {
        for length in 1..5_000 {
            let padded = padme(length, 0);
            assert!(padded >= length && (padded - length) * 8 <= length, "{length}: {padded}");
        }
    }

    #[test]
    fn what_was_padded_comes_back() {
        for length in [0, 1, 251, 252, 253, 4_000] {
            let plaintext = vec![7; length];
            assert_eq!(unpad(&pad(&plaintext, 256)), Ok(plaintext.as_slice()));
        }
        assert_eq!(pad_to(b"abc", 1_024).map(|padded| padded.len()), Ok(1_024));
        assert!(pad_to(&[0; 1_021], 1_024).is_err());
    }

    #[test]
    fn padding_of_anything_but_zeros_is_refused() {
        let mut padded = pad(b"abc", 256).to_vec();
        padded[200] = 1;

        assert!(unpad(&padded).is_err());
        assert!(unpad(&[0, 0, 0]).is_err());
        assert!(unpad(&[0xff; 16]).is_err());
    }
}
