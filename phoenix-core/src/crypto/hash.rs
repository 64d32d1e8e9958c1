//! Hashes and keys derived by hashing.

use hkdf::Hkdf;
use sha2::{Digest, Sha256};
use tls_codec::{Error, Serialize, VLByteSlice};
use zeroize::Zeroizing;

use crate::{
    Fingerprint, KeyId,
    wire::{Secret, Wire},
};

/// SHA-256 of the bytes.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// A key for one purpose: HKDF-SHA256 (RFC 5869) of `key`, with `{ opaque label<V>; opaque context<V> }` as info,
/// where the label is prefixed as in 03, "Labels".
#[must_use]
pub fn derive(key: &[u8], label: &str, context: &[u8]) -> Secret<32> {
    let mut output = Zeroizing::new([0; 32]);
    let info = labelled(label, context).unwrap_or_default();
    // Expanding fails only for more than 255 blocks; this is one.
    if Hkdf::<Sha256>::new(None, key).expand(&info, output.as_mut()).is_err() {
        output.fill(0);
    }
    Secret::new(*output)
}

/// `{ opaque label<V> = "Phoenix 1.0 " || label; opaque content<V> }` (03, "Labels"): what a [`Signer`](super::Signer)
/// has its hardware sign.
///
/// # Errors
/// Fails only for content over 2^30 bytes, which no bound of the protocol allows.
pub fn labelled(label: &str, content: &[u8]) -> Result<Vec<u8>, Error> {
    let mut encoded =
        Vec::with_capacity(content.len().saturating_add(PREFIX.len()).saturating_add(label.len()));
    VLByteSlice(format!("{PREFIX}{label}").as_bytes()).tls_serialize(&mut encoded)?;
    VLByteSlice(content).tls_serialize(&mut encoded)?;
    Ok(encoded)
}

impl KeyId {
    /// The id of a key: the first 16 bytes of the SHA-256 of its encoding.
    #[must_use]
    pub fn of(key: &impl Wire) -> Self {
        let hash = sha256(&key.encode());
        Self(hash.first_chunk().copied().unwrap_or_default())
    }
}

impl Fingerprint {
    /// The fingerprint of a credential: the SHA-256 of its encoding (03).
    #[must_use]
    pub fn of(credential: &impl Wire) -> Self {
        Self(sha256(&credential.encode()))
    }
}

/// Stands before every label (03).
const PREFIX: &str = "Phoenix 1.0 ";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)] // a test may fail loudly

    use super::{derive, labelled};

    #[test]
    fn labels_and_contexts_never_run_into_each_other() {
        let keys = [derive(b"key", "ab", b"c"), derive(b"key", "a", b"bc"), derive(b"yek", "ab", b"c")];

        assert_ne!(keys[0], keys[1]);
        assert_ne!(keys[0], keys[2]);
        assert_eq!(keys[0], derive(b"key", "ab", b"c"));
    }

    #[test]
    fn a_label_is_prefixed_and_both_parts_carry_their_length() {
        let encoded = labelled("Call", b"xyz").expect("short");

        assert_eq!(encoded, b"\x10Phoenix 1.0 Call\x03xyz");
    }
}
