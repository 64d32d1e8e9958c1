//! Issuance of Privacy Pass tokens, and of DPoP tokens (05).

use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use super::{Description, Empty, Endpoint, SenderKind, ServiceName};
use crate::{
    Fqdn,
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

/// Says to other homeservers' APIs who a client's user is (RFC 9449). For clients of this homeserver, since nobody takes
/// another's word for a user; it names the user, and is never used towards a QS or a DS.
pub struct DpopToken;

impl Endpoint for DpopToken {
    const DESCRIPTION: Description = Description::new(0x0133, ServiceName::As, "dpop_token")
        .local()
        .signed_by(SenderKind::Client)
        .body(8 << 10);
    type Request = DpopTokenRequest;
    type Reply = DpopTokenReply;
}

/// Asks for a token.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct DpopTokenRequest {
    /// A DPoP proof (RFC 9449 §4) with the key that the token is to be bound to, for a POST to
    /// `https://{domain}/v1/as/dpop_token`.
    pub proof: Opaque<MAX_DPOP_PROOF>,
    /// Domains of the homeservers whose APIs it is for: 1 to 8, none twice.
    pub audiences: List<Fqdn, MAX_AUDIENCES>,
}

/// A token of the type `DPoP`.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct DpopTokenReply {
    /// The token: a JWT.
    pub token: Opaque<MAX_DPOP_TOKEN>,
    /// The first second in which it is no longer good.
    pub expires: u64,
}

/// Bytes of a [`SingleRequest`].
const SINGLE_REQUEST: usize = 2 + 1 + 49;
/// Tokens in one request: a batch of the usual size is 100, and evaluating takes about 8 ms then.
pub const MAX_BATCH: usize = 100;
/// Longest DPoP proof, in bytes: a long URI, and a nonce of any make.
pub const MAX_DPOP_PROOF: usize = 4 << 10;
/// Longest DPoP token, in bytes: that of the longest names takes half.
pub const MAX_DPOP_TOKEN: usize = 8 << 10;
/// Domains that one DPoP token is for: a header of a request must hold it.
pub const MAX_AUDIENCES: usize = 8;
