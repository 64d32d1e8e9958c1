//! Asking another AS on a client's behalf (08, "User lifecycle").

use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use super::{ConnectionPackages, MAX_PROFILE};
use crate::{
    ErrorReply, UserId,
    api::{Description, Endpoint, SenderKind, ServiceName},
    token::{Class, Token},
    wire::Opaque,
};

/// Asks a user's own AS for a client that cannot reach it itself. It shows this AS whom the client looks up.
pub struct Lookup;

impl Endpoint for Lookup {
    const DESCRIPTION: Description = Description::new(0x0117, ServiceName::As, "lookup")
        .local()
        .signed_by(SenderKind::Client)
        .costs(Class::Contact);
    type Request = LookupRequest;
    type Reply = LookupReply;
}

/// Who is looked up, and what is wanted of them.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct LookupRequest {
    /// A user of another homeserver.
    pub user: UserId,
    /// What is wanted.
    pub wanted: LookedUp,
    /// What that costs there: a token that the client had fetched of the user's homeserver.
    pub token: Token,
}

/// What is wanted of a user.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
#[repr(u8)]
pub enum LookedUp {
    /// One connection package of each client, as `get_connection_package` gives them; for a Contact token.
    ConnectionPackages = 1,
    /// This version of the profile, as `get_profile` gives it; for a Standard token.
    Profile(u32) = 2,
}

/// What the user's AS says. None of it is this AS's word.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
#[repr(u8)]
pub enum LookupReply {
    /// One package for each client.
    ConnectionPackages(ConnectionPackages) = 1,
    /// The encrypted profile.
    Profile(Opaque<MAX_PROFILE>) = 2,
    /// It refuses.
    Refused(ErrorReply) = 3,
}
