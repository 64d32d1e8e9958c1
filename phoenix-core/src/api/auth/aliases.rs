//! Aliases: handles to be found by, which nothing relates to a user (04).

use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use super::{MAX_OFFER, MAX_PACKAGES};
use crate::{
    AliasHash,
    api::{
        Description, Empty, Endpoint, SenderKind, ServiceName,
        queue::{DequeueReply, DequeueRequest},
    },
    credential::PackagePayload,
    crypto::{HpkePublicKey, VerifyingKey},
    token::Class,
    wire::{List, Opaque},
};

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

/// Deletes an alias, with its packages and its queue. Anyone may register it anew.
pub struct AliasDelete;

impl Endpoint for AliasDelete {
    const DESCRIPTION: Description =
        Description::new(0x0125, ServiceName::As, "alias_delete").signed_by(SenderKind::Alias);
    type Request = Empty;
    type Reply = Empty;
}

/// Keeps an alias for another year.
pub struct AliasRenew;

impl Endpoint for AliasRenew {
    const DESCRIPTION: Description = Description::new(0x0126, ServiceName::As, "alias_renew")
        .signed_by(SenderKind::Alias)
        .costs(Class::Standard);
    type Request = Empty;
    type Reply = Empty;
}
