//! Privacy Pass tokens (05): RFC 9577 and RFC 9578, of the types 0x0001 and 0x0005.
//!
//! A client makes a [`Blinding`] (or a [`SingleBlinding`], of type 0x0001), the AS evaluates it with a
//! [`TokenSecretKey`], the client finalises it to [`Token`]s, and whoever holds the [`TokenKeys`] of the homeserver
//! redeems them.

mod blinding;
mod challenge;
mod format;
mod keys;
mod list;
mod rotation;
mod secret;
mod types;
mod voprf;

pub use blinding::{Blinding, SingleBlinding};
pub use challenge::challenge_digest;
pub use format::{Authenticator, Token, TokenType};
pub use keys::{SpentNonce, TokenKey, TokenKeys};
pub use rotation::Rotation;
pub use secret::TokenSecretKey;
pub use types::{Class, KeyList, KeyListEntry, SignedKeyList};

#[cfg(test)]
mod tests;
