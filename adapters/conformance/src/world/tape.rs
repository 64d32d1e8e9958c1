//! The one source of chance of a run.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use phoenix_core::port::Entropy;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

/// A tape of bytes from which every choice of a run is read, in the order in which they fall. Clones read the
/// same tape.
///
/// A number expands to an endless tape; given bytes are read as they are, and followed by zeros, so that a
/// fuzzer's input is a tape, too.
#[derive(Clone)]
pub struct Tape {
    reel: Arc<Mutex<Reel>>,
}

enum Reel {
    Grown(Box<ChaCha20Rng>),
    Given { bytes: Vec<u8>, at: usize },
}

impl Tape {
    /// The tape of a seed.
    #[must_use]
    pub fn of_seed(seed: u64) -> Self {
        Self::new(Reel::Grown(Box::new(ChaCha20Rng::seed_from_u64(seed))))
    }

    /// A tape of these bytes.
    #[must_use]
    pub fn of_bytes(bytes: Vec<u8>) -> Self {
        Self::new(Reel::Given { bytes, at: 0 })
    }

    fn new(reel: Reel) -> Self {
        Self { reel: Arc::new(Mutex::new(reel)) }
    }

    /// The next bytes.
    #[must_use]
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.lock().read(&mut bytes);
        bytes
    }

    /// A number from 0 up to, but without, `bound`; 0 where the bound is 0.
    #[must_use]
    pub fn below(&self, bound: usize) -> usize {
        let drawn = u32::from_be_bytes(self.bytes());
        usize::try_from(drawn).unwrap_or(0).checked_rem(bound).unwrap_or(0)
    }

    /// A number from 0 up to, but without, `bound`; 0 where the bound is 0.
    #[must_use]
    pub fn below_u64(&self, bound: u64) -> u64 {
        u64::from_be_bytes(self.bytes()).checked_rem(bound).unwrap_or(0)
    }

    /// True `per_mille` times in a thousand.
    #[must_use]
    pub fn strikes(&self, per_mille: u16) -> bool {
        u16::from_be_bytes(self.bytes()) % 1_000 < per_mille
    }

    /// One of these; none where there are none.
    #[must_use]
    pub fn pick<'a, T>(&self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.below(from.len()))
    }

    /// An endless stream of its own, for a node's randomness: what one node draws does not depend on how much
    /// the others drew.
    #[must_use]
    pub fn entropy(&self) -> Stream {
        Stream { stream: Mutex::new(ChaCha20Rng::from_seed(self.bytes())) }
    }

    /// Such a stream for a node that starts from what another run stored, which may have had the same tape: none of
    /// what was drawn then is drawn again, as marks, by which a store tells a batch that it has from another.
    #[must_use]
    pub fn entropy_apart(&self) -> Stream {
        let mut stream = ChaCha20Rng::from_seed(self.bytes());
        stream.set_stream(1);
        Stream { stream: Mutex::new(stream) }
    }

    fn lock(&self) -> MutexGuard<'_, Reel> {
        self.reel.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Tape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tape")
    }
}

impl Reel {
    fn read(&mut self, buffer: &mut [u8]) {
        match self {
            Self::Grown(stream) => stream.fill_bytes(buffer),
            Self::Given { bytes, at } => {
                for byte in buffer {
                    *byte = bytes.get(*at).copied().unwrap_or(0);
                    *at = at.saturating_add(1);
                }
            }
        }
    }
}

/// The randomness of one node.
pub struct Stream {
    stream: Mutex<ChaCha20Rng>,
}

impl Entropy for Stream {
    fn fill(&self, buffer: &mut [u8]) {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(buffer);
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stream")
    }
}

#[cfg(test)]
mod tests {
    use super::Tape;

    #[test]
    fn the_same_seed_expands_to_the_same_tape() {
        let (one, other) = (Tape::of_seed(7), Tape::of_seed(7));

        assert_eq!(one.bytes::<64>(), other.bytes::<64>());
        assert_ne!(one.bytes::<64>(), Tape::of_seed(8).bytes::<64>());
    }

    #[test]
    fn bytes_are_a_tape_that_ends_in_zeros() {
        let tape = Tape::of_bytes(vec![0, 0, 0, 5, 9]);

        assert_eq!(tape.below(4), 1);
        assert_eq!(tape.bytes::<4>(), [9, 0, 0, 0]);
        assert_eq!(tape.below(3), 0);
    }

    #[test]
    fn nothing_is_picked_from_nothing() {
        assert_eq!(Tape::of_seed(1).pick::<u8>(&[]), None);
    }
}
