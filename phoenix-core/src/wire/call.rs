//! The envelope of every request (02, "Call").

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use super::{List, Opaque, Wire};
use crate::{
    AliasHash, Fqdn, GroupId, KeyId, KeyPackageRef, LeafIndex, QsClientId, QsUserId,
    api::{EndpointId, ServiceName},
    credential::ClientCredential,
    crypto::{Signature, VerifyingKey},
    token::Token,
};

/// The version of the protocol that this code speaks.
pub const VERSION: u16 = 1;

/// A request to one endpoint.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct Call {
    /// The protocol's version.
    pub version: u16,
    /// The endpoint.
    pub endpoint: EndpointId,
    /// Who asks, where the endpoint wants to know.
    pub auth: Option<AuthFrame>,
    /// What the call costs, where it costs something.
    pub token: Option<Token>,
    /// The endpoint's request struct, encoded.
    pub body: Opaque<MAX_BODY>,
}

/// Says who signs a call, and signs it.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct AuthFrame {
    /// Who signs.
    pub sender: Sender,
    /// When, in seconds since the Unix epoch.
    pub issued_at: u64,
    /// Random, so that no two frames are equal.
    pub nonce: [u8; 16],
    /// Over the [`CallTbs`], with label `Call`.
    pub signature: Signature,
    /// Over the same, by new keys that the body names: proof that the caller holds them.
    pub co_signatures: List<CoSignature, 2>,
}

/// A signature over a call by a key that the call introduces.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct CoSignature {
    /// The new key.
    pub key: VerifyingKey,
    /// Over the [`CallTbs`], with label `Call`.
    pub signature: Signature,
}

/// Who signs a call, and so which key verifies it.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
#[repr(u8)]
pub enum Sender {
    /// A client, by the key of its credential; towards the AS.
    #[tls_codec(discriminant = 1)]
    ClientCredential(Box<ClientCredential>),
    /// An alias, by its auth key; towards the AS.
    #[tls_codec(discriminant = 2)]
    Alias(AliasHash),
    /// A QS user record, by its auth key.
    #[tls_codec(discriminant = 3)]
    QsUser(QsUserId),
    /// A QS client record, by its auth key.
    #[tls_codec(discriminant = 4)]
    QsClient(QsClientId),
    /// A member of a group, by its leaf's signature key; towards the DS.
    #[tls_codec(discriminant = 5)]
    Leaf(GroupId, LeafIndex),
    /// A joiner, by the signature key of its KeyPackage; towards the DS.
    #[tls_codec(discriminant = 6)]
    KeyPackage(GroupId, KeyPackageRef),
    /// A service of another homeserver, by its published key.
    #[tls_codec(discriminant = 7)]
    Homeserver(Fqdn, ServiceName, KeyId),
    /// Whoever holds this key, which the body introduces.
    #[tls_codec(discriminant = 8)]
    NewKey(VerifyingKey),
}

/// The server that a call is for.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct Audience {
    /// Which of its services.
    pub service: ServiceName,
    /// Which homeserver.
    pub domain: Fqdn,
}

/// What the signatures of a frame cover: the whole request, its kind, its token, and the server it is for.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct CallTbs {
    /// As in the call.
    pub version: u16,
    /// As in the call.
    pub endpoint: EndpointId,
    /// Whom the call addresses.
    pub audience: Audience,
    /// As in the frame.
    pub sender: Sender,
    /// As in the frame.
    pub issued_at: u64,
    /// As in the frame.
    pub nonce: [u8; 16],
    /// SHA-256 of the token struct, where there is one.
    pub token: Option<[u8; 32]>,
    /// SHA-256 of the body.
    pub body: [u8; 32],
}

impl CallTbs {
    /// The encoding that is signed.
    #[must_use]
    pub fn encoding(call: &Call, frame: &AuthFrame, audience: Audience) -> Bytes {
        Self {
            version: call.version,
            endpoint: call.endpoint,
            audience,
            sender: frame.sender.clone(),
            issued_at: frame.issued_at,
            nonce: frame.nonce,
            token: call.token.as_ref().map(|token| Sha256::digest(token.encode()).into()),
            body: Sha256::digest(call.body.as_slice()).into(),
        }
        .encode()
    }
}

/// Largest body of any endpoint: a transaction between servers (02). Each endpoint has its own bound below it.
pub const MAX_BODY: usize = 2 << 20;
