//! Bytes that must not be seen.

use std::{
    fmt, io,
    ops::{Deref, DerefMut},
};

use bytes::Bytes;
use subtle::ConstantTimeEq;
use tls_codec::{DeserializeBytes, Error, Serialize, Size, VLByteSlice};
use zeroize::{Zeroize, ZeroizeOnDrop, optimization_barrier};

use super::{TooLong, vector::content};

/// Secret bytes of a fixed length: wiped when dropped, compared in constant time, never printed.
#[derive(Clone)]
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

impl<const N: usize> Zeroize for Secret<N> {
    fn zeroize(&mut self) {
        overwrite(&mut self.0);
    }
}

impl<const N: usize> ZeroizeOnDrop for Secret<N> {}

impl<const N: usize> Drop for Secret<N> {
    fn drop(&mut self) {
        self.zeroize();
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

/// Bytes of any length that are wiped when they are dropped. The library's own wrapper of a vector writes them one by one,
/// which takes a third of the time that opening them does.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Wiped(Vec<u8>);

impl Wiped {
    /// The bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, which are no secret any more: they were encrypted in their place.
    pub(crate) fn sealed(mut self) -> Vec<u8> {
        std::mem::take(&mut self.0)
    }
}

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl From<Wiped> for Bytes {
    /// Shared memory, which is wiped when the last who has a part of it lets go.
    fn from(wiped: Wiped) -> Self {
        Self::from_owner(wiped)
    }
}

impl From<Vec<u8>> for Wiped {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl Deref for Wiped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl DerefMut for Wiped {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl fmt::Debug for Wiped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

impl Drop for Wiped {
    fn drop(&mut self) {
        // With what lay behind the end of a vector that was shortened.
        self.0.resize(self.0.capacity(), 0);
        overwrite(&mut self.0);
    }
}

/// `opaque value<0..MAX>` that must not be seen: wiped when dropped, never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretOpaque<const MAX: usize>(Wiped);

impl<const MAX: usize> SecretOpaque<MAX> {
    /// Copies the bytes, if they are not too many.
    ///
    /// # Errors
    /// [`TooLong`] for more than `MAX` bytes.
    pub fn new(bytes: &[u8]) -> Result<Self, TooLong> {
        if bytes.len() > MAX { Err(TooLong) } else { Ok(Self(bytes.to_vec().into())) }
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

/// Overwrites bytes all at once: the library's way for slices writes them one by one.
pub(super) fn overwrite(bytes: &mut [u8]) {
    bytes.fill(0);
    optimization_barrier(&*bytes);
}
