//! The extensions of group contexts and KeyPackages (07).

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
        queue::ClientQueueConfig,
    },
    crypto::{Suite, sha256},
    wire::{List, VERSION, Wire},
};

use super::suite_of;
use crate::error::{ClientError, mls};

/// The extensions of a new group's context: what leaves must know, who may propose from outside, who is admin.
pub(crate) fn group_context(
    (domain, keys): (&Fqdn, &DsPublicKeys),
    suite: Suite,
    creator: Pseudonym,
    connection: Option<&Connection>,
) -> Result<Extensions<GroupContext>, ClientError> {
    let mut required = vec![ExtensionType::Unknown(ROLES_EXTENSION)];
    let roles = Roles { admins: List::new(vec![creator])? };
    let mut extensions = vec![
        Extension::ExternalSenders(external_senders(domain, keys, suite)),
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

/// A group's extensions with the keys that its DS publishes now; none where they are the same.
pub(crate) fn with_senders(
    group: &MlsGroup,
    (domain, keys): (&Fqdn, &DsPublicKeys),
) -> Result<Option<Extensions<GroupContext>>, ClientError> {
    let senders = external_senders(domain, keys, suite_of(group.ciphersuite())?);
    if senders.is_empty() || group.extensions().external_senders() == Some(&senders) {
        return Ok(None);
    }
    replaced(group, Extension::ExternalSenders(senders)).map(Some)
}

/// A group's extensions with one of them replaced, in the order that they had.
fn replaced(group: &MlsGroup, new: Extension) -> Result<Extensions<GroupContext>, ClientError> {
    let kept = |old: &Extension| match old.extension_type() == new.extension_type() {
        true => new.clone(),
        false => old.clone(),
    };
    Extensions::from_vec(group.extensions().iter().map(kept).collect()).map_err(mls("group context"))
}

/// Whether two lists of extensions differ in nothing but who is admin and who may propose from outside.
pub(crate) fn is_same_but_roles(one: &Extensions<GroupContext>, other: &Extensions<GroupContext>) -> bool {
    let fixed = |list: &Extensions<GroupContext>| -> Vec<Extension> {
        let may_change = [ExtensionType::ExternalSenders, ExtensionType::Unknown(ROLES_EXTENSION)];
        list.iter().filter(|it| !may_change.contains(&it.extension_type())).cloned().collect()
    };
    fixed(one) == fixed(other)
}

/// Who is admin, by a context's extensions.
pub(crate) fn roles_in(extensions: &Extensions<GroupContext>) -> Roles {
    let content = extensions.unknown(ROLES_EXTENSION);
    content.and_then(|content| Roles::decode(&content.0).ok()).unwrap_or_default()
}

/// The DS's published keys of the group's suite as external senders, under a credential that names its domain.
fn external_senders(domain: &Fqdn, keys: &DsPublicKeys, suite: Suite) -> Vec<ExternalSender> {
    let credential = Credential::new(CredentialType::Basic, domain.as_str().as_bytes().to_vec());
    let sender = |key: &[u8]| ExternalSender::new(key.to_vec().into(), credential.clone());
    let of_suite = keys.verifying.iter().filter(|service| service.key.suite == suite);
    of_suite.map(|service| sender(&service.key.key)).collect()
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
