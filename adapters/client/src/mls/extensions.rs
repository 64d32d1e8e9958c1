//! The extensions of group contexts and KeyPackages (07).

use std::collections::BTreeSet;

use openmls::prelude::{
    Credential, CredentialType, Extension, ExtensionType, Extensions, ExternalSender, GroupContext,
    KeyPackage, MlsGroup, RequiredCapabilitiesExtension, UnknownExtension,
};
use phoenix_core::{
    Fqdn, Pseudonym,
    api::{
        delivery::DsPublicKeys,
        mls::{
            CONNECTION_EXTENSION, Connection, LEAF_CREDENTIAL, QUEUE_CONFIG_EXTENSION, QueueConfigHash,
            ROLES_EXTENSION, Roles, VERSIONS_EXTENSION, Versions,
        },
        queue::{ClientQueueConfig, MAX_KEYS},
    },
    crypto::sha256,
    wire::{List, Opaque, VERSION, Wire},
};
use tls_codec::{Serialize as _, TlsDeserializeBytes, TlsSerialize, TlsSize};

use crate::error::{ClientError, mls};

/// The extensions of a new group's context: what leaves must know, who may propose from outside, who is admin.
pub(crate) fn group_context(
    (domain, keys): (&Fqdn, &DsPublicKeys),
    creator: Pseudonym,
    connection: Option<&Connection>,
) -> Result<Extensions<GroupContext>, ClientError> {
    let mut required = vec![ExtensionType::Unknown(ROLES_EXTENSION)];
    let roles = Roles { admins: List::new(vec![creator])? };
    let mut extensions = vec![
        Extension::ExternalSenders(external_senders(domain, keys)),
        Extension::Unknown(ROLES_EXTENSION, UnknownExtension(roles.encode().to_vec())),
    ];
    if let Some(connection) = connection {
        required.push(ExtensionType::Unknown(CONNECTION_EXTENSION));
        let content = UnknownExtension(connection.encode().to_vec());
        extensions.push(Extension::Unknown(CONNECTION_EXTENSION, content));
    }
    let required =
        RequiredCapabilitiesExtension::new(&required, &[], &[CredentialType::Other(LEAF_CREDENTIAL)]);
    extensions.insert(0, Extension::RequiredCapabilities(required));
    Extensions::from_vec(extensions).map_err(mls("group context"))
}

/// A group's extensions with other admins; none where they are the same.
pub(crate) fn with_admins(
    group: &MlsGroup,
    admins: Vec<Pseudonym>,
) -> Result<Option<Extensions<GroupContext>>, ClientError> {
    let changed = Roles { admins: List::new(admins)? };
    if changed == roles(group) {
        return Ok(None);
    }
    let content = UnknownExtension(changed.encode().to_vec());
    replaced(group, Extension::Unknown(ROLES_EXTENSION, content)).map(Some)
}

/// A group's extensions with the keys that its DS publishes now; none where those are the ones that it lists, in
/// whatever order and under whatever credentials: two clients that differ in these would renew each other's for ever.
pub(crate) fn with_senders(
    group: &MlsGroup,
    (domain, keys): (&Fqdn, &DsPublicKeys),
) -> Result<Option<Extensions<GroupContext>>, ClientError> {
    let listed: Option<BTreeSet<_>> = sender_keys(group.extensions()).map(|keys| keys.into_iter().collect());
    let published: BTreeSet<_> = keys.verifying.iter().map(|service| service.key.key.clone()).collect();
    if published.is_empty() || listed.as_ref() == Some(&published) {
        return Ok(None);
    }
    replaced(group, Extension::ExternalSenders(external_senders(domain, keys))).map(Some)
}

/// A group's extensions with one of them replaced, in the order that they had.
fn replaced(group: &MlsGroup, new: Extension) -> Result<Extensions<GroupContext>, ClientError> {
    let kept = |old: &Extension| match old.extension_type() == new.extension_type() {
        true => new.clone(),
        false => old.clone(),
    };
    Extensions::from_vec(group.extensions().iter().map(kept).collect()).map_err(mls("group context"))
}

/// What a GroupContextExtensions proposal changes.
#[derive(Debug, Default)]
pub(crate) struct Change {
    /// The new roles, where they are others.
    pub(crate) roles: Option<Roles>,
    /// Whether the external senders are others.
    pub(crate) senders: bool,
}

/// What a proposal changes of a group's context, by the rules that its DS has (decision 45): roles and external senders
/// may be others, and nothing else. None where something else is, or where what is new cannot be read.
pub(crate) fn change(
    current: &Extensions<GroupContext>,
    proposed: &Extensions<GroupContext>,
) -> Option<Change> {
    if current.iter().count() != proposed.iter().count() {
        return None;
    }
    let mut change = Change::default();
    for before in current.iter() {
        let kind = before.extension_type();
        match proposed.iter().find(|it| it.extension_type() == kind)? {
            after if after == before => {}
            Extension::Unknown(ROLES_EXTENSION, content) => {
                change.roles = Some(Roles::decode(&content.0).ok()?);
            }
            Extension::ExternalSenders(_) => change.senders = true,
            _ => return None,
        }
    }
    Some(change)
}

/// Whether a context names somebody who may propose from outside, and each but once. Whether they are the DS's own,
/// only the DS can say.
pub(crate) fn has_senders(extensions: &Extensions<GroupContext>) -> bool {
    let Some(keys) = sender_keys(extensions) else { return false };
    let distinct: BTreeSet<_> = keys.iter().collect();
    !keys.is_empty() && distinct.len() == keys.len()
}

/// Who is admin, by a context's extensions.
pub(crate) fn roles_in(extensions: &Extensions<GroupContext>) -> Roles {
    let content = extensions.unknown(ROLES_EXTENSION);
    content.and_then(|content| Roles::decode(&content.0).ok()).unwrap_or_default()
}

/// The DS's published keys as external senders, under a credential that names its domain: of all suites, as the DS
/// wants them (07, "DS-induced removals"), though it signs with those of the group's own.
fn external_senders(domain: &Fqdn, keys: &DsPublicKeys) -> Vec<ExternalSender> {
    let credential = Credential::new(CredentialType::Basic, domain.as_str().as_bytes().to_vec());
    let sender = |key: &[u8]| ExternalSender::new(key.to_vec().into(), credential.clone());
    keys.verifying.iter().map(|service| sender(&service.key.key)).collect()
}

/// The keys that a context's external senders have, in their order; none where there are no senders, or more or longer
/// ones than a DS publishes.
fn sender_keys(extensions: &Extensions<GroupContext>) -> Option<Vec<SenderKey>> {
    let encoded = extensions.external_senders()?.tls_serialize_detached().ok()?;
    let senders = List::<Listed, MAX_KEYS>::decode(&encoded).ok()?;
    Some(senders.into_iter().map(|sender| sender.key).collect())
}

/// The key of an external sender.
type SenderKey = Opaque<65>;

/// An external sender (RFC 9420 §12.1.8.1), whose parts OpenMLS does not show.
#[derive(Clone, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
struct Listed {
    key: SenderKey,
    credential_type: u16,
    credential: Opaque<256>,
}

/// The extensions of a KeyPackage: the hash of its queue config, and the versions that its client speaks.
pub(crate) fn key_package(config: &ClientQueueConfig) -> Result<Extensions<KeyPackage>, ClientError> {
    let hash = QueueConfigHash { hash: sha256(&config.encode()) };
    let versions = Versions { versions: List::new(vec![VERSION])? };
    Extensions::from_vec(vec![
        Extension::Unknown(QUEUE_CONFIG_EXTENSION, UnknownExtension(hash.encode().to_vec())),
        Extension::Unknown(VERSIONS_EXTENSION, UnknownExtension(versions.encode().to_vec())),
    ])
    .map_err(mls("key package"))
}

/// Who is admin of a group, by its context.
pub(crate) fn roles(group: &MlsGroup) -> Roles {
    roles_in(group.extensions())
}
