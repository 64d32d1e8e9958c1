//! What can be asked of a homeserver: the endpoints and their request and reply structs (04 to 08).
//!
//! Each endpoint is a type that names its structs and carries its one [`Description`], from which routing,
//! clients, documentation and fuzzing are derived. The rules that answer live in `phoenix-as`, `phoenix-qs`
//! and `phoenix-ds`; here is only what both sides must agree on.

pub mod auth;
pub mod delivery;
mod description;
pub mod federation;
pub mod mls;
pub mod queue;
pub mod stream;
pub mod tokens;

pub use description::{Access, Binding, Description, Endpoint, EndpointId, Replay, SenderKind, ServiceName};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

/// A struct without fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct Empty {}
