//! What ties the protocol to mls-rs (03, 07): what leaves can, what commits must, how messages are framed.

use std::time::Duration;

use mls_rs::{
    CipherSuite, CryptoProvider as _, Extension, ExtensionList, MlsMessage,
    client_builder::{BaseConfig, PaddingMode, WithCryptoProvider, WithIdentityProvider, WithMlsRules},
    crypto::SignatureSecretKey,
    extension::{
        ExtensionType,
        built_in::{ExternalSendersExt, RequiredCapabilitiesExt},
    },
    group::{CommitEffect, ExportedTree, ReceivedMessage, proposal::Proposal},
    identity::{CredentialType, SigningIdentity, basic::BasicCredential},
    mls_rules::{CommitOptions, DefaultMlsRules, EncryptionOptions},
    time::MlsTime,
};
use mls_rs_crypto_rustcrypto::RustCryptoProvider;
use phoenix_core::{
    Fqdn, GroupId, KeyPackageRef, LeafIndex, Pseudonym, Timestamp,
    api::{
        delivery::{CommitAad, DsPublicKeys, ExternalCommitInfoReply, MessageAad},
        mls::{
            CONNECTION_EXTENSION, Connection, LEAF_CREDENTIAL, QUEUE_CONFIG_EXTENSION, QueueConfigHash,
            ROLES_EXTENSION, Roles, VERSIONS_EXTENSION, Versions,
        },
        queue::ClientQueueConfig,
    },
    credential::LeafCredential,
    crypto::{HpkeSecretKey, Suite, sha256},
    wire::{List, Secret, VERSION, Wire},
};

use super::{
    frames::{HEAD, KEY_PACKAGE},
    identity::{LeafIdentities, admins, leaf_credential, signing_identity},
    leaf::{OwnLeaf, seconds, validity},
};

pub(crate) type Client = mls_rs::Client<Config>;
pub(crate) type Group = mls_rs::Group<Config>;
type Config = WithIdentityProvider<
    LeafIdentities,
    WithMlsRules<DefaultMlsRules, WithCryptoProvider<RustCryptoProvider, BaseConfig>>,
>;

/// Whether a package is served once or stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ordinary,
    LastResort,
}

/// A KeyPackage, and what its owner keeps of it.
pub(crate) struct KeyPackage {
    pub(crate) encoded: Vec<u8>,
    pub(crate) reference: KeyPackageRef,
    pub(crate) init_key: HpkeSecretKey,
}

/// What a commit is to do, beside updating its sender's leaf and covering what was proposed.
#[derive(Clone)]
pub(crate) enum Change {
    /// By this KeyPackage.
    Add(Vec<u8>),
    Remove(LeafIndex),
    /// These are admins, and nobody else is.
    Admins(Vec<Pseudonym>),
    /// This leaf takes the place of ours.
    Leaf(OwnLeaf),
}

/// A commit that is pending, encoded.
pub(crate) struct Made {
    pub(crate) commit: Vec<u8>,
    pub(crate) welcome: Option<Vec<u8>>,
    /// Of the epoch that it leads to.
    pub(crate) group_info: Vec<u8>,
}

/// One who is in a group.
pub(crate) struct Member {
    pub(crate) leaf: LeafIndex,
    pub(crate) key: Vec<u8>,
    pub(crate) credential: LeafCredential,
    pub(crate) is_admin: bool,
}

/// What a message was.
pub(crate) enum Processed {
    Commit(Commit),
    Proposal,
    Message(Message),
}

pub(crate) struct Commit {
    pub(crate) committer: LeafIndex,
    pub(crate) is_external: bool,
    /// Whether it removes us.
    pub(crate) is_own_end: bool,
    pub(crate) aad: Vec<u8>,
    /// Signature keys of the leaves that it adds, in the order of the Adds.
    pub(crate) added: Vec<Vec<u8>>,
}

pub(crate) struct Message {
    pub(crate) sender: LeafIndex,
    pub(crate) text: Vec<u8>,
    pub(crate) aad: Vec<u8>,
}

/// A client for one leaf: in each group it is another.
pub(crate) fn client(leaf: &OwnLeaf, now: Timestamp) -> Client {
    let (first, last) = seconds(validity(now));
    let commits = CommitOptions::new()
        .with_path_required(true)
        .with_ratchet_tree_extension(false)
        .with_single_welcome_message(true)
        .with_allow_external_commit(true);
    let rules = DefaultMlsRules::new()
        .with_commit_options(commits)
        .with_encryption_options(EncryptionOptions::new(false, PaddingMode::StepFunction));
    let suite = leaf.key.suite();
    let suites = vec![CipherSuite::CURVE25519_AES128, CipherSuite::P256_AES128];
    mls_rs::Client::builder()
        .crypto_provider(RustCryptoProvider::with_enabled_cipher_suites(suites))
        .mls_rules(rules)
        .identity_provider(LeafIdentities)
        .extension_types(EXTENSIONS.map(ExtensionType::new))
        .key_package_lifetime(Duration::from_secs(last - first))
        .signing_identity(signing_identity(leaf), secret(leaf), cipher_suite(suite))
        .build()
}

/// A KeyPackage that ties a queue config to its leaf.
pub(crate) fn key_package(
    client: &Client,
    config: &ClientQueueConfig,
    kind: Kind,
    now: Timestamp,
) -> KeyPackage {
    let mut extensions = ExtensionList::new();
    extensions.set(extension(QUEUE_CONFIG_EXTENSION, &QueueConfigHash { hash: sha256(&config.encode()) }));
    extensions.set(extension(VERSIONS_EXTENSION, &Versions { versions: List::new(vec![VERSION]).unwrap() }));
    if kind == Kind::LastResort {
        extensions.set(Extension::new(ExtensionType::new(LAST_RESORT), Vec::new()));
    }
    let message =
        client.generate_key_package_message(extensions, ExtensionList::new(), Some(beginning(now))).unwrap();
    let encoded = message.to_bytes().unwrap().split_off(HEAD);
    let (reference, ..) = read_key_package(&encoded);
    let stored = client.key_package_store().get(reference.as_bytes()).unwrap();
    let suite = suite_of_number(client.signing_identity().unwrap().1);
    let secret = Secret::new(stored.init_key.as_ref().try_into().unwrap());
    KeyPackage { encoded, reference, init_key: HpkeSecretKey::from_secret_bytes(suite, &secret).unwrap() }
}

/// The reference of a KeyPackage, and the key and credential of its leaf.
pub(crate) fn read_key_package(encoded: &[u8]) -> (KeyPackageRef, Vec<u8>, LeafCredential) {
    let message = key_package_message(encoded);
    let package = message.as_key_package().unwrap();
    let provider = RustCryptoProvider::new().cipher_suite_provider(package.cipher_suite).unwrap();
    let reference = message.key_package_reference(&provider).unwrap().unwrap();
    let identity = package.signing_identity();
    let key = identity.signature_key.as_bytes().to_vec();
    (KeyPackageRef((*reference).try_into().unwrap()), key, leaf_credential(identity).unwrap())
}

/// The context of a new group: what leaves must know, who may propose from outside, who is admin.
pub(crate) fn context(
    (domain, keys): (&Fqdn, &DsPublicKeys),
    suite: Suite,
    creator: Pseudonym,
    connection: Option<&Connection>,
) -> ExtensionList {
    let mut required = vec![ExtensionType::new(ROLES_EXTENSION)];
    required.extend(connection.map(|_| ExtensionType::new(CONNECTION_EXTENSION)));
    let sender = |key: &[u8]| {
        let credential = BasicCredential::new(domain.as_str().as_bytes().to_vec());
        SigningIdentity::new(credential.into_credential(), key.to_vec().into())
    };
    let of_suite = keys.verifying.iter().filter(|it| it.key.suite == suite);
    let senders = of_suite.map(|it| sender(&it.key.key)).collect();
    let mut extensions = ExtensionList::new();
    let required = RequiredCapabilitiesExt {
        extensions: required,
        proposals: Vec::new(),
        credentials: vec![CredentialType::new(LEAF_CREDENTIAL)],
    };
    extensions.set_from(required).unwrap();
    extensions.set_from(ExternalSendersExt::new(senders)).unwrap();
    extensions.set(roles(vec![creator]));
    if let Some(connection) = connection {
        extensions.set(extension(CONNECTION_EXTENSION, connection));
    }
    extensions
}

/// A group of one.
pub(crate) fn create(client: &Client, group: &GroupId, context: ExtensionList, now: Timestamp) -> Group {
    let id = group.encode().to_vec();
    client.create_group_with_id(id, context, ExtensionList::new(), Some(beginning(now))).unwrap()
}

/// The ratchet tree, encoded.
pub(crate) fn tree(group: &Group) -> Vec<u8> {
    group.export_tree().to_bytes().unwrap()
}

/// The GroupInfo of the current epoch, as an MLSMessage.
pub(crate) fn group_info(group: &Group) -> Vec<u8> {
    group.group_info_message_allowing_ext_commit(false).unwrap().to_bytes().unwrap()
}

/// Makes a commit that updates our leaf, covers what was proposed, and does this.
pub(crate) fn commit(group: &mut Group, changes: &[Change], aad: &CommitAad) -> Made {
    let mut context = group.context().extensions.clone();
    let mut builder = group.commit_builder().authenticated_data(aad.encode().to_vec());
    for change in changes {
        builder = match change {
            Change::Admins(admins) => {
                context.set(roles(admins.clone()));
                builder.set_group_context_ext(context.clone()).unwrap()
            }
            Change::Leaf(leaf) => builder.set_new_signing_identity(secret(leaf), signing_identity(leaf)),
            Change::Add(package) => builder.add_member(key_package_message(package)).unwrap(),
            Change::Remove(leaf) => builder.remove_member(leaf.0).unwrap(),
        };
    }
    let output = builder.build().unwrap();
    Made {
        commit: output.commit_message.to_bytes().unwrap(),
        welcome: output.welcome_messages.first().map(|it| it.to_bytes().unwrap()),
        group_info: output.external_commit_group_info.unwrap().to_bytes().unwrap(),
    }
}

/// Applies the commit that is pending.
pub(crate) fn apply(group: &mut Group) {
    group.apply_pending_commit().unwrap();
}

/// Drops the commit that is pending.
pub(crate) fn drop_commit(group: &mut Group) {
    group.clear_pending_commit();
}

/// A proposal to remove our own leaf.
pub(crate) fn propose_leaving(group: &mut Group) -> Vec<u8> {
    let own = group.current_member_index();
    group.propose_remove(own, Vec::new()).unwrap().to_bytes().unwrap()
}

/// A message for all other members.
pub(crate) fn encrypt(group: &mut Group, text: &str, aad: &MessageAad) -> Vec<u8> {
    let message = group.encrypt_application_message(text.as_bytes(), aad.encode().to_vec()).unwrap();
    message.to_bytes().unwrap()
}

/// Joins by a Welcome.
pub(crate) fn join(client: &Client, welcome: &[u8], tree: &[u8], now: Timestamp) -> Group {
    let welcome = MlsMessage::from_bytes(welcome).unwrap();
    let tree = ExportedTree::from_bytes(tree).unwrap();
    client.join_group(Some(tree), &welcome, Some(time(now))).unwrap().0
}

/// Joins by an external commit, which may remove the leaf that we had before.
pub(crate) fn join_externally(
    client: &Client,
    info: &ExternalCommitInfoReply,
    former: Option<LeafIndex>,
    aad: &CommitAad,
) -> (Group, Made) {
    let mut builder = client
        .external_commit_builder()
        .unwrap()
        .with_tree_data(ExportedTree::from_bytes(&info.tree).unwrap())
        .with_authenticated_data(aad.encode().to_vec());
    if let Some(former) = former {
        builder = builder.with_removal(former.0);
    }
    let (group, commit) = builder.build(MlsMessage::from_bytes(&info.group_info).unwrap()).unwrap();
    let made = Made { commit: commit.to_bytes().unwrap(), welcome: None, group_info: group_info(&group) };
    (group, made)
}

/// Does what a message of another member says.
pub(crate) fn process(group: &mut Group, message: &[u8]) -> Processed {
    let message = MlsMessage::from_bytes(message).unwrap();
    match group.process_incoming_message(message).unwrap() {
        ReceivedMessage::Commit(commit) => {
            let (is_own_end, epoch) = match commit.effect {
                CommitEffect::NewEpoch(epoch) => (false, epoch),
                CommitEffect::Removed { new_epoch, .. } => (true, new_epoch),
                CommitEffect::ReInit(_) => panic!("nobody starts groups anew"),
            };
            let added = epoch.applied_proposals.iter().filter_map(|it| match &it.proposal {
                Proposal::Add(add) => Some(add.signing_identity().signature_key.as_bytes().to_vec()),
                _ => None,
            });
            Processed::Commit(Commit {
                committer: LeafIndex(commit.committer),
                is_external: commit.is_external,
                is_own_end,
                added: added.collect(),
                aad: commit.authenticated_data,
            })
        }
        ReceivedMessage::Proposal(_) => Processed::Proposal,
        ReceivedMessage::ApplicationMessage(message) => Processed::Message(Message {
            sender: LeafIndex(message.sender_index),
            text: message.data().to_vec(),
            aad: message.authenticated_data.clone(),
        }),
        _ => panic!("not a message of a group"),
    }
}

/// Who is in a group, in the order of their leaves.
pub(crate) fn members(group: &Group) -> Vec<Member> {
    let admins = admins(&group.context().extensions);
    let member = |it: mls_rs::group::Member| {
        let credential = leaf_credential(&it.signing_identity).unwrap();
        Member {
            leaf: LeafIndex(it.index),
            key: it.signing_identity.signature_key.as_bytes().to_vec(),
            is_admin: admins.contains(&credential.pseudonym),
            credential,
        }
    };
    group.roster().members_iter().map(member).collect()
}

/// Our own leaf.
pub(crate) fn own_leaf(group: &Group) -> LeafIndex {
    LeafIndex(group.current_member_index())
}

/// The epoch that a group is in.
pub(crate) fn epoch(group: &Group) -> u64 {
    group.current_epoch()
}

/// The epoch of a message.
pub(crate) fn epoch_of(message: &[u8]) -> u64 {
    MlsMessage::from_bytes(message).unwrap().epoch().unwrap()
}

/// The suite of a group, by its GroupInfo.
pub(crate) fn suite_of(group_info: &[u8]) -> Suite {
    suite_of_number(MlsMessage::from_bytes(group_info).unwrap().cipher_suite().unwrap())
}

/// The number of a group's MLS ciphersuite.
pub(crate) fn suite_number(group: &Group) -> u16 {
    u16::from(group.cipher_suite())
}

fn key_package_message(encoded: &[u8]) -> MlsMessage {
    MlsMessage::from_bytes(&[&KEY_PACKAGE, encoded].concat()).unwrap()
}

fn extension(number: u16, content: &impl Wire) -> Extension {
    Extension::new(ExtensionType::new(number), content.encode().to_vec())
}

fn roles(admins: Vec<Pseudonym>) -> Extension {
    extension(ROLES_EXTENSION, &Roles { admins: List::new(admins).unwrap() })
}

/// A leaf's secret, as mls-rs takes it: of Ed25519, with its public key behind it.
fn secret(leaf: &OwnLeaf) -> SignatureSecretKey {
    let secret = leaf.key.to_secret_bytes();
    match leaf.key.suite() {
        Suite::Ed25519 => [secret.expose().as_slice(), &leaf.key.verifying_key().key].concat().into(),
        Suite::P256 => secret.expose().to_vec().into(),
    }
}

/// The first second of a month, from which on lifetimes count.
fn beginning(now: Timestamp) -> MlsTime {
    let (first, _) = seconds(validity(now));
    MlsTime::from(first)
}

fn time(now: Timestamp) -> MlsTime {
    MlsTime::from(now.as_secs())
}

const fn cipher_suite(suite: Suite) -> CipherSuite {
    match suite {
        Suite::Ed25519 => CipherSuite::CURVE25519_AES128,
        Suite::P256 => CipherSuite::P256_AES128,
    }
}

fn suite_of_number(number: CipherSuite) -> Suite {
    [Suite::Ed25519, Suite::P256].into_iter().find(|suite| cipher_suite(*suite) == number).unwrap()
}

/// The extension of KeyPackages that may be used again (RFC 9750 calls them last-resort).
const LAST_RESORT: u16 = 0x000a;
/// The capabilities of every leaf, and their order: fixed by the protocol's version (03).
const EXTENSIONS: [u16; 5] =
    [LAST_RESORT, ROLES_EXTENSION, CONNECTION_EXTENSION, QUEUE_CONFIG_EXTENSION, VERSIONS_EXTENSION];
