//! What members of tests need of MLS.

use openmls::{
    messages::group_info::GroupInfo,
    prelude::{
        Capabilities, Ciphersuite, Credential, CredentialType, Extension, ExtensionType, Extensions,
        ExternalSender, GroupContext, Lifetime, MlsGroupJoinConfig, MlsMessageIn, MlsMessageOut,
        PURE_PLAINTEXT_WIRE_FORMAT_POLICY, ProposalType, RequiredCapabilitiesExtension, UnknownExtension,
    },
};
use phoenix_core::{
    Fqdn, Pseudonym,
    api::{
        delivery::{CommitAad, DsPublicKeys, GroupInfoUpdate, MemberKeys, Mls},
        mls::{
            CONNECTION_EXTENSION, Connection, LEAF_CREDENTIAL, QUEUE_CONFIG_EXTENSION, ROLES_EXTENSION,
            Roles, VERSIONS_EXTENSION,
        },
    },
    crypto::Suite,
    time::DAY,
    wire::{List, Opaque, Wire},
};
use tls_codec::{DeserializeBytes as _, Serialize as _};

use super::World;

pub(super) fn context(
    published: &DsPublicKeys,
    creator: Pseudonym,
    connection: Option<&Connection>,
) -> Extensions<GroupContext> {
    let roles = Roles { admins: List::new(vec![creator]).unwrap() };
    let mut required = vec![ExtensionType::Unknown(ROLES_EXTENSION)];
    let mut extensions = vec![
        external_senders(published),
        Extension::Unknown(ROLES_EXTENSION, UnknownExtension(roles.encode().to_vec())),
    ];
    if let Some(connection) = connection {
        required.push(ExtensionType::Unknown(CONNECTION_EXTENSION));
        let content = UnknownExtension(connection.encode().to_vec());
        extensions.push(Extension::Unknown(CONNECTION_EXTENSION, content));
    }
    let credentials = [CredentialType::Other(LEAF_CREDENTIAL)];
    let required = RequiredCapabilitiesExtension::new(&required, &[], &credentials);
    extensions.push(Extension::RequiredCapabilities(required));
    Extensions::from_vec(extensions).unwrap()
}

pub(super) fn external_senders(published: &DsPublicKeys) -> Extension {
    let domain: Fqdn = "alpha.test".parse().unwrap();
    let credential = Credential::new(CredentialType::Basic, domain.as_str().as_bytes().to_vec());
    let sender = |key: &[u8]| ExternalSender::new(key.to_vec().into(), credential.clone());
    Extension::ExternalSenders(published.verifying.iter().map(|it| sender(&it.key.key)).collect())
}

pub(super) fn capabilities(proposals: &[ProposalType]) -> Capabilities {
    let ours = [ROLES_EXTENSION, CONNECTION_EXTENSION, QUEUE_CONFIG_EXTENSION, VERSIONS_EXTENSION];
    Capabilities::builder()
        .extensions(ours.into_iter().map(ExtensionType::Unknown).chain([ExtensionType::LastResort]).collect())
        .proposals(proposals.to_vec())
        .credentials(vec![CredentialType::Other(LEAF_CREDENTIAL)])
        .build()
}

pub(super) fn lifetime(world: &World) -> Lifetime {
    let now = world.now().as_secs();
    Lifetime::init(now - DAY, now + 300 * DAY)
}

pub(super) fn join_config() -> MlsGroupJoinConfig {
    MlsGroupJoinConfig::builder()
        .wire_format_policy(PURE_PLAINTEXT_WIRE_FORMAT_POLICY)
        .use_ratchet_tree_extension(false)
        .max_past_epochs(5)
        .build()
}

pub(super) fn keys(number: usize) -> MemberKeys {
    let link_key = Opaque::new(vec![number.to_be_bytes()[7]; 44]).unwrap();
    MemberKeys { link_key, profile_key: Opaque::default() }
}

pub(super) fn aad(count: usize) -> Vec<u8> {
    CommitAad { keys: List::new((0..count).map(keys).collect()).unwrap(), sealed: Opaque::default() }
        .encode()
        .to_vec()
}

pub(super) fn update(info: &GroupInfo) -> GroupInfoUpdate {
    GroupInfoUpdate {
        extensions: Opaque::new(info.extensions().tls_serialize_detached().unwrap()).unwrap(),
        signature: Opaque::decode(&info.signature().tls_serialize_detached().unwrap()).unwrap(),
    }
}

pub(super) fn message(message: &MlsMessageOut) -> Mls {
    Opaque::new(message.to_bytes().unwrap()).unwrap()
}

pub(super) fn read(bytes: &[u8]) -> MlsMessageIn {
    MlsMessageIn::tls_deserialize_exact_bytes(bytes).unwrap()
}

pub(super) fn ciphersuite(suite: Suite) -> Ciphersuite {
    match suite {
        Suite::Ed25519 => Ciphersuite::MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519,
        Suite::P256 => Ciphersuite::MLS_128_DHKEMP256_AES128GCM_SHA256_P256,
    }
}
