//! Cryptography, composed from libraries (03, "Ciphersuites").

mod keys;

pub use keys::{HpkeCiphertext, HpkePublicKey, Signature, Suite, VerifyingKey};
