//! Privacy Pass tokens (05): RFC 9577 and RFC 9578 with ristretto255.
//!
//! A client makes a [`Blinding`], the AS evaluates it with a [`TokenSecretKey`], the client finalises it to
//! [`Token`]s, and whoever holds the [`TokenKeys`] of the homeserver redeems them.

mod blinding;
mod challenge;
mod keys;
mod list;
mod secret;
mod types;

pub use blinding::Blinding;
pub use challenge::{challenge, challenge_digest};
pub use keys::{Rotation, SpentNonce, TokenKey, TokenKeys};
pub use secret::TokenSecretKey;
pub use types::{Class, KeyList, KeyListEntry, SignedKeyList, Token};

use challenge::TOKEN_TYPE;

#[cfg(test)]
mod tests;
