//! Bytes that must not be seen.

use std::{fmt, io};

use subtle::ConstantTimeEq;
use tls_codec::{DeserializeBytes, Error, Serialize, Size, VLByteSlice};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{TooLong, vector::content};

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

/// `opaque value<0..MAX>` that must not be seen: wiped when dropped, never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretOpaque<const MAX: usize>(Zeroizing<Vec<u8>>);

impl<const MAX: usize> SecretOpaque<MAX> {
    /// Copies the bytes, if they are not too many.
    ///
    /// # Errors
    /// [`TooLong`] for more than `MAX` bytes.
    pub fn new(bytes: &[u8]) -> Result<Self, TooLong> {
        if bytes.len() > MAX { Err(TooLong) } else { Ok(Self(Zeroizing::new(bytes.to_vec()))) }
    }

    /// Shows the bytes to those who need them.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl<const MAX: usize> fmt::Debug for SecretOpaque<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

impl<const MAX: usize> Size for SecretOpaque<MAX> {
    fn tls_serialized_len(&self) -> usize {
        VLByteSlice(&self.0).tls_serialized_len()
    }
}

impl<const MAX: usize> Serialize for SecretOpaque<MAX> {
    fn tls_serialize<W: io::Write>(&self, writer: &mut W) -> Result<usize, Error> {
        VLByteSlice(&self.0).tls_serialize(writer)
    }
}

impl<const MAX: usize> DeserializeBytes for SecretOpaque<MAX> {
    fn tls_deserialize_bytes(input: &[u8]) -> Result<(Self, &[u8]), Error> {
        let (content, rest) = content(input)?;
        let bytes = Self::new(content).map_err(|_| Error::InvalidVectorLength)?;
        Ok((bytes, rest))
    }
}
