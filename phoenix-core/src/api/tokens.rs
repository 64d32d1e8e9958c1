//! Issuance of Privacy Pass tokens (05).

use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use super::{Description, Empty, Endpoint, SenderKind, ServiceName};
use crate::{
    token::{Class, SignedKeyList, TokenType},
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

/// Asks for a batch of tokens of type 0x0005.
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

/// Issues one token of type 0x0001 to a client, local or remote: the issuance protocol of RFC 9578 §5, for Privacy
/// Pass clients of any make. It counts as [`IssueTokens`] does.
pub struct TokenRequest;

impl Endpoint for TokenRequest {
    const DESCRIPTION: Description = Description::new(0x0132, ServiceName::As, "token_request")
        .signed_by(SenderKind::Client)
        .harmless()
        .body(SINGLE_REQUEST)
        .privacy_pass();
    type Request = SingleRequest;
    type Reply = SingleReply;
}

/// TokenRequest (RFC 9578 §5.1). The class is that of the key.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct SingleRequest {
    /// 0x0001.
    pub token_type: TokenType,
    /// The last byte of the id of the key that is to issue.
    pub truncated_key_id: u8,
    /// A serialised element of P-384 (RFC 9497 §4.4).
    pub blinded: [u8; 49],
}

/// TokenResponse (RFC 9578 §5.2).
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct SingleReply {
    /// A serialised element of P-384.
    pub evaluated: [u8; 49],
    /// A proof of discrete-logarithm equality.
    pub proof: [u8; 96],
}

/// The signed list of token keys, the same for everyone.
pub struct TokenKeys;

impl Endpoint for TokenKeys {
    const DESCRIPTION: Description = Description::new(0x0131, ServiceName::As, "token_keys");
    type Request = Empty;
    type Reply = SignedKeyList;
}

/// Bytes of a [`SingleRequest`].
const SINGLE_REQUEST: usize = 2 + 1 + 49;
/// Tokens in one request: a batch of the usual size is 100, and evaluating takes about 8 ms then.
pub const MAX_BATCH: usize = 100;
