//! The credential structs, as they travel.

use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use crate::{
    ClientId, Fingerprint, Fqdn, Pseudonym,
    crypto::{HpkePublicKey, Signature, VerifyingKey},
    time::Month,
    wire::{List, Opaque},
};

/// From when until when a credential is valid, in seconds; both ends are in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct ExpirationData {
    /// First second.
    pub not_before: u64,
    /// Last second.
    pub not_after: u64,
}

/// What a root says of itself.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct AsCredentialPayload {
    /// Whose AS it is.
    pub as_domain: Fqdn,
    /// When it is valid.
    pub validity: ExpirationData,
    /// Its key, with its suite.
    pub key: VerifyingKey,
}

/// The root of a domain's credentials: long-lived, kept offline.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct AsCredential {
    /// What is signed.
    pub payload: AsCredentialPayload,
    /// By its own key, label `AsCredentialPayload`.
    pub self_signature: Signature,
}

/// What an intermediate says of itself.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct AsIntermediatePayload {
    /// Whose AS it is.
    pub as_domain: Fqdn,
    /// When it is valid: within its signer's validity.
    pub validity: ExpirationData,
    /// Its key, with its suite.
    pub key: VerifyingKey,
    /// The root that signs it.
    pub signer: Fingerprint,
}

/// Signs client credentials; the running server holds its key.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct AsIntermediateCredential {
    /// What is signed.
    pub payload: AsIntermediatePayload,
    /// By its own key, label `AsIntermediateCredentialPayload`.
    pub self_signature: Signature,
    /// By the root, label `AsIntermediateCredential`, over payload and self-signature.
    pub signature: Signature,
}

/// What a client says of itself.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct ClientCredentialPayload {
    /// Which client.
    pub client: ClientId,
    /// When it is valid: within its signer's validity.
    pub validity: ExpirationData,
    /// Its key, with its suite.
    pub key: VerifyingKey,
    /// The intermediate that signs it.
    pub signer: Fingerprint,
}

/// What a client asks its AS to sign.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct Csr {
    /// Taken unchanged or refused.
    pub payload: ClientCredentialPayload,
    /// By its own key, label `ClientCredentialPayload`.
    pub self_signature: Signature,
}

/// A client's identity.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct ClientCredential {
    /// What is signed.
    pub payload: ClientCredentialPayload,
    /// By its own key, label `ClientCredentialPayload`.
    pub self_signature: Signature,
    /// By the intermediate, label `ClientCredential`, over payload and self-signature.
    pub signature: Signature,
}

/// What a root says of all others; expires, so that a stolen intermediate cannot vouch for itself.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct AuthorityStatementTbs {
    /// Whose AS it is.
    pub as_domain: Fqdn,
    /// Never goes back.
    pub serial: u64,
    /// Last second of its validity.
    pub expires: u64,
    /// Intermediates that are valid.
    pub intermediates: List<Fingerprint, MAX_AUTHORITIES>,
    /// Roots and intermediates that are not any more.
    pub revoked: List<Fingerprint, MAX_AUTHORITIES>,
    /// The root that signs.
    pub signer: Fingerprint,
}

/// An [`AuthorityStatementTbs`], signed by a root with label `AuthorityStatement`.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct AuthorityStatement {
    /// What is signed.
    pub payload: AuthorityStatementTbs,
    /// By the root.
    pub signature: Signature,
}

/// A client whose credential is void.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct RevocationEntry {
    /// Its credential.
    pub credential: Fingerprint,
    /// Since when, in seconds.
    pub revoked_at: u64,
}

/// The clients of a domain whose credentials are void.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct RevocationListTbs {
    /// Whose AS it is.
    pub as_domain: Fqdn,
    /// Never goes back.
    pub serial: u64,
    /// Last second of its validity.
    pub expires: u64,
    /// The clients.
    pub entries: List<RevocationEntry, MAX_REVOCATIONS>,
    /// The intermediate that signs.
    pub signer: Fingerprint,
}

/// A [`RevocationListTbs`], signed by a valid intermediate with label `RevocationList`.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct RevocationList {
    /// What is signed.
    pub payload: RevocationListTbs,
    /// By the intermediate.
    pub signature: Signature,
}

/// What was revoked after an earlier list, whose serial it names.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct RevocationDeltaTbs {
    /// Whose AS it is.
    pub as_domain: Fqdn,
    /// The serial that it leads on from.
    pub since: u64,
    /// The serial that it leads to.
    pub serial: u64,
    /// Last second of its validity.
    pub expires: u64,
    /// The clients that came to the list in between.
    pub entries: List<RevocationEntry, MAX_REVOCATIONS>,
    /// The intermediate that signs.
    pub signer: Fingerprint,
}

/// A [`RevocationDeltaTbs`], signed by a valid intermediate with label `RevocationDelta`.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct RevocationDelta {
    /// What is signed.
    pub payload: RevocationDeltaTbs,
    /// By the intermediate.
    pub signature: Signature,
}

/// All that an AS publishes of itself.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct AsIdentity {
    /// Its roots.
    pub roots: List<AsCredential, MAX_AUTHORITIES>,
    /// What a root says of the others.
    pub statement: AuthorityStatement,
    /// Its intermediates.
    pub intermediates: List<AsIntermediateCredential, MAX_AUTHORITIES>,
    /// Its clients that are no more.
    pub revocations: RevocationList,
}

/// Whole months, both ends in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct MonthRange {
    /// The first month.
    pub first: Month,
    /// The last month.
    pub last: Month,
}

/// The MLS credential of a leaf: nothing in clear is derived from the client.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct LeafCredential {
    /// Random; stays with the member while it is in the group.
    pub pseudonym: Pseudonym,
    /// When it is valid.
    pub validity: MonthRange,
    /// An [`IdentityLink`], padded to 1,024 bytes, under a key made for this leaf alone.
    pub encrypted_identity_link: Opaque<MAX_ENCRYPTED_LINK>,
}

/// Who is behind a leaf.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct IdentityLink {
    /// The client.
    pub credential: ClientCredential,
    /// By the client's key, label `IdentityLink`, over the [`IdentityLinkTbs`].
    pub signature: Signature,
}

/// What ties a leaf to its client.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct IdentityLinkTbs {
    /// The leaf's pseudonym.
    pub pseudonym: Pseudonym,
    /// The leaf's signature key, as in MLS.
    pub leaf_key: Opaque<128>,
}

/// Opens a connection: a key to seal an offer to.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct PackagePayload {
    /// Offers are sealed to it.
    pub encryption_key: HpkePublicKey,
    /// When it may be used.
    pub lifetime: ExpirationData,
    /// Versions of the protocol that its owner speaks.
    pub versions: List<u16, 16>,
}

/// A [`PackagePayload`] signed by its owner.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct ConnectionPackage {
    /// What is signed.
    pub payload: ConnectionPackageTbs,
    /// By the client, label `ConnectionPackage`.
    pub signature: Signature,
}

/// The signed part of a [`ConnectionPackage`].
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct ConnectionPackageTbs {
    /// The key.
    pub package: PackagePayload,
    /// Its owner.
    pub credential: ClientCredential,
}

/// Roots or intermediates of one domain at a time: two overlap in a rotation, and a few more are remembered.
pub const MAX_AUTHORITIES: usize = 16;
/// Revocations in one list: what expired with its credential has left it.
pub const MAX_REVOCATIONS: usize = 16_384;
/// An identity link, padded to 1,024 bytes, with nonce and tag.
pub(crate) const MAX_ENCRYPTED_LINK: usize = 1_024 + 64;
