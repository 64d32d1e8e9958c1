//! Endpoints of the authentication service (04).

use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use super::{
    Description, Empty, Endpoint, SenderKind, ServiceName, queue::DequeueReply, queue::DequeueRequest,
};
use crate::{
    AliasHash, ClientId, UserId,
    credential::{AsIdentity, ClientCredential, ConnectionPackage, Csr, PackagePayload},
    crypto::{HpkePublicKey, VerifyingKey},
    token::Class,
    wire::{List, Opaque},
};

/// The credentials that vouch for clients, and what is revoked.
pub struct AsCredentials;

impl Endpoint for AsCredentials {
    const DESCRIPTION: Description = Description::new(0x0101, ServiceName::As, "as_credentials").published();
    type Request = Empty;
    type Reply = AsIdentity;
}

/// What the registration policy asks for.
pub struct RegistrationChallenge;

impl Endpoint for RegistrationChallenge {
    const DESCRIPTION: Description = Description::new(0x0102, ServiceName::As, "registration_challenge");
    type Request = Empty;
    type Reply = ChallengeReply;
}

/// What a registration must bring.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
#[repr(u8)]
pub enum ChallengeReply {
    /// Nothing.
    Open = 1,
}

/// What a registration brings.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
#[repr(u8)]
pub enum RegistrationProof {
    /// Nothing.
    Open = 1,
}

/// Begins a registration.
pub struct RegisterInit;

impl Endpoint for RegisterInit {
    const DESCRIPTION: Description = Description::new(0x0103, ServiceName::As, "register_init");
    type Request = RegisterInitRequest;
    type Reply = RegisterInitReply;
}

/// Asks to register a user.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct RegisterInitRequest {
    /// The id that the client chose.
    pub user: UserId,
    /// OPAQUE registration request (RFC 9807 §5.2).
    pub opaque: Opaque<MAX_OPAQUE>,
    /// What the policy asked for.
    pub proof: RegistrationProof,
}

/// A registration that goes on for ten minutes.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct RegisterInitReply {
    /// Names the registration.
    pub registration: [u8; 16],
    /// OPAQUE registration response (RFC 9807 §5.2).
    pub opaque: Opaque<MAX_OPAQUE>,
}

/// Finishes a registration: the user exists from then on.
pub struct RegisterFinish;

impl Endpoint for RegisterFinish {
    // A registration can be finished once, whatever frames come.
    const DESCRIPTION: Description =
        Description::new(0x0104, ServiceName::As, "register_finish").signed_by(SenderKind::NewKey).harmless();
    type Request = RegisterFinishRequest;
    type Reply = ClientCredential;
}

/// Asks for the user's first credential.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct RegisterFinishRequest {
    /// From [`RegisterInitReply`].
    pub registration: [u8; 16],
    /// What is to be signed; its key signs the frame.
    pub csr: Csr,
    /// The direct queue is encrypted to this key.
    pub queue_key: HpkePublicKey,
    /// OPAQUE registration record (RFC 9807 §5.2).
    pub record: Opaque<MAX_OPAQUE>,
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

/// Registers an alias, which nothing relates to its owner.
pub struct AliasRegister;

impl Endpoint for AliasRegister {
    const DESCRIPTION: Description = Description::new(0x0120, ServiceName::As, "alias_register")
        .signed_by(SenderKind::NewKey)
        .costs(Class::Alias);
    type Request = AliasRegisterRequest;
    type Reply = Empty;
}

/// An alias and its keys.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct AliasRegisterRequest {
    /// Hash of the alias.
    pub alias: AliasHash,
    /// Signs for the alias from then on; signs the frame.
    pub auth_key: VerifyingKey,
    /// The alias's queue is encrypted to this key.
    pub queue_key: HpkePublicKey,
}

/// Publishes an alias's connection packages in place of those there.
pub struct AliasPublishPackages;

impl Endpoint for AliasPublishPackages {
    const DESCRIPTION: Description = Description::new(0x0121, ServiceName::As, "alias_publish_packages")
        .signed_by(SenderKind::Alias)
        .costs(Class::Standard);
    type Request = AliasPublishRequest;
    type Reply = Empty;
}

/// Package payloads to publish, oldest first; the last is served when the others are gone.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct AliasPublishRequest {
    /// 1 to 100, unsigned: a signature would name their owner.
    pub packages: List<PackagePayload, MAX_PACKAGES>,
}

/// Takes one connection package of an alias.
pub struct AliasGetPackage;

impl Endpoint for AliasGetPackage {
    const DESCRIPTION: Description =
        Description::new(0x0122, ServiceName::As, "alias_get_package").costs(Class::Contact);
    type Request = AliasHash;
    type Reply = PackagePayload;
}

/// Puts a sealed message into an alias's direct queue.
pub struct AliasEnqueueOffer;

impl Endpoint for AliasEnqueueOffer {
    const DESCRIPTION: Description =
        Description::new(0x0123, ServiceName::As, "alias_enqueue_offer").costs(Class::Contact);
    type Request = AliasOfferRequest;
    type Reply = Empty;
}

/// A message for an alias.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct AliasOfferRequest {
    /// For whom.
    pub to: AliasHash,
    /// Sealed to a package's key.
    pub ciphertext: Opaque<MAX_OFFER>,
}

/// Reads an alias's direct queue.
pub struct AliasDequeue;

impl Endpoint for AliasDequeue {
    const DESCRIPTION: Description =
        Description::new(0x0124, ServiceName::As, "alias_dequeue").signed_by(SenderKind::Alias).harmless();
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
