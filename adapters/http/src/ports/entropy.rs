//! Randomness.

use getrandom::SysRng;
use phoenix_core::port::Entropy;
use rand_core::{Rng, UnwrapErr};

/// The operating system's generator.
///
/// # Panics
/// When the system has no randomness to give, which ends the call or task that wanted it: to go on with
/// predictable secrets would be worse. No supported system fails so once it has booted.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    fn fill(&self, buffer: &mut [u8]) {
        UnwrapErr(SysRng).fill_bytes(buffer);
    }
}

#[cfg(test)]
mod tests {
    use phoenix_core::port::Entropy;

    use super::OsEntropy;

    #[test]
    fn two_buffers_are_filled_differently() {
        let (mut one, mut other) = ([0; 32], [0; 32]);

        OsEntropy.fill(&mut one);
        OsEntropy.fill(&mut other);

        assert_ne!(one, [0; 32]);
        assert_ne!(one, other);
    }
}
