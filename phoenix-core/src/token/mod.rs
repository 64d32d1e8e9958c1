//! Privacy Pass tokens (05): RFC 9577 and RFC 9578 with ristretto255.

mod types;

pub use types::{Class, KeyList, KeyListEntry, SignedKeyList, Token};
