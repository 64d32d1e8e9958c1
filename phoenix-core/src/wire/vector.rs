//! Vectors that cannot be longer than the protocol says.

use std::{fmt, io, ops::Deref};

use bytes::{Bytes, BytesMut};
use tls_codec::{
    DeserializeBytes, Error, Serialize, Size, TlsDeserializeBytes, TlsSerialize, TlsSize, TlsVarInt,
    VLByteSlice,
};

use super::{secret::overwrite, shared::taken};

/// A vector would be over its bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("longer than the protocol allows")]
pub struct TooLong;

impl From<TooLong> for crate::Reject {
    fn from(_: TooLong) -> Self {
        Self::TooLarge("vector")
    }
}

/// `opaque value<0..MAX>`: bytes of no known structure.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Opaque<const MAX: usize>(Bytes);

impl<const MAX: usize> Opaque<MAX> {
    /// Takes the bytes, if they are not too many.
    ///
    /// # Errors
    /// [`TooLong`] for more than `MAX` bytes.
    pub fn new(bytes: impl Into<Bytes>) -> Result<Self, TooLong> {
        let bytes = bytes.into();
        if bytes.len() > MAX { Err(TooLong) } else { Ok(Self(bytes)) }
    }

    /// The first `MAX` of the bytes.
    #[must_use]
    pub fn truncated(mut bytes: Bytes) -> Self {
        bytes.truncate(MAX);
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, shared.
    #[must_use]
    pub fn bytes(&self) -> Bytes {
        self.0.clone()
    }

    /// Overwrites the bytes, unless somebody else holds them too; none are left. Says whether it did.
    pub fn wipe(&mut self) -> bool {
        wiped(std::mem::take(&mut self.0)).is_ok()
    }
}

/// The memory of bytes that nobody else holds, overwritten.
fn wiped(bytes: Bytes) -> Result<BytesMut, Bytes> {
    let mut own = bytes.try_into_mut()?;
    overwrite(&mut own);
    Ok(own)
}

impl<const MAX: usize> Deref for Opaque<MAX> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl<const MAX: usize> fmt::Debug for Opaque<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} bytes>", self.0.len())
    }
}

impl<const MAX: usize> Size for Opaque<MAX> {
    fn tls_serialized_len(&self) -> usize {
        VLByteSlice(&self.0).tls_serialized_len()
    }
}

impl<const MAX: usize> Serialize for Opaque<MAX> {
    fn tls_serialize<W: io::Write>(&self, writer: &mut W) -> Result<usize, Error> {
        VLByteSlice(&self.0).tls_serialize(writer)
    }
}

impl<const MAX: usize> DeserializeBytes for Opaque<MAX> {
    fn tls_deserialize_bytes(input: &[u8]) -> Result<(Self, &[u8]), Error> {
        let (content, rest) = content(input)?;
        if content.len() > MAX {
            return Err(Error::InvalidVectorLength);
        }
        Ok((Self(taken(content)), rest))
    }
}

/// `T values<0..MAX>`, where `MAX` counts elements.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct List<T, const MAX: usize>(Vec<T>);

impl<T, const MAX: usize> List<T, MAX> {
    /// Takes the elements, if they are not too many.
    ///
    /// # Errors
    /// [`TooLong`] for more than `MAX` elements.
    pub fn new(elements: Vec<T>) -> Result<Self, TooLong> {
        if elements.len() > MAX { Err(TooLong) } else { Ok(Self(elements)) }
    }

    /// The elements.
    #[must_use]
    pub fn into_vec(self) -> Vec<T> {
        self.0
    }
}

impl<T, const MAX: usize> Default for List<T, MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T, const MAX: usize> Deref for List<T, MAX> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T, const MAX: usize> IntoIterator for List<T, MAX> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a, T, const MAX: usize> IntoIterator for &'a List<T, MAX> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<T: fmt::Debug, const MAX: usize> fmt::Debug for List<T, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T: Size, const MAX: usize> Size for List<T, MAX> {
    fn tls_serialized_len(&self) -> usize {
        self.0.tls_serialized_len()
    }
}

impl<T: Serialize + fmt::Debug, const MAX: usize> Serialize for List<T, MAX> {
    fn tls_serialize<W: io::Write>(&self, writer: &mut W) -> Result<usize, Error> {
        self.0.tls_serialize(writer)
    }
}

impl<T: DeserializeBytes, const MAX: usize> DeserializeBytes for List<T, MAX> {
    fn tls_deserialize_bytes(input: &[u8]) -> Result<(Self, &[u8]), Error> {
        let (mut content, rest) = content(input)?;
        let mut elements = Vec::new();
        while !content.is_empty() {
            if elements.len() == MAX {
                return Err(Error::InvalidVectorLength);
            }
            let (element, left) = T::tls_deserialize_bytes(content)?;
            if left.len() == content.len() {
                return Err(Error::InvalidVectorLength);
            }
            elements.push(element);
            content = left;
        }
        Ok((Self(elements), rest))
    }
}

/// The content of a variable-length vector, and what follows it.
pub(crate) fn content(input: &[u8]) -> Result<(&[u8], &[u8]), Error> {
    let (length, rest) = TlsVarInt::tls_deserialize_bytes(input)?;
    let length = usize::try_from(length.value()).map_err(|_| Error::InvalidVectorLength)?;
    rest.split_at_checked(length).ok_or(Error::EndOfStream)
}

/// `boolean` of the specification: one byte, 0 or 1.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    TlsSerialize,
    TlsDeserializeBytes,
    TlsSize,
)]
#[repr(u8)]
pub enum Flag {
    /// 0.
    #[default]
    No = 0,
    /// 1.
    Yes = 1,
}

impl Flag {
    /// Whether it is set.
    #[must_use]
    pub const fn is_set(self) -> bool {
        matches!(self, Self::Yes)
    }
}

impl From<bool> for Flag {
    fn from(set: bool) -> Self {
        if set { Self::Yes } else { Self::No }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{Opaque, wiped};
    use crate::{Reject, wire::Wire};

    #[test]
    fn what_was_decoded_is_overwritten_in_its_place_unless_it_is_shared() -> Result<(), Reject> {
        let decode = || Opaque::<64>::decode(&[&[5], b"a key".as_slice()].concat());
        let bytes = decode()?.bytes();
        let (place, shared) = (bytes.as_ptr(), bytes.clone());

        let bytes = wiped(bytes).expect_err("somebody else holds it");
        assert_eq!(bytes, b"a key".as_slice());
        drop(shared);
        let own = wiped(bytes).expect("nobody else holds it");
        assert_eq!((own.as_ptr(), own.as_ref()), (place, [0; 5].as_slice()));

        let mut decoded = decode()?;
        assert!(decoded.wipe() && decoded.is_empty());
        let mut made = Opaque::<64>::new(vec![1; 5])?;
        let kept: Bytes = made.bytes();
        assert!(!made.wipe());
        assert_eq!(kept, [1; 5].as_slice());
        Ok(())
    }
}
