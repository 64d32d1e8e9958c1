//! Public keys and what is made with them, as they travel.

use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use crate::wire::Opaque;

/// A ciphersuite of credentials and keys, numbered like the MLS suite with the same algorithms.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, TlsSerialize, TlsDeserializeBytes, TlsSize,
)]
#[repr(u16)]
pub enum Suite {
    /// Ed25519, X25519, SHA-256, AES-128-GCM: the default.
    Ed25519 = 1,
    /// P-256 for both, SHA-256, AES-128-GCM: for keys held in hardware.
    P256 = 2,
}

/// A key that verifies signatures.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct VerifyingKey {
    /// Which algorithm.
    pub suite: Suite,
    /// Ed25519: 32 bytes (RFC 8032); P-256: the uncompressed point, 65 bytes (SEC 1).
    pub key: Opaque<65>,
}

/// A signature: Ed25519, 64 bytes; P-256, DER as in RFC 9420 §5.1.2.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, TlsSerialize, TlsDeserializeBytes, TlsSize,
)]
pub struct Signature(pub Opaque<80>);

/// A key that messages are sealed to (HPKE, RFC 9180).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct HpkePublicKey {
    /// Which algorithms.
    pub suite: Suite,
    /// X25519: 32 bytes; P-256: the uncompressed point, 65 bytes.
    pub key: Opaque<65>,
}

/// A message sealed with HPKE. Where one stands, its bound may be lower than the usual one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct HpkeCiphertext<const MAX: usize = { 2 << 20 }> {
    /// The encapsulated key.
    pub enc: Opaque<65>,
    /// The sealed message.
    pub ciphertext: Opaque<MAX>,
}
