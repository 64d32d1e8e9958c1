//! Endpoints of the authentication service (04).

use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use super::{
    Description, Empty, Endpoint, SenderKind, ServiceName, queue::DequeueReply, queue::DequeueRequest,
};
use crate::{
    ClientId, UserId,
    credential::{AsIdentity, AuthorityStatement, ConnectionPackage, RevocationDelta},
    token::Class,
    wire::{List, Opaque},
};

mod aliases;
mod clients;
mod invitation;
mod lookup;
mod notices;
mod profiles;
mod registration;
mod work;

pub use aliases::{
    AliasDelete, AliasDequeue, AliasEnqueueOffer, AliasGetPackage, AliasOfferRequest, AliasPublishPackages,
    AliasPublishRequest, AliasRegister, AliasRegisterRequest, AliasRenew,
};
pub use clients::{
    AddClientFinish, AddClientFinishRequest, AddClientInit, AddClientInitRequest, ChangePassword,
    ChangePasswordReply, ChangePasswordRequest, DeleteUser, DeleteUserRequest, LoginInit, LoginReply,
    MAX_NOTICES, RemoveClient, RemoveClientRequest, RenewCredential, SecondFactor,
};
pub use invitation::{Invitation, InvitationCode, MakeInvitation};
pub use lookup::{LookedUp, Lookup, LookupReply, LookupRequest};
pub use notices::{UserEvent, UserNotice, UserNoticeRequest};
pub use profiles::{GetProfile, GetProfileRequest, MAX_PROFILE, Profile, UpdateProfile};
pub use registration::{
    ChallengeReply, Demand, MAX_ALTERNATIVES, MAX_DEMANDS, MAX_EXTERNAL, RegisterFinish,
    RegisterFinishRequest, RegisterInit, RegisterInitReply, RegisterInitRequest, RegistrationChallenge,
    RegistrationProof,
};
pub use work::{MAX_BITS, WorkChallenge, WorkProof};

/// The credentials that vouch for clients, and what is revoked.
pub struct AsCredentials;

impl Endpoint for AsCredentials {
    const DESCRIPTION: Description = Description::new(0x0101, ServiceName::As, "as_credentials").published();
    type Request = Empty;
    type Reply = AsIdentity;
}

/// The revocations since a serial: what a server that knows an earlier list needs.
pub struct RevokedSince;

impl Endpoint for RevokedSince {
    const DESCRIPTION: Description = Description::new(0x010c, ServiceName::As, "revoked_since");
    type Request = u64;
    type Reply = RevokedSinceReply;
}

/// What was revoked since.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct RevokedSinceReply {
    /// What a root says of the intermediates, one of which signs the delta.
    pub statement: AuthorityStatement,
    /// The entries that are new.
    pub delta: RevocationDelta,
}

/// Publishes the client's connection packages in place of those there.
pub struct PublishConnectionPackages;

impl Endpoint for PublishConnectionPackages {
    const DESCRIPTION: Description = Description::new(0x0110, ServiceName::As, "publish_connection_packages")
        .local()
        .signed_by(SenderKind::Client)
        .costs(Class::Standard);
    type Request = PublishPackagesRequest;
    type Reply = Empty;
}

/// Packages to publish, oldest first; the last is served when the others are gone.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct PublishPackagesRequest {
    /// 1 to 100.
    pub packages: List<ConnectionPackage, MAX_PACKAGES>,
}

/// Takes one connection package of each client of a user.
pub struct GetConnectionPackage;

impl Endpoint for GetConnectionPackage {
    const DESCRIPTION: Description =
        Description::new(0x0111, ServiceName::As, "get_connection_package").costs(Class::Contact);
    type Request = UserId;
    type Reply = ConnectionPackages;
}

/// One package for each client.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct ConnectionPackages {
    /// 1 to 10.
    pub packages: List<ConnectionPackage, MAX_CLIENTS>,
}

/// Puts a sealed message into a client's direct queue.
pub struct EnqueueOffer;

impl Endpoint for EnqueueOffer {
    const DESCRIPTION: Description =
        Description::new(0x0112, ServiceName::As, "enqueue_offer").costs(Class::Contact);
    type Request = EnqueueOfferRequest;
    type Reply = Empty;
}

/// A message for one client.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct EnqueueOfferRequest {
    /// For whom.
    pub to: ClientId,
    /// Sealed to a connection package's key; the AS cannot read it.
    pub ciphertext: Opaque<MAX_OFFER>,
}

/// Reads the client's direct queue.
pub struct DequeueOffers;

impl Endpoint for DequeueOffers {
    const DESCRIPTION: Description = Description::new(0x0113, ServiceName::As, "dequeue_offers")
        .local()
        .signed_by(SenderKind::Client)
        .harmless();
    type Request = DequeueRequest;
    type Reply = DequeueReply;
}

/// Longest OPAQUE message: a registration record is 192 bytes; other groups' would fit.
pub const MAX_OPAQUE: usize = 512;
/// Connection packages that one client may have waiting (04).
pub const MAX_PACKAGES: usize = 100;
/// Clients of one user (01).
pub const MAX_CLIENTS: usize = 10;
/// Longest sealed message of a direct queue (04).
pub const MAX_OFFER: usize = 16 << 10;
