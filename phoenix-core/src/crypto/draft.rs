//! Plaintexts that are sealed where they were written.

use aes_gcm::{Aes256Gcm, KeyInit, Nonce, aead::AeadInOut};
use bytes::{Buf, Bytes};

use super::{
    Chance,
    at_rest::{NONCE, SEAL_OVERHEAD},
    padding::{LENGTH, padme, prefix},
};
use crate::wire::{Secret, Wiped, Wire};

/// A plaintext that is written where it is sealed: it is copied nowhere, and its ciphertext takes its place. Wiped where it
/// is dropped instead.
pub struct Draft(Wiped);

impl Draft {
    /// A copy of these bytes.
    #[must_use]
    pub fn copied(plaintext: &[u8]) -> Self {
        let mut buffer = room(plaintext.len());
        buffer.extend_from_slice(plaintext);
        Self(buffer.into())
    }

    /// The encoding of a value.
    #[must_use]
    pub fn encoded(value: &impl Wire) -> Self {
        let mut buffer = room(value.encoded_len());
        value.encode_to(&mut buffer);
        Self(buffer.into())
    }

    /// The encoding of a value behind what tells its version, padded as [`pad`](super::pad) does.
    #[must_use]
    pub fn padded(version: &[u8], value: &impl Wire, floor: usize) -> Self {
        let length = version.len().saturating_add(value.encoded_len());
        let size = padme(length.saturating_add(LENGTH), floor);
        let mut buffer = room(size);
        buffer.extend_from_slice(&prefix(length));
        buffer.extend_from_slice(version);
        value.encode_to(&mut buffer);
        buffer.resize(NONCE.saturating_add(size), 0);
        Self(buffer.into())
    }

    /// How long it will be.
    #[must_use]
    pub fn sealed_len(&self) -> usize {
        self.0.len().saturating_sub(NONCE).saturating_add(SEAL_OVERHEAD)
    }

    /// Seals it under a fresh random nonce, which stands in front, as [`seal_with_key`](super::seal_with_key) does.
    #[must_use]
    pub fn seal(self, key: &Secret<32>, aad: &[u8], chance: &mut Chance) -> Bytes {
        let nonce = chance.bytes::<NONCE>();
        self.encrypted(key, &nonce, aad)
    }

    /// The ciphertext alone, under this nonce.
    pub(crate) fn seal_under(self, key: &Secret<32>, nonce: &[u8; NONCE], aad: &[u8]) -> Bytes {
        let mut sealed = self.encrypted(key, nonce, aad);
        sealed.advance(NONCE.min(sealed.len()));
        sealed
    }

    /// Nonce, ciphertext and tag: AES-256-GCM (NIST SP 800-38D).
    fn encrypted(self, key: &Secret<32>, nonce: &[u8; NONCE], aad: &[u8]) -> Bytes {
        let Self(mut buffer) = self;
        let Some((head, plaintext)) = buffer.split_first_chunk_mut::<NONCE>() else { return Bytes::new() };
        *head = *nonce;
        let cipher = Aes256Gcm::new(key.expose().into());
        // Sealing fails only for more than 64 GiB, which no bound of the protocol allows; nothing opens then.
        let Ok(tag) = cipher.encrypt_inout_detached(&Nonce::from(*nonce), aad, plaintext.into()) else {
            return Bytes::new();
        };
        let mut sealed = buffer.sealed();
        sealed.extend_from_slice(&tag);
        sealed.into()
    }
}

/// Memory for a nonce, so many bytes and a tag, of which nothing will be moved. The nonce is still to be written.
fn room(length: usize) -> Vec<u8> {
    let mut buffer = Vec::with_capacity(length.saturating_add(SEAL_OVERHEAD));
    buffer.resize(NONCE, 0);
    buffer
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail")]

    use super::Draft;
    use crate::{
        crypto::{Chance, open_with_key, pad},
        wire::{Opaque, Secret, Wire},
    };

    #[test]
    fn what_is_written_where_it_is_sealed_opens_like_what_was_copied_there() {
        let (key, mut chance) = (Secret::new([1; 32]), Chance::from_seed([2; 32]));
        let value = Opaque::<64>::new(vec![7; 40]).unwrap();
        let versioned = [&[3], value.encode().as_ref()].concat();

        for (draft, plain) in [
            (Draft::copied(&value), value.to_vec()),
            (Draft::encoded(&value), value.encode().to_vec()),
            (Draft::padded(&[3], &value, 8), pad(&versioned, 8).to_vec()),
            (Draft::padded(&[3], &value, 500), pad(&versioned, 500).to_vec()),
        ] {
            let length = draft.sealed_len();
            let sealed = draft.seal(&key, b"place", &mut chance);

            assert_eq!(sealed.len(), length);
            assert_eq!(open_with_key(&key, b"place", &sealed).unwrap().as_slice(), plain);
            assert!(open_with_key(&key, b"elsewhere", &sealed).is_err());
        }
    }
}
