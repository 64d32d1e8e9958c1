//! The DS as an external sender of a group (RFC 9420 §12.1.8).

use openmls_rust_crypto::RustCrypto;
use openmls_traits::{
    crypto::OpenMlsCrypto as _,
    signatures::{Signer, SignerError},
    types::SignatureScheme,
};
use phoenix_core::crypto::{SigningKey, Suite};

/// A key of the DS, at its place in the group's list of external senders.
pub(crate) struct ExternalSigner<'a> {
    /// Its place in `external_senders`.
    pub(crate) place: u32,
    /// The key.
    pub(crate) key: &'a SigningKey,
}

impl Signer for ExternalSigner<'_> {
    fn sign(&self, payload: &[u8]) -> Result<Vec<u8>, SignerError> {
        let secret = self.key.to_secret_bytes();
        let signed = RustCrypto::default().sign(self.signature_scheme(), payload, secret.expose());
        signed.map_err(SignerError::CryptoError)
    }

    fn signature_scheme(&self) -> SignatureScheme {
        match self.key.suite() {
            Suite::Ed25519 => SignatureScheme::ED25519,
            Suite::P256 => SignatureScheme::ECDSA_SECP256R1_SHA256,
        }
    }
}
