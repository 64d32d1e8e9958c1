//! How an endpoint is declared.

use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use crate::{token::Class, wire::Wire};

/// Names an endpoint on the wire: the service in the high byte, 1 AS, 2 QS, 3 DS.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, TlsSerialize, TlsDeserializeBytes, TlsSize,
)]
pub struct EndpointId(pub u16);

/// One of the three services.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, TlsSerialize, TlsDeserializeBytes, TlsSize,
)]
#[repr(u8)]
pub enum ServiceName {
    /// The authentication service.
    As = 1,
    /// The queuing service.
    Qs = 2,
    /// The delivery service.
    Ds = 3,
}

impl ServiceName {
    /// All services.
    pub const ALL: [Self; 3] = [Self::As, Self::Qs, Self::Ds];

    /// The service's name in paths and documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::As => "as",
            Self::Qs => "qs",
            Self::Ds => "ds",
        }
    }

    /// The path of its endpoint of this name (02, "HTTP binding").
    #[must_use]
    pub fn path(self, name: &str) -> String {
        format!("/v1/{}/{name}", self.as_str())
    }

    /// The path of its keys as a JSON document (08).
    #[must_use]
    pub fn keys_path(self) -> String {
        format!("/.well-known/phoenix/{}-keys", self.as_str())
    }
}

/// An endpoint: its structs and its description.
pub trait Endpoint: Send + Sync + 'static {
    /// What it is, for everyone who must know.
    const DESCRIPTION: Description;
    /// What is asked.
    type Request: Wire;
    /// What is answered.
    type Reply: Wire;
}

/// One row of the endpoint table (02).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Description {
    /// Its number.
    pub id: EndpointId,
    /// The service that serves it.
    pub service: ServiceName,
    /// The last part of its path.
    pub name: &'static str,
    /// Who may call it.
    pub access: Access,
    /// Who signs its calls.
    pub sender: SenderKind,
    /// What a call costs.
    pub token: Option<Class>,
    /// Bytes of its body at most.
    pub body_limit: usize,
    /// What keeps a call from being carried out twice.
    pub replay: Replay,
    /// How it is reached over HTTP.
    pub binding: Binding,
}

/// Who may call an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anyone, local or remote.
    Public,
    /// Clients of this homeserver.
    Local,
    /// Other homeservers.
    Homeserver,
    /// This homeserver itself.
    Internal,
}

/// Who signs the calls of an endpoint (02, table "Sender").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SenderKind {
    /// Nobody.
    Nobody,
    /// A client credential.
    Client,
    /// An alias.
    Alias,
    /// A QS user record.
    QsUser,
    /// A QS client record.
    QsClient,
    /// A member's leaf.
    Leaf,
    /// A joiner's KeyPackage.
    KeyPackage,
    /// Another homeserver.
    Homeserver,
    /// A key that the body introduces.
    NewKey,
    /// A member's leaf, or nobody where the body proves the right.
    LeafOrNobody,
    /// A QS client record, or its user record.
    QsUserOrClient,
}

/// What keeps a call from being carried out twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replay {
    /// Its token is spent.
    Token,
    /// Its frame is accepted once.
    Frame,
    /// A repeat changes nothing: pure reads, absolute acknowledgements, and what is idempotent by itself.
    Harmless,
}

/// How an endpoint is reached over HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// A POST of the call.
    Post,
    /// A POST of the call; and the same keys as a JSON document, at `/.well-known/phoenix/{service}-keys` (08).
    Json,
    /// A WebSocket whose first message is the call.
    WebSocket,
    /// At `/token-request`, with the media types of RFC 9578; the frame travels in the header `Phoenix-Auth` (05).
    PrivacyPass,
    /// Not reachable.
    None,
}

impl Description {
    /// A public endpoint without sender and token.
    #[must_use]
    pub const fn new(id: u16, service: ServiceName, name: &'static str) -> Self {
        Self {
            id: EndpointId(id),
            service,
            name,
            access: Access::Public,
            sender: SenderKind::Nobody,
            token: None,
            body_limit: DEFAULT_BODY,
            replay: Replay::Harmless,
            binding: Binding::Post,
        }
    }

    /// With calls signed by this kind of sender. Where no token is spent, a frame is then accepted once.
    #[must_use]
    pub const fn signed_by(mut self, sender: SenderKind) -> Self {
        self.sender = sender;
        if matches!(self.replay, Replay::Harmless) {
            self.replay = Replay::Frame;
        }
        self
    }

    /// For clients of this homeserver only.
    #[must_use]
    pub const fn local(mut self) -> Self {
        self.access = Access::Local;
        self
    }

    /// For other homeservers only.
    #[must_use]
    pub const fn homeserver(mut self) -> Self {
        self.access = Access::Homeserver;
        self
    }

    /// For this homeserver itself only.
    #[must_use]
    pub const fn internal(mut self) -> Self {
        self.access = Access::Internal;
        self.binding = Binding::None;
        self
    }

    /// For a token of this class.
    #[must_use]
    pub const fn costs(mut self, class: Class) -> Self {
        self.token = Some(class);
        self.replay = Replay::Token;
        self
    }

    /// A repeat changes nothing.
    #[must_use]
    pub const fn harmless(mut self) -> Self {
        self.replay = Replay::Harmless;
        self
    }

    /// With its answer published as a JSON document, too.
    #[must_use]
    pub const fn published(mut self) -> Self {
        self.binding = Binding::Json;
        self
    }

    /// With the media types of Privacy Pass.
    #[must_use]
    pub const fn privacy_pass(mut self) -> Self {
        self.binding = Binding::PrivacyPass;
        self
    }

    /// Over a WebSocket.
    #[must_use]
    pub const fn web_socket(mut self) -> Self {
        self.binding = Binding::WebSocket;
        self
    }

    /// With a larger or smaller body than others.
    #[must_use]
    pub const fn body(mut self, limit: usize) -> Self {
        self.body_limit = limit;
        self
    }
}

/// Body limit of most endpoints (02).
const DEFAULT_BODY: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use super::ServiceName;

    #[test]
    fn a_service_is_reached_where_the_specification_says() {
        assert_eq!(ServiceName::Qs.path("dequeue"), "/v1/qs/dequeue");
        assert_eq!(ServiceName::Ds.keys_path(), "/.well-known/phoenix/ds-keys");
    }
}
