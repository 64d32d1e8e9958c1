//! The chain of keys that both ends of a queue walk (06, "Ratchet").

use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::{
    Reject,
    api::queue::{Entry, SealedEntry},
    crypto::{Chance, Draft, HpkeCiphertext, HpkePublicKey, HpkeSecretKey, open_aes256},
    wire::{Opaque, Secret, Wiped},
};

/// What one number of the chain gives; only the last of it may stay.
struct Step {
    message: Secret<32>,
    nonce: [u8; 12],
    next: Secret<32>,
}

/// Seals the entry of a number, and gives the chain's next key.
pub(super) fn seal(
    key: &Secret<32>,
    seq: u64,
    entry: &Entry,
    chance: &mut Chance,
) -> Result<(SealedEntry, Secret<32>), Reject> {
    let salt = chance.bytes();
    let step = step(key, seq, &salt);
    let padded = Draft::padded(&[], entry, FLOOR);
    let ciphertext = padded.seal_under(&step.message, &step.nonce, &aad(seq, &salt));
    Ok((SealedEntry { salt, ciphertext: Opaque::new(ciphertext)? }, step.next))
}

/// Opens the entry of a number: its padded content, and the chain's next key.
pub(super) fn open(key: &Secret<32>, seq: u64, sealed: &SealedEntry) -> Result<(Wiped, Secret<32>), Reject> {
    let step = step(key, seq, &sealed.salt);
    let padded = open_aes256(&step.message, &step.nonce, &aad(seq, &sealed.salt), &sealed.ciphertext)?;
    Ok((padded, step.next))
}

/// The chain's key after a fresh secret was mixed in: HKDF-Extract(key, secret).
pub(super) fn update(key: &Secret<32>, secret: &Secret<32>) -> Secret<32> {
    let (mixed, _) = Hkdf::<Sha256>::extract(Some(key.expose()), secret.expose());
    Secret::new(mixed.into())
}

/// What a `ratchet` entry holds.
#[derive(Clone, Copy)]
pub(super) enum Fresh {
    /// The chain's key itself: of a queue that begins or begins again.
    Key,
    /// A secret to mix into the chain's key.
    Secret,
}

impl Fresh {
    /// Seals 32 bytes to the queue's key, for one number.
    pub(super) fn seal(
        self,
        to: &HpkePublicKey,
        seq: u64,
        secret: &Secret<32>,
        chance: &mut Chance,
    ) -> Result<HpkeCiphertext, Reject> {
        to.seal(self.info(), &seq.to_be_bytes(), secret.expose(), chance)
    }

    /// Opens what [`Fresh::seal`] sealed.
    pub(super) fn open(self, key: &HpkeSecretKey, seq: u64, sealed: &HpkeCiphertext) -> Option<Secret<32>> {
        let opened = key.open(self.info(), &seq.to_be_bytes(), sealed).ok()?;
        opened.as_slice().try_into().ok().map(Secret::new)
    }

    /// Tells the two apart: a client that missed how a queue began again must not mix its old key in.
    const fn info(self) -> &'static [u8] {
        match self {
            Self::Key => b"phoenix queue key",
            Self::Secret => b"phoenix queue update",
        }
    }
}

/// HKDF-Expand(key, "phoenix queue" || seq || salt, 76).
fn step(key: &Secret<32>, seq: u64, salt: &[u8; 16]) -> Step {
    let mut output = Zeroizing::new([0; OUTPUT]);
    // A 32-byte key is a valid pseudorandom key of HKDF-SHA256, and 76 bytes are few enough to expand.
    if let Ok(hkdf) = Hkdf::<Sha256>::from_prk(key.expose()) {
        let _ = hkdf.expand_multi_info(&[LABEL, &aad(seq, salt)], output.as_mut());
    }
    let (message, rest) = output.split_first_chunk().unwrap_or((&[0; 32], &[]));
    let (nonce, rest) = rest.split_first_chunk().unwrap_or((&[0; 12], &[]));
    let next = rest.first_chunk().unwrap_or(&[0; 32]);
    Step { message: Secret::new(*message), nonce: *nonce, next: Secret::new(*next) }
}

/// seq || salt.
fn aad(seq: u64, salt: &[u8; 16]) -> [u8; 24] {
    let mut aad = [0; 24];
    aad.iter_mut().zip(seq.to_be_bytes().iter().chain(salt)).for_each(|(to, from)| *to = *from);
    aad
}

/// Begins the info of every step.
const LABEL: &[u8] = b"phoenix queue";
/// message key, nonce, next key.
const OUTPUT: usize = 32 + 12 + 32;
/// Longest content of an entry that is certain to fit when padded: the last Padmé step before 2 MiB, less what stands
/// around the content.
pub const MAX_CONTENT: usize = (63 << 15) - 64;
/// Shortest padded entry (06, "Entry").
const FLOOR: usize = 256;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)] // a test may fail loudly

    use super::step;
    use crate::wire::Secret;

    #[test]
    fn a_step_depends_on_key_number_and_salt_and_shows_none_of_its_parts_in_another() {
        let key = Secret::new([1; 32]);
        let base = step(&key, 1, &[2; 16]);

        for other in [step(&key, 2, &[2; 16]), step(&key, 1, &[3; 16]), step(&base.next, 1, &[2; 16])] {
            assert_ne!(other.message, base.message);
            assert_ne!(other.nonce, base.nonce);
            assert_ne!(other.next, base.next);
        }
        assert_ne!(base.message, base.next);
        assert_eq!(step(&key, 1, &[2; 16]).next, base.next);
    }
}
