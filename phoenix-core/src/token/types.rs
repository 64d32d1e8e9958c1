//! Tokens and their keys, as they travel.

use std::fmt;

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

/// A Privacy Pass token of type 0x0005 (RFC 9577 §2.2; VOPRF over ristretto255 with SHA-512).
#[derive(Clone, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct Token {
    /// 0x0005.
    pub token_type: u16,
    /// Random, chosen by the client; spent at most once.
    pub nonce: [u8; 32],
    /// SHA-256 of the challenge.
    pub challenge_digest: [u8; 32],
    /// SHA-256 of the public key that issued it.
    pub key_id: [u8; 32],
    /// The VOPRF's output.
    pub authenticator: [u8; 64],
}

// Whoever reads a token can spend it.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// A token key, as everyone sees it.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct KeyListEntry {
    /// What it issues.
    pub class: Class,
    /// 0x0005.
    pub token_type: u16,
    /// Serialised ristretto255 element.
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
