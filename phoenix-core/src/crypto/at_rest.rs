//! Encryption under symmetric keys (03, "Ciphersuites"): at rest, and of small keys among clients.

use std::{fmt, sync::OnceLock};

use aes_gcm::{
    Aes256Gcm, KeyInit, Nonce,
    aead::{Aead, Payload},
};
use bytes::Bytes;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use super::{
    Chance, Draft,
    hash::{derive, labelled},
};
use crate::{
    Fault, Reject,
    wire::{Secret, Wiped},
};

/// A key for what a server keeps: AES-256-GCM with a fresh 96-bit random nonce and the record's key as associated
/// data (03), so that no record can be put in another's place.
///
/// Cloned into the parts that seal; each copy is wiped when it is dropped.
#[derive(Clone)]
pub struct AtRestKey {
    key: Secret<32>,
    /// The key of [`AtRestKey::prf`], once it was needed: deriving it costs twice as much as hashing with it.
    prf: OnceLock<Secret<32>>,
}

impl AtRestKey {
    /// Takes the key.
    #[must_use]
    pub const fn new(key: Secret<32>) -> Self {
        Self { key, prf: OnceLock::new() }
    }

    /// A fresh key.
    #[must_use]
    pub fn generate(chance: &mut Chance) -> Self {
        Self::new(Secret::new(chance.bytes()))
    }

    /// An independent key for one purpose.
    #[must_use]
    pub fn derive(&self, label: &str) -> Self {
        Self::new(derive(self.key.expose(), label, b"at rest"))
    }

    /// Seals the content of a record, so that it opens under the same record key only.
    #[must_use]
    pub fn seal(&self, record: &[u8], plaintext: &[u8], chance: &mut Chance) -> Bytes {
        seal_with_key(&self.key, record, plaintext, chance)
    }

    /// The same for what was written where it is to be sealed.
    #[must_use]
    pub fn seal_draft(&self, record: &[u8], plaintext: Draft, chance: &mut Chance) -> Bytes {
        plaintext.seal(&self.key, record, chance)
    }

    /// Opens the content of a record.
    ///
    /// # Errors
    /// [`Fault::Broken`] where it was not sealed with this key for this record: the store has lied, or the
    /// operator's key is another.
    pub fn open(&self, record: &[u8], sealed: &[u8]) -> Result<Wiped, Fault> {
        open_with_key(&self.key, record, sealed).map_err(|_| Fault::Broken("sealed record"))
    }

    /// A keyed hash: HMAC-SHA-256 (RFC 2104) over label and input, for names that must not be told (09).
    #[must_use]
    pub fn prf(&self, label: &str, input: &[u8]) -> [u8; 32] {
        let message = labelled(label, input).unwrap_or_default();
        // A separate key, so that no output is ever a key that `derive` makes.
        let key = self.prf.get_or_init(|| derive(self.key.expose(), "prf", b""));
        Hmac::<Sha256>::new_from_slice(key.expose())
            .map(|mac| mac.chain_update(&message).finalize().into_bytes().into())
            .unwrap_or_default()
    }

    /// The key, to be sealed under another.
    #[must_use]
    pub const fn to_secret_bytes(&self) -> &Secret<32> {
        &self.key
    }
}

impl fmt::Debug for AtRestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AtRestKey")
    }
}

/// Seals with AES-256-GCM under a fresh random nonce, which stands in front: for link keys, profiles and other
/// small things among clients. A key made for one message may be used so without limit; a lasting one for 2^32
/// messages.
#[must_use]
pub fn seal_with_key(key: &Secret<32>, aad: &[u8], plaintext: &[u8], chance: &mut Chance) -> Bytes {
    Draft::copied(plaintext).seal(key, aad, chance)
}

/// Opens what [`seal_with_key`] sealed.
///
/// # Errors
/// [`Reject::Malformed`] where it was not sealed with this key and associated data.
pub fn open_with_key(key: &Secret<32>, aad: &[u8], sealed: &[u8]) -> Result<Wiped, Reject> {
    let (nonce, ciphertext) = sealed.split_first_chunk::<NONCE>().ok_or(Reject::Malformed("ciphertext"))?;
    open_aes256(key, nonce, aad, ciphertext)
}

/// Opens AES-256-GCM (NIST SP 800-38D) with the nonce given.
pub(crate) fn open_aes256(
    key: &Secret<32>,
    nonce: &[u8; NONCE],
    aad: &[u8],
    ciphertext: &[u8],
) -> Result<Wiped, Reject> {
    let payload = Payload { msg: ciphertext, aad };
    let opened = Aes256Gcm::new(key.expose().into()).decrypt(&Nonce::from(*nonce), payload);
    opened.map(Wiped::from).map_err(|_| Reject::Malformed("ciphertext"))
}

/// Bytes by which a sealed message is longer: nonce and tag.
pub const SEAL_OVERHEAD: usize = NONCE + 16;
/// Bytes of a nonce.
pub(super) const NONCE: usize = 12;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)] // a test may fail loudly

    use super::{AtRestKey, SEAL_OVERHEAD, open_with_key, seal_with_key};
    use crate::{crypto::Chance, wire::Secret};

    #[test]
    fn a_record_opens_under_its_own_key_and_place_only() {
        let mut chance = Chance::from_seed([1; 32]);
        let key = AtRestKey::generate(&mut chance);

        let sealed = key.seal(b"place", b"content", &mut chance);

        assert_eq!(sealed.len(), b"content".len() + SEAL_OVERHEAD);
        assert_eq!(key.open(b"place", &sealed).map(|it| it.to_vec()), Ok(b"content".to_vec()));
        assert!(key.open(b"elsewhere", &sealed).is_err());
        assert!(key.derive("other").open(b"place", &sealed).is_err());
        assert!(key.open(b"place", &sealed[..5]).is_err());
    }

    #[test]
    fn no_flipped_bit_of_a_sealed_message_goes_unnoticed() {
        let mut chance = Chance::from_seed([1; 32]);
        let key = Secret::new(chance.bytes());
        let sealed = seal_with_key(&key, b"aad", b"content", &mut chance).to_vec();

        for bit in 0..sealed.len() * 8 {
            let mut tampered = sealed.clone();
            tampered[bit / 8] ^= 1 << (bit % 8);
            assert!(open_with_key(&key, b"aad", &tampered).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn keyed_hashes_depend_on_key_label_and_input() {
        let key = AtRestKey::new(Secret::new([1; 32]));
        let hash = key.prf("lane", b"x");

        assert_eq!(hash, key.prf("lane", b"x"));
        assert_ne!(hash, key.prf("lane", b"y"));
        assert_ne!(hash, key.prf("enal", b"x"));
        assert_ne!(hash, AtRestKey::new(Secret::new([2; 32])).prf("lane", b"x"));
    }
}
