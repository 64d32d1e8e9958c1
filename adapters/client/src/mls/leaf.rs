//! Leaves: pseudonymous, with an encrypted link to their client (03).

use openmls::prelude::{
    Capabilities, Ciphersuite, Credential, CredentialType, CredentialWithKey, ExtensionType, Lifetime,
    ProposalType, ProtocolVersion,
};
use phoenix_core::{
    Pseudonym, Reject, Timestamp,
    api::mls::{
        CONNECTION_EXTENSION, LEAF_CREDENTIAL, QUEUE_CONFIG_EXTENSION, ROLES_EXTENSION, VERSIONS_EXTENSION,
    },
    credential::{ClientCredential, IdentityLink, LeafCredential, MonthRange},
    crypto::{Chance, Signer, SigningKey, Suite},
    time::Month,
    wire::{Secret, Wire},
};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

/// A leaf of one's own, with its secrets.
#[derive(Clone, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct OwnLeaf {
    pub(crate) key: SigningKey,
    pub(crate) link_key: Secret<32>,
    pub(crate) credential: LeafCredential,
}

impl OwnLeaf {
    /// A fresh leaf: new key, new pseudonym, new link.
    pub(crate) fn generate(
        suite: Suite,
        identity: (&ClientCredential, &dyn Signer),
        now: Timestamp,
        chance: &mut Chance,
    ) -> Result<Self, Reject> {
        Self::of(Pseudonym(chance.bytes()), suite, identity, (now, chance))
    }

    /// A fresh leaf under a pseudonym.
    pub(crate) fn of(
        pseudonym: Pseudonym,
        suite: Suite,
        (credential, signer): (&ClientCredential, &dyn Signer),
        (now, chance): (Timestamp, &mut Chance),
    ) -> Result<Self, Reject> {
        let key = SigningKey::generate(suite, chance);
        let link_key = Secret::new(chance.bytes());
        let link = IdentityLink::sign(credential.clone(), signer, pseudonym, &key.verifying_key().key)?;
        let credential = LeafCredential {
            pseudonym,
            validity: validity(now),
            encrypted_identity_link: link.seal(&link_key, pseudonym, chance)?,
        };
        Ok(Self { key, link_key, credential })
    }

    /// The leaf's credential, as OpenMLS takes it.
    pub(crate) fn credential_with_key(&self) -> CredentialWithKey {
        CredentialWithKey {
            credential: Credential::new(
                CredentialType::Other(LEAF_CREDENTIAL),
                self.credential.encode().to_vec(),
            ),
            signature_key: self.key.verifying_key().key.to_vec().into(),
        }
    }
}

/// Reads a leaf's credential.
pub(crate) fn leaf_credential(credential: &Credential) -> Result<LeafCredential, Reject> {
    if credential.credential_type() != CredentialType::Other(LEAF_CREDENTIAL) {
        return Err(Reject::Malformed("credential type"));
    }
    LeafCredential::decode(credential.serialized_content())
}

/// The months in which a leaf or KeyPackage made now is valid: twelve, this one being the first.
pub(crate) fn validity(now: Timestamp) -> MonthRange {
    let first = Month::of(now);
    MonthRange { first, last: first.plus(MONTHS - 1) }
}

/// The MLS lifetime with the same ends.
pub(crate) fn lifetime(months: MonthRange) -> Lifetime {
    let end = months.last.plus(1).start().as_secs().saturating_sub(1);
    Lifetime::init(months.first.start().as_secs(), end)
}

/// The capabilities of every leaf, and their order: fixed by the protocol's version, so that they tell nothing. Basic
/// credentials are those of external senders, which some implementations of MLS want listed.
pub(crate) fn capabilities() -> Capabilities {
    Capabilities::builder()
        .versions(vec![ProtocolVersion::Mls10])
        .ciphersuites(vec![
            Ciphersuite::MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519,
            Ciphersuite::MLS_128_DHKEMP256_AES128GCM_SHA256_P256,
        ])
        .extensions(vec![
            ExtensionType::LastResort,
            ExtensionType::Unknown(ROLES_EXTENSION),
            ExtensionType::Unknown(CONNECTION_EXTENSION),
            ExtensionType::Unknown(QUEUE_CONFIG_EXTENSION),
            ExtensionType::Unknown(VERSIONS_EXTENSION),
        ])
        .proposals(vec![ProposalType::SelfRemove])
        .credentials(vec![CredentialType::Other(LEAF_CREDENTIAL), CredentialType::Basic])
        .build()
}

/// Longest lifetime of a KeyPackage (06).
const MONTHS: u32 = 12;
