//! Client records of the queuing service (06, "State").

use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use super::super::{Description, Empty, Endpoint, SenderKind, ServiceName};
use crate::{
    QsClientId,
    crypto::{HpkePublicKey, VerifyingKey},
    token::Class,
};

/// Makes a further client of a user, with its queue.
pub struct CreateClient;

impl Endpoint for CreateClient {
    const DESCRIPTION: Description = Description::new(0x0206, ServiceName::Qs, "create_client")
        .local()
        .signed_by(SenderKind::QsUser)
        .costs(Class::Home);
    type Request = CreateClientRequest;
    type Reply = Empty;
}

/// A further client. The frame is signed by the user's key and co-signed by `client_key`.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct CreateClientRequest {
    /// The client's id, random.
    pub client: QsClientId,
    /// Signs for the client, and its queue configs.
    pub client_key: VerifyingKey,
    /// The queue's ratchet is sealed to this key.
    pub queue_key: HpkePublicKey,
}

/// Changes a client's keys, ends its queue configs, or begins its queue again.
pub struct UpdateClient;

impl Endpoint for UpdateClient {
    const DESCRIPTION: Description = Description::new(0x020b, ServiceName::Qs, "update_client")
        .local()
        .signed_by(SenderKind::QsClient)
        .costs(Class::Standard);
    type Request = UpdateQsClientRequest;
    type Reply = Empty;
}

/// What changes of a client record. The frame is co-signed by the new auth key, where there is one.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct UpdateQsClientRequest {
    /// Takes the place of the client's auth key.
    pub auth_key: Option<NewClientKey>,
    /// Begins the queue again: the unread entries are dropped, and the ratchet's new first key is sealed to this key.
    pub queue_key: Option<HpkePublicKey>,
    /// Voids the queue configs of all earlier generations; never lower than before.
    pub min_generation: Option<u32>,
}

/// A client's new auth key.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct NewClientKey {
    /// Signs for the client, and its queue configs.
    pub key: VerifyingKey,
    /// The former key vouches for queue configs of earlier generations than this one only, and for none once
    /// `min_generation` has come here.
    pub from_generation: u32,
}

/// Ends a client, its queue and its AddPackages; with the last client of a user also the user record.
pub struct DeleteClient;

impl Endpoint for DeleteClient {
    const DESCRIPTION: Description = Description::new(0x020c, ServiceName::Qs, "delete_client")
        .local()
        .signed_by(SenderKind::QsUserOrClient);
    type Request = DeleteClientRequest;
    type Reply = Empty;
}

/// Which client is to go. Signed by itself, or for its user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct DeleteClientRequest {
    /// The client.
    pub client: QsClientId,
}
