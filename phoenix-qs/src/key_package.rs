//! What the QS reads of an MLS KeyPackage (RFC 9420 §10): a view of its own, since it validates no MLS. Whether its
//! signatures hold is for the DS and for members to check; here a wrong one harms only who published it.

use phoenix_core::{
    KeyPackageRef, Reject,
    api::mls::{QUEUE_CONFIG_EXTENSION, QueueConfigHash},
    crypto::sha256,
    wire::{List, Opaque, Wire},
};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

/// A KeyPackage (RFC 9420 §10).
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct KeyPackage {
    version: u16,
    /// The MLS ciphersuite.
    pub(crate) cipher_suite: u16,
    init_key: Opaque<MAX_KEY>,
    leaf: LeafNode,
    extensions: List<Extension, MAX_EXTENSIONS>,
    signature: Opaque<MAX_SIGNATURE>,
}

/// A LeafNode of a KeyPackage (RFC 9420 §7.2).
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
struct LeafNode {
    encryption_key: Opaque<MAX_KEY>,
    signature_key: Opaque<MAX_KEY>,
    credential: Credential,
    capabilities: Capabilities,
    source: Source,
    extensions: List<Extension, MAX_EXTENSIONS>,
    signature: Opaque<MAX_SIGNATURE>,
}

/// A credential of a type whose content is one vector (RFC 9420 §5.3).
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
struct Credential {
    credential_type: u16,
    content: Opaque<MAX_CREDENTIAL>,
}

#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
struct Capabilities {
    versions: List<u16, MAX_CAPABILITIES>,
    cipher_suites: List<u16, MAX_CAPABILITIES>,
    extensions: List<u16, MAX_CAPABILITIES>,
    proposals: List<u16, MAX_CAPABILITIES>,
    credentials: List<u16, MAX_CAPABILITIES>,
}

/// The source of a leaf; in a KeyPackage there is but one.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
#[repr(u8)]
enum Source {
    #[tls_codec(discriminant = 1)]
    KeyPackage(Lifetime),
}

/// When a KeyPackage may be used, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct Lifetime {
    /// First second.
    pub(crate) not_before: u64,
    /// Last second.
    pub(crate) not_after: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
struct Extension {
    extension_type: u16,
    content: Opaque<MAX_EXTENSION>,
}

/// What is hashed for a reference (RFC 9420 §5.2).
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
struct RefHashInput {
    label: Opaque<64>,
    value: Opaque<{ 1 << 16 }>,
}

impl KeyPackage {
    /// Reads a KeyPackage of MLS 1.0 and one of the protocol's suites.
    ///
    /// # Errors
    /// [`Reject::Malformed`] for anything else.
    pub(crate) fn read(encoded: &[u8]) -> Result<Self, Reject> {
        let package = Self::decode(encoded).map_err(|_| Reject::Malformed("key_package"))?;
        if package.version != MLS_10 || !SUITES.contains(&package.cipher_suite) {
            return Err(Reject::Malformed("key_package"));
        }
        Ok(package)
    }

    /// Its hash reference (RFC 9420 §5.2), from its encoding. Both suites hash with SHA-256.
    pub(crate) fn reference(encoded: &[u8]) -> KeyPackageRef {
        let label = Opaque::truncated(REFERENCE_LABEL.to_vec().into());
        // Longer than any KeyPackage that is taken.
        let value = Opaque::truncated(encoded.to_vec().into());
        KeyPackageRef(sha256(&RefHashInput { label, value }.encode()))
    }

    /// When it may be used.
    pub(crate) const fn lifetime(&self) -> Lifetime {
        let Source::KeyPackage(lifetime) = self.leaf.source;
        lifetime
    }

    /// Its three public keys: init, encryption, signature.
    pub(crate) fn public_keys(&self) -> [&[u8]; 3] {
        [&self.init_key, &self.leaf.encryption_key, &self.leaf.signature_key]
    }

    /// The hash of the queue config that goes with it.
    ///
    /// # Errors
    /// [`Reject::Malformed`] where it carries none.
    pub(crate) fn config_hash(&self) -> Result<[u8; 32], Reject> {
        let mut extensions = self.extensions.iter();
        let found = extensions.find(|it| it.extension_type == QUEUE_CONFIG_EXTENSION);
        let found = found.ok_or(Reject::Malformed("queue config hash"))?;
        Ok(QueueConfigHash::decode(&found.content)?.hash)
    }
}

/// MLS 1.0 (RFC 9420 §6).
const MLS_10: u16 = 1;
/// The protocol's suites (03).
const SUITES: [u16; 2] = [1, 2];
/// Begins what a reference hashes (RFC 9420 §5.2).
const REFERENCE_LABEL: &[u8] = b"MLS 1.0 KeyPackage Reference";
/// A public key: the longest is an uncompressed point of P-521.
const MAX_KEY: usize = 133;
/// A signature: the longest is ECDSA of P-521, in DER.
const MAX_SIGNATURE: usize = 144;
/// A LeafCredential, with room.
const MAX_CREDENTIAL: usize = 4 << 10;
/// An extension's content, with room.
const MAX_EXTENSION: usize = 4 << 10;
/// Extensions, with room for made-up ones (RFC 9420 §13.5).
const MAX_EXTENSIONS: usize = 32;
/// Capabilities of one kind, with room for made-up ones.
const MAX_CAPABILITIES: usize = 64;

#[cfg(test)]
pub(crate) mod tests;
