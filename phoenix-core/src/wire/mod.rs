//! Strict, bounded encoding (02, "Encoding"): the TLS presentation language of RFC 8446 §3 with the
//! variable-length vectors of RFC 9420 §2.1.2.
//!
//! Everything that travels or is stored is made of derived structs over the bounded pieces here. A decoder
//! allocates no more than its input is long, and refuses what is left over.

mod call;
mod secret;
mod shared;
mod vector;

use bytes::Bytes;
use tls_codec::{DeserializeBytes, Serialize};
use zeroize::Zeroizing;

pub use call::{Audience, AuthFrame, Call, CallTbs, CoSignature, MAX_BODY, Sender, VERSION};
pub use secret::{Secret, SecretOpaque, Wiped};
pub use shared::decode_shared;
pub(crate) use vector::content;
pub use vector::{Flag, List, Opaque, TooLong};

use crate::Reject;

/// What can be encoded and decoded. Implemented for every type of the codec.
pub trait Wire: Sized + Send + Sync + 'static {
    /// The one encoding of this value.
    fn encode(&self) -> Bytes;

    /// How many bytes that has.
    fn encoded_len(&self) -> usize;

    /// Adds the encoding to what is there.
    fn encode_to(&self, buffer: &mut Vec<u8>);

    /// The encoding, in memory that is wiped when it is given back: for what holds secrets.
    fn encode_secret(&self) -> Zeroizing<Vec<u8>>;

    /// The value that the whole input encodes.
    ///
    /// # Errors
    /// [`Reject::Malformed`] when the input is not exactly one encoding.
    fn decode(input: &[u8]) -> Result<Self, Reject>;
}

impl<T: Serialize + DeserializeBytes + Send + Sync + 'static> Wire for T {
    fn encode(&self) -> Bytes {
        // Encoding into memory fails only for vectors over 2^30 bytes, which the bounded types cannot hold.
        self.tls_serialize_detached().map(Bytes::from).unwrap_or_default()
    }

    fn encoded_len(&self) -> usize {
        self.tls_serialized_len()
    }

    fn encode_to(&self, buffer: &mut Vec<u8>) {
        // As above; what would be left of it decodes to nothing.
        let _ = self.tls_serialize(buffer);
    }

    fn encode_secret(&self) -> Zeroizing<Vec<u8>> {
        // As long as it must be from the first: nothing is moved, and nothing left behind.
        Zeroizing::new(self.tls_serialize_detached().unwrap_or_default())
    }

    fn decode(input: &[u8]) -> Result<Self, Reject> {
        Self::tls_deserialize_exact_bytes(input).map_err(|_| Reject::Malformed("encoding"))
    }
}
