//! How a client without an open stream is woken (06, "Wake-ups").

use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use super::super::{Description, Empty, Endpoint, SenderKind, ServiceName};
use crate::{
    token::Class,
    wire::{Opaque, Secret, SecretOpaque},
};

/// Leaves the calling client's push token, or takes it back.
pub struct SetPushToken;

impl Endpoint for SetPushToken {
    const DESCRIPTION: Description = Description::new(0x020e, ServiceName::Qs, "set_push_token")
        .local()
        .signed_by(SenderKind::QsClient)
        .costs(Class::Standard);
    type Request = SetPushTokenRequest;
    type Reply = Empty;
}

/// A client's push token.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct SetPushTokenRequest {
    /// The token; none to be pushed to no more.
    pub token: Option<SealedPushToken>,
}

/// A [`PushToken`] under the push token key that the client's queue configs bring: AES-256-GCM with a random nonce in
/// front, padded to 2 KiB, aad = the client's id. The QS opens it only to push.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct SealedPushToken(pub Opaque<MAX_SEALED_PUSH_TOKEN>);

/// Where pushes for a client go.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
#[repr(u8)]
pub enum PushToken {
    /// A push service of the web (RFC 8030).
    #[tls_codec(discriminant = 1)]
    WebPush(WebPushSubscription),
    /// A service that the homeserver's own `Push` port knows.
    #[tls_codec(discriminant = 2)]
    Other(SecretOpaque<MAX_PUSH_ADDRESS>),
}

/// A subscription to a push service of the web, as the browser gives it.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct WebPushSubscription {
    /// The push resource: an `https` URL (RFC 8030 §2).
    pub endpoint: SecretOpaque<MAX_PUSH_ADDRESS>,
    /// The subscriber's P-256 key, uncompressed (RFC 8291 §2).
    pub key: [u8; 65],
    /// The authentication secret (RFC 8291 §2).
    pub auth: Secret<16>,
}

/// An address of a push service: URLs of the common ones have 200 to 500 bytes.
pub const MAX_PUSH_ADDRESS: usize = 1_536;
/// A padded push token with nonce and tag: 2 KiB and 28 bytes.
pub const MAX_SEALED_PUSH_TOKEN: usize = 2_076;
