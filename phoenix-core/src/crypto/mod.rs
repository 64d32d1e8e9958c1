//! Cryptography, composed from libraries (03, "Ciphersuites").
//!
//! Everything here is pure: randomness comes from the [`Chance`] of an attempt, and nothing fails but for what a
//! stranger sent.

mod at_rest;
mod chance;
mod draft;
mod hash;
mod hpke;
mod keys;
mod padding;
mod sign;

pub use at_rest::{AtRestKey, SEAL_OVERHEAD, open_with_key, seal_with_key};
pub use chance::Chance;
pub use draft::Draft;
pub use hash::{derive, labelled, sha256};
pub use hpke::HpkeSecretKey;
pub use keys::{HpkeCiphertext, HpkePublicKey, Signature, Suite, VerifyingKey};
pub use padding::{pad, pad_to, padme, unpad};
pub use sign::{Signer, SignerError, SigningKey};

pub(crate) use at_rest::open_aes256;
