//! What ties the protocol to OpenMLS (03, 07): the provider, leaves, extensions, encodings.

pub(crate) mod encoding;
pub(crate) mod extensions;
pub(crate) mod leaf;
pub(crate) mod provider;

use openmls::prelude::{Ciphersuite, SignatureScheme};
use openmls_basic_credential::SignatureKeyPair;
use phoenix_core::{
    Reject,
    crypto::{SigningKey, Suite},
};

/// The MLS ciphersuite with the same algorithms (03).
pub(crate) const fn ciphersuite(suite: Suite) -> Ciphersuite {
    match suite {
        Suite::Ed25519 => Ciphersuite::MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519,
        Suite::P256 => Ciphersuite::MLS_128_DHKEMP256_AES128GCM_SHA256_P256,
    }
}

/// The suite of an MLS ciphersuite.
pub(crate) fn suite_of(of: Ciphersuite) -> Result<Suite, Reject> {
    let found = [Suite::Ed25519, Suite::P256].into_iter().find(|suite| ciphersuite(*suite) == of);
    found.ok_or(Reject::Malformed("suite"))
}

/// The number of the MLS ciphersuite.
pub(crate) const fn suite_number(suite: Suite) -> u16 {
    match suite {
        Suite::Ed25519 => 1,
        Suite::P256 => 2,
    }
}

/// A leaf's key, as OpenMLS signs with it.
pub(crate) fn mls_signer(key: &SigningKey) -> SignatureKeyPair {
    let scheme = match key.suite() {
        Suite::Ed25519 => SignatureScheme::ED25519,
        Suite::P256 => SignatureScheme::ECDSA_SECP256R1_SHA256,
    };
    SignatureKeyPair::from_raw(
        scheme,
        key.to_secret_bytes().expose().to_vec(),
        key.verifying_key().key.to_vec(),
    )
}
