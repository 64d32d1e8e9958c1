//! Nonces of a server (RFC 9449 §8, §9).

use super::jws::encoded;
use crate::{Timestamp, crypto::AtRestKey, time::MINUTE};

/// Nonces that a server tells its callers and demands in their proofs, so that none is made long before it is used.
///
/// They need no memory: each is a keyed hash of the five minutes in which it was told, so all replicas that have the key
/// take each other's.
#[derive(Debug)]
pub struct DpopNonces(AtRestKey);

impl DpopNonces {
    /// Nonces under a key that serves for nothing else.
    #[must_use]
    pub const fn new(key: AtRestKey) -> Self {
        Self(key)
    }

    /// The nonce that is told now.
    #[must_use]
    pub fn current(&self, now: Timestamp) -> String {
        self.of(slot(now))
    }

    /// Whether a nonce was told less than five minutes ago, or a little more.
    pub(super) fn accept(&self, nonce: &str, now: Timestamp) -> bool {
        let slot = slot(now);
        nonce == self.of(slot) || nonce == self.of(slot.saturating_sub(1))
    }

    fn of(&self, slot: u64) -> String {
        encoded(&self.0.prf("dpop nonce", &slot.to_be_bytes()))
    }
}

fn slot(now: Timestamp) -> u64 {
    now.as_secs() / NONCE_S
}

/// How long one nonce is told; it is taken for as long again.
const NONCE_S: u64 = 5 * MINUTE;
