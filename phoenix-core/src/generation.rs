//! How often a store was brought back from an older copy (09, "Restore").

use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

/// How many restores a store has come through. What is written carries the generation that it was written in, so that
/// whoever finds it in a later one knows that its numbers may have been handed out before, and leaves those out.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, TlsSerialize, TlsDeserializeBytes, TlsSize,
)]
pub struct Generation(pub u32);

impl Generation {
    /// The numbers to leave out in something that was written in an earlier generation; none where it was not. For each
    /// restore in between as many, since the same copy may be brought back again.
    #[must_use]
    pub const fn jump_from(self, written: Self) -> Option<u64> {
        match self.0.checked_sub(written.0) {
            None | Some(0) => None,
            Some(restores) => Some((restores as u64) << JUMP_BITS),
        }
    }

    /// The numbers that were left out since the first generation: 0 in that.
    #[must_use]
    pub const fn jump(self) -> u64 {
        (self.0 as u64) << JUMP_BITS
    }

    /// The generation after one more restore.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// A restore leaves out 2^32 numbers (09): more than anything hands out between a copy and its restore.
const JUMP_BITS: u32 = 32;

#[cfg(test)]
mod tests {
    use super::Generation;

    #[test]
    fn each_restore_leaves_out_as_many_numbers() {
        assert_eq!(Generation(2).jump_from(Generation(2)), None);
        assert_eq!(Generation(1).jump_from(Generation(2)), None);
        assert_eq!(Generation(1).jump_from(Generation(0)), Some(1 << 32));
        assert_eq!(Generation(3).jump_from(Generation(1)), Some(2 << 32));
        assert_eq!((Generation(0).jump(), Generation(3).jump()), (0, 3 << 32));
    }
}
