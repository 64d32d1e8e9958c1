//! Issuance of Privacy Pass tokens (05).

use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use super::{Description, Empty, Endpoint, SenderKind, ServiceName};
use crate::{
    token::{Class, SignedKeyList},
    wire::{List, Opaque},
};

/// Issues tokens of one class to a client, local or remote.
pub struct IssueTokens;

impl Endpoint for IssueTokens {
    // A repeat of the same request is answered again, for the same blinded elements, and counts once.
    const DESCRIPTION: Description =
        Description::new(0x0130, ServiceName::As, "issue_tokens").signed_by(SenderKind::Client).harmless();
    type Request = IssueRequest;
    type Reply = IssueReply;
}

/// Asks for a batch of tokens.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct IssueRequest {
    /// Of which class.
    pub class: Class,
    /// SHA-256 of the public key that is to issue, as in a token (RFC 9577 §2.2).
    pub key: [u8; 32],
    /// Blinded elements, one for each token: serialised ristretto255 elements (RFC 9497 §4.1).
    pub blinded: List<[u8; 32], MAX_BATCH>,
}

/// Evaluated elements, in the order of the blinded ones, and one proof for all (RFC 9497 §3.3.2).
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct IssueReply {
    /// Serialised ristretto255 elements.
    pub evaluated: List<[u8; 32], MAX_BATCH>,
    /// A batched proof of discrete-logarithm equality.
    pub proof: Opaque<64>,
}

/// The signed list of token keys, the same for everyone.
pub struct TokenKeys;

impl Endpoint for TokenKeys {
    const DESCRIPTION: Description = Description::new(0x0131, ServiceName::As, "token_keys");
    type Request = Empty;
    type Reply = SignedKeyList;
}

/// Tokens in one request: a batch of the usual size is 100, and evaluating takes about 8 ms then.
pub const MAX_BATCH: usize = 100;
