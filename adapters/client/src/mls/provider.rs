//! The provider that OpenMLS works with.

use std::{collections::HashMap, convert::Infallible, fmt, sync::Arc};

use openmls_rust_crypto::{MemoryStorage, RustCrypto};
use openmls_traits::{OpenMlsProvider, random::OpenMlsRand};
use phoenix_core::port::Entropy;
use zeroize::{Zeroize, Zeroizing};

use crate::table::Table;

/// RustCrypto, the embedder's randomness, and a store in memory that is saved with the client's state.
///
/// The store is wiped when the client ends. What OpenMLS overwrites or deletes in it before is given back as it is.
pub(crate) struct Provider {
    crypto: RustCrypto,
    rand: Rand,
    storage: MemoryStorage,
}

impl Provider {
    /// A provider over what was stored.
    pub(crate) fn new(entropy: Arc<dyn Entropy>, stored: &Stored) -> Self {
        let storage = MemoryStorage::default();
        if let Ok(mut values) = storage.values.write() {
            *values = stored
                .iter()
                .map(|(key, value)| (key.0.clone(), value.0.to_vec()))
                .collect::<HashMap<_, _>>();
        }
        Self { crypto: RustCrypto::default(), rand: Rand(entropy), storage }
    }

    /// What is stored now.
    pub(crate) fn stored(&self) -> Stored {
        let Ok(values) = self.storage.values.read() else { return Stored::default() };
        let entry = |(key, value): (&Vec<u8>, &Vec<u8>)| (Blob(key.clone()), Wiped(value.clone().into()));
        values.iter().map(entry).collect()
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        if let Ok(mut values) = self.storage.values.write() {
            values.values_mut().for_each(Zeroize::zeroize);
        }
    }
}

impl OpenMlsProvider for Provider {
    type CryptoProvider = RustCrypto;
    type RandProvider = Rand;
    type StorageProvider = MemoryStorage;

    fn storage(&self) -> &Self::StorageProvider {
        &self.storage
    }

    fn crypto(&self) -> &Self::CryptoProvider {
        &self.crypto
    }

    fn rand(&self) -> &Self::RandProvider {
        &self.rand
    }
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Provider")
    }
}

/// The embedder's randomness, in OpenMLS's form.
pub(crate) struct Rand(Arc<dyn Entropy>);

impl OpenMlsRand for Rand {
    type Error = Infallible;

    fn random_array<const N: usize>(&self) -> Result<[u8; N], Infallible> {
        let mut bytes = [0; N];
        self.0.fill(&mut bytes);
        Ok(bytes)
    }

    fn random_vec(&self, length: usize) -> Result<Vec<u8>, Infallible> {
        let mut bytes = vec![0; length];
        self.0.fill(&mut bytes);
        Ok(bytes)
    }
}

/// What OpenMLS stored: keys and values are its own.
pub(crate) type Stored = Table<Blob, Wiped>;

/// Secret bytes of any length, of our own making.
#[derive(Default, tls_codec::TlsSerialize, tls_codec::TlsDeserializeBytes, tls_codec::TlsSize)]
pub(crate) struct Wiped(#[tls_codec(with = "wiped")] pub(crate) Zeroizing<Vec<u8>>);

/// Bytes of any length, of our own making.
#[derive(
    Clone,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    tls_codec::TlsSerialize,
    tls_codec::TlsDeserializeBytes,
    tls_codec::TlsSize,
)]
pub(crate) struct Blob(#[tls_codec(with = "blob")] pub(crate) Vec<u8>);

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} bytes>", self.0.len())
    }
}

mod wiped {
    use tls_codec::Error;
    use zeroize::Zeroizing;

    pub(super) use super::blob::{tls_serialize, tls_serialized_len};

    pub(super) fn tls_deserialize_bytes(input: &[u8]) -> Result<(Zeroizing<Vec<u8>>, &[u8]), Error> {
        super::blob::tls_deserialize_bytes(input).map(|(bytes, rest)| (bytes.into(), rest))
    }
}

mod blob {
    use std::io;

    use tls_codec::{DeserializeBytes, Error, Serialize, Size, VLByteSlice, VLBytes};

    pub(super) fn tls_serialized_len(bytes: &[u8]) -> usize {
        VLByteSlice(bytes).tls_serialized_len()
    }

    pub(super) fn tls_serialize<W: io::Write>(bytes: &[u8], writer: &mut W) -> Result<usize, Error> {
        VLByteSlice(bytes).tls_serialize(writer)
    }

    pub(super) fn tls_deserialize_bytes(input: &[u8]) -> Result<(Vec<u8>, &[u8]), Error> {
        VLBytes::tls_deserialize_bytes(input).map(|(bytes, rest)| (bytes.into(), rest))
    }
}
