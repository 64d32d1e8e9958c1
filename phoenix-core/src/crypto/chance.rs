//! The randomness of one attempt.

use std::{convert::Infallible, fmt, hint::black_box};

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng, TryCryptoRng, TryRng};
use zeroize::Zeroize;

use super::hash::derive;

/// The generator of everything random in one attempt: ChaCha20, grown from one seed.
///
/// The same seed gives the same attempt again, so a bug report, a test and a fuzzer can repeat one exactly. It
/// cannot be cloned, since two equal streams would use a nonce twice; [`Chance::child`] makes an independent one.
pub struct Chance {
    stream: ChaCha20Rng,
}

impl Chance {
    /// Grows a generator from a seed that nobody can predict.
    #[must_use]
    pub fn from_seed(mut seed: [u8; 32]) -> Self {
        let stream = ChaCha20Rng::from_seed(seed);
        seed.zeroize();
        Self { stream }
    }

    /// The next `N` random bytes.
    #[must_use]
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.stream.fill_bytes(&mut bytes);
        bytes
    }

    /// A number below a bound, which is far below 2^64; 0 where the bound is 0.
    #[must_use]
    pub fn below(&mut self, bound: u64) -> u64 {
        u64::from_be_bytes(self.bytes()).checked_rem(bound).unwrap_or_default()
    }

    /// An independent generator, for a part of the work. Each call gives another, whatever its label; the label
    /// keeps streams of different purposes apart even where their seeds were to repeat.
    #[must_use]
    pub fn child(&mut self, label: &str) -> Self {
        let mut fresh = self.bytes::<32>();
        let child = Self::from_seed(*derive(&fresh, label, b"").expose());
        fresh.zeroize();
        child
    }
}

impl TryRng for Chance {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.stream.next_u32())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.stream.next_u64())
    }

    fn try_fill_bytes(&mut self, buffer: &mut [u8]) -> Result<(), Infallible> {
        self.stream.fill_bytes(buffer);
        Ok(())
    }
}

impl TryCryptoRng for Chance {}

impl fmt::Debug for Chance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Chance")
    }
}

impl Drop for Chance {
    fn drop(&mut self) {
        // The library's generator has no wipe of its own: overwriting it whole is the nearest to one.
        self.stream = black_box(ChaCha20Rng::from_seed([0; 32]));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)] // a test may fail loudly

    use super::Chance;

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        let mut one = Chance::from_seed([7; 32]);
        let mut other = Chance::from_seed([7; 32]);

        assert_eq!(one.bytes::<100>(), other.bytes::<100>());
        assert_ne!(one.bytes::<32>(), Chance::from_seed([8; 32]).bytes::<32>());
    }

    #[test]
    fn children_differ_from_their_parent_and_from_each_other() {
        let mut parent = Chance::from_seed([7; 32]);

        let streams = [parent.child("a").bytes::<32>(), parent.child("a").bytes(), parent.child("b").bytes()];

        assert_ne!(streams[0], streams[1]);
        assert_ne!(streams[1], streams[2]);
        assert!(!streams.contains(&parent.bytes()));
    }
}
