//! Classes and keys of tokens, as they travel.

use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use crate::{
    Fingerprint, Fqdn,
    crypto::Signature,
    wire::{List, Opaque},
};

/// What a token is good for. Each class has its own keys, so that a cheap token never buys an expensive thing.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, TlsSerialize, TlsDeserializeBytes, TlsSize,
)]
#[repr(u8)]
pub enum Class {
    /// Operations in existing groups, fetching AddPackages, publishing.
    Standard = 1,
    /// Making groups and QS records; for local clients.
    Home = 2,
    /// Reaching strangers.
    Contact = 3,
    /// Registering aliases; for local clients.
    Alias = 4,
}

impl Class {
    /// All classes.
    pub const ALL: [Self; 4] = [Self::Standard, Self::Home, Self::Contact, Self::Alias];
}

/// A token key, as everyone sees it.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct KeyListEntry {
    /// What it issues.
    pub class: Class,
    /// The number of its [`TokenType`](super::TokenType); numbers that are not known are ignored, so that a
    /// homeserver may come to have keys of further types.
    pub token_type: u16,
    /// Serialised element of the type's group.
    pub public_key: Opaque<49>,
    /// First second in which it issues.
    pub not_before: u64,
    /// Last second in which it issues.
    pub not_after: u64,
    /// Last second in which its tokens can be spent.
    pub redeem_until: u64,
}

/// All token keys of a homeserver.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct KeyList {
    /// Whose keys.
    pub domain: Fqdn,
    /// Never goes back.
    pub serial: u64,
    /// The keys.
    pub keys: List<KeyListEntry, 64>,
    /// The intermediate that signs.
    pub signer: Fingerprint,
}

/// A [`KeyList`], signed by the intermediate with label `KeyList`: the same for everyone.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct SignedKeyList {
    /// What is signed.
    pub list: KeyList,
    /// By the intermediate.
    pub signature: Signature,
}
