//! Bytes that must not be seen.

use std::{fmt, io};

use subtle::ConstantTimeEq;
use tls_codec::{DeserializeBytes, Error, Serialize, Size};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Secret bytes of a fixed length: wiped when dropped, compared in constant time, never printed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Secret<const N: usize>([u8; N]);

impl<const N: usize> Secret<N> {
    /// Takes the bytes.
    #[must_use]
    pub const fn new(bytes: [u8; N]) -> Self {
        Self(bytes)
    }

    /// Shows the bytes to the cryptography that needs them.
    #[must_use]
    pub const fn expose(&self) -> &[u8; N] {
        &self.0
    }
}

impl<const N: usize> From<[u8; N]> for Secret<N> {
    fn from(bytes: [u8; N]) -> Self {
        Self(bytes)
    }
}

impl<const N: usize> PartialEq for Secret<N> {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl<const N: usize> Eq for Secret<N> {}

impl<const N: usize> fmt::Debug for Secret<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

impl<const N: usize> Size for Secret<N> {
    fn tls_serialized_len(&self) -> usize {
        N
    }
}

impl<const N: usize> Serialize for Secret<N> {
    fn tls_serialize<W: io::Write>(&self, writer: &mut W) -> Result<usize, Error> {
        writer.write_all(&self.0)?;
        Ok(N)
    }
}

impl<const N: usize> DeserializeBytes for Secret<N> {
    fn tls_deserialize_bytes(input: &[u8]) -> Result<(Self, &[u8]), Error> {
        <[u8; N]>::tls_deserialize_bytes(input).map(|(bytes, rest)| (Self(bytes), rest))
    }
}
