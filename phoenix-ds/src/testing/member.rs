//! A member of one group.

use openmls::prelude::{
    Capabilities, Ciphersuite, Credential, CredentialType, CredentialWithKey, Extension, ExtensionType, Extensions,
    ExternalSender, GroupContext, KeyPackage, KeyPackageBundle, LeafNodeIndex, LeafNodeParameters, Lifetime,
    MlsGroup, MlsGroupCreateConfig, MlsGroupJoinConfig, MlsMessageBodyIn, MlsMessageIn, MlsMessageOut,
    PURE_PLAINTEXT_WIRE_FORMAT_POLICY, ProcessedMessageContent, ProposalType, RatchetTreeIn,
    RequiredCapabilitiesExtension, SignatureScheme, StagedWelcome, UnknownExtension,
};
use openmls::messages::group_info::GroupInfo;
use openmls_basic_credential::SignatureKeyPair;
use openmls_rust_crypto::OpenMlsRustCrypto;
use openmls_traits::OpenMlsProvider as _;
use phoenix_core::{
    Failure, Fqdn, KeyId, KeyPackageRef, LeafIndex, MessageId, Pseudonym,
    api::{
        Empty,
        delivery::{
            Accepted, AddUsersRequest, CommitAad, CommitRequest, CreateGroupRequest, DsPublicKeys,
            ExternalCommitInfoReply, GroupAccess, GroupInfoUpdate, JoinConnectionGroupRequest, Joined, Joiner,
            MemberKeys, MessageAad, Mls, SendMessageRequest, UpdateQueueConfigRequest, WelcomeBundle,
            WelcomeInfoRequest,
        },
        mls::{
            CONNECTION_EXTENSION, Connection, LEAF_CREDENTIAL, QUEUE_CONFIG_EXTENSION, QueueConfigHash,
            ROLES_EXTENSION, Roles, VERSIONS_EXTENSION,
        },
        queue::{ClientQueueConfig, NotifyClass, SealedQueueConfig},
    },
    credential::{LeafCredential, MonthRange},
    crypto::{Chance, HpkeCiphertext, HpkeSecretKey, SigningKey, Suite, sha256},
    time::{DAY, Month},
    wire::{Flag, List, Opaque, Secret, Sender, Wire},
};
use tls_codec::{DeserializeBytes as _, Serialize as _};

use super::World;
use crate::{
    AddUsers, CreateGroup, JoinConnectionGroup, RequestGroupId, SendMessage, UpdateQueueConfig, WelcomeInfo,
};

pub(crate) struct Member {
    pub(crate) key: SigningKey,
    pub(crate) credential: LeafCredential,
    pub(crate) config: ClientQueueConfig,
    pub(crate) group: Option<MlsGroup>,
    pub(crate) access: Option<GroupAccess>,
    pub(crate) suite: Suite,
    provider: OpenMlsRustCrypto,
    package: Option<KeyPackageBundle>,
}

/// A commit that was made and not merged.
pub(crate) struct Commit {
    pub(crate) request: CommitRequest,
    pub(crate) welcome: Option<Mls>,
}

impl Member {
    pub(crate) fn new(world: &World, domain: &str) -> Self {
        Self::with(world, domain, Suite::Ed25519)
    }

    pub(crate) fn with(world: &World, domain: &str, suite: Suite) -> Self {
        let chance = &mut Chance::from_seed(world.seed());
        let first = Month::of(world.now());
        let credential = LeafCredential {
            pseudonym: Pseudonym(chance.bytes()),
            validity: MonthRange { first, last: first.plus(11) },
            encrypted_identity_link: Opaque::new(vec![1; 1052]).unwrap(),
        };
        let config = Self::fresh_config(domain, chance);
        let key = SigningKey::generate(suite, chance);
        let provider = OpenMlsRustCrypto::default();
        Self { key, credential, config, group: None, access: None, suite, provider, package: None }
    }

    pub(crate) fn fresh_config(domain: &str, chance: &mut Chance) -> ClientQueueConfig {
        let enc = Opaque::new(chance.bytes::<32>().to_vec()).unwrap();
        let ciphertext = Opaque::new(chance.bytes::<300>().to_vec()).unwrap();
        let sealed = SealedQueueConfig { key: KeyId([1; 16]), sealed: HpkeCiphertext { enc, ciphertext } };
        ClientQueueConfig { domain: domain.parse().unwrap(), any: Flag::No, sealed }
    }

    /// Asks for an id and creates a group.
    pub(crate) fn create(&mut self, world: &World, connection: Option<&Connection>) -> Result<Empty, Failure> {
        let request = self.creation(world, connection);
        world.call::<CreateGroup>(&request, Some(self.new_key()))
    }

    pub(crate) fn creation(&mut self, world: &World, connection: Option<&Connection>) -> CreateGroupRequest {
        let reservation = world.call::<RequestGroupId>(&Empty {}, None).unwrap();
        let ring = world.engine.ring();
        let config = MlsGroupCreateConfig::builder()
            .ciphersuite(ciphersuite(self.suite))
            .wire_format_policy(PURE_PLAINTEXT_WIRE_FORMAT_POLICY)
            .use_ratchet_tree_extension(false)
            .capabilities(capabilities())
            .lifetime(lifetime(world))
            .with_group_context_extensions(context(ring.service.public(), self.credential.pseudonym, connection))
            .build();
        let id = openmls::prelude::GroupId::from_slice(&reservation.group.encode());
        let (signer, credential) = (self.signer(), self.credential_with_key());
        let group = MlsGroup::new_with_group_id(&self.provider, &signer, &config, id, credential).unwrap();
        let group_info = message(&group.export_group_info(self.provider.crypto(), &signer, false).unwrap());
        let tree = Opaque::new(group.export_ratchet_tree().tls_serialize_detached().unwrap()).unwrap();
        let ear_key = Secret::new(Chance::from_seed(world.seed()).bytes());
        let access = GroupAccess { group: reservation.group.clone(), ear_key_id: 0, ear_key: ear_key.clone() };
        (self.group, self.access) = (Some(group), Some(access));
        let (config, keys) = (self.config.clone(), keys(0));
        CreateGroupRequest { reservation, ear_key_id: 0, ear_key, tree, group_info, config, keys }
    }

    /// A KeyPackage for this member, and what goes with it.
    pub(crate) fn package(&mut self, world: &World) -> KeyPackage {
        self.package_until(world, lifetime(world))
    }

    pub(crate) fn package_until(&mut self, world: &World, lifetime: Lifetime) -> KeyPackage {
        let _ = world;
        let hash = QueueConfigHash { hash: sha256(&self.config.encode()) };
        let content = UnknownExtension(hash.encode().to_vec());
        let extension = Extension::Unknown(QUEUE_CONFIG_EXTENSION, content);
        let bundle = KeyPackage::builder()
            .key_package_lifetime(lifetime)
            .leaf_node_capabilities(capabilities())
            .key_package_extensions(Extensions::from_vec(vec![extension]).unwrap())
            .build(ciphersuite(self.suite), &self.provider, &self.signer(), self.credential_with_key())
            .unwrap();
        let package = bundle.key_package().clone();
        self.package = Some(bundle);
        package
    }

    pub(crate) fn reference(&self) -> KeyPackageRef {
        let package = self.package.as_ref().unwrap().key_package();
        KeyPackageRef(package.hash_ref(self.provider.crypto()).unwrap().as_slice().try_into().unwrap())
    }

    /// The request that adds these members.
    pub(crate) fn adding(&mut self, world: &World, joiners: &mut [&mut Self]) -> AddUsersRequest {
        let packages: Vec<_> = joiners.iter_mut().map(|joiner| joiner.package(world)).collect();
        self.adding_packages(world, joiners, packages)
    }

    pub(crate) fn adding_packages(
        &mut self,
        world: &World,
        joiners: &[&mut Self],
        packages: Vec<KeyPackage>,
    ) -> AddUsersRequest {
        let batches = joiners.iter().map(|it| world.batch(&it.config.domain, vec![it.reference()])).collect();
        let joiner = |it: &&mut Self| Joiner { config: it.config.clone(), attribution: Opaque::default() };
        let described = joiners.iter().map(joiner).collect();
        let Commit { request, welcome } = self.commit(packages, &[], joiners.len());
        let CommitRequest { access, commit, group_info } = request;
        AddUsersRequest {
            access,
            commit,
            group_info,
            welcome: welcome.unwrap(),
            joiners: List::new(described).unwrap(),
            batches: List::new(batches).unwrap(),
        }
    }

    /// Adds members that join at once.
    pub(crate) fn add(&mut self, world: &World, joiners: &mut [&mut Self]) -> Result<Accepted, Failure> {
        let request = self.adding(world, joiners);
        let accepted = world.call::<AddUsers>(&request, Some(self.leaf()))?;
        self.merge();
        for joiner in joiners {
            joiner.join(world, &world_welcome(world, joiner));
        }
        Ok(accepted)
    }

    /// Joins by what came through the queue.
    pub(crate) fn join(&mut self, world: &World, content: &[u8]) {
        let bundle = self.open_welcome(content);
        let request = WelcomeInfoRequest { access: bundle.access.clone(), epoch: bundle.epoch, package: self.reference() };
        let reply = world.call::<WelcomeInfo>(&request, Some(self.joiner(&bundle.access))).unwrap();
        let MlsMessageBodyIn::Welcome(welcome) = read(&bundle.welcome).extract() else { panic!("no welcome") };
        let tree = RatchetTreeIn::tls_deserialize_exact_bytes(&reply.tree).unwrap();
        let config = join_config();
        let staged = StagedWelcome::new_from_welcome(&self.provider, &config, welcome, Some(tree)).unwrap();
        let group = staged.into_group(&self.provider).unwrap();
        assert_eq!(group.own_leaf_index().u32(), bundle.leaf.0);
        assert_eq!(reply.roster.members.len(), group.members().count());
        (self.group, self.access) = (Some(group), Some(bundle.access));
    }

    pub(crate) fn open_welcome(&self, content: &[u8]) -> WelcomeBundle {
        let secret = self.package.as_ref().unwrap().init_private_key().to_vec();
        let secret = Secret::new(secret.try_into().unwrap());
        let key = HpkeSecretKey::from_secret_bytes(self.suite, &secret).unwrap();
        WelcomeBundle::open(&key, &self.reference(), content).unwrap()
    }

    /// Makes a commit, with as many keys in its authenticated data as are named.
    pub(crate) fn commit(&mut self, adds: Vec<KeyPackage>, removals: &[u32], keys: usize) -> Commit {
        self.commit_with(adds, removals, keys, LeafNodeParameters::default())
    }

    pub(crate) fn commit_with(
        &mut self,
        adds: Vec<KeyPackage>,
        removals: &[u32],
        keys_sent: usize,
        leaf: LeafNodeParameters,
    ) -> Commit {
        let (signer, access) = (self.signer(), self.access.clone().unwrap());
        let group = self.group.as_mut().unwrap();
        group.clear_pending_commit(self.provider.storage()).unwrap();
        group.set_aad(aad(keys_sent));
        let bundle = group
            .commit_builder()
            .force_self_update(true)
            .leaf_node_parameters(leaf)
            .propose_adds(adds)
            .propose_removals(removals.iter().copied().map(LeafNodeIndex::new))
            .load_psks(self.provider.storage())
            .unwrap()
            .create_group_info(true)
            .build(self.provider.rand(), self.provider.crypto(), &signer, |_| true)
            .unwrap()
            .stage_commit(&self.provider)
            .unwrap();
        let welcome = bundle.to_welcome_msg().map(|it| message(&it));
        let group_info = update(bundle.group_info().unwrap());
        Commit { request: CommitRequest { access, commit: message(bundle.commit()), group_info }, welcome }
    }

    pub(crate) fn merge(&mut self) {
        self.group.as_mut().unwrap().merge_pending_commit(&self.provider).unwrap();
    }

    /// Takes a commit of somebody else.
    pub(crate) fn process(&mut self, commit: &[u8]) {
        let group = self.group.as_mut().unwrap();
        let message = read(commit).try_into_protocol_message().unwrap();
        let processed = group.process_message(&self.provider, message).unwrap();
        let ProcessedMessageContent::StagedCommitMessage(staged) = processed.into_content() else { panic!() };
        group.merge_staged_commit(&self.provider, *staged).unwrap();
    }

    /// Decrypts an application message.
    pub(crate) fn read(&mut self, sent: &[u8]) -> Vec<u8> {
        let group = self.group.as_mut().unwrap();
        let message = read(sent).try_into_protocol_message().unwrap();
        let processed = group.process_message(&self.provider, message).unwrap();
        let ProcessedMessageContent::ApplicationMessage(text) = processed.into_content() else { panic!() };
        text.into_bytes()
    }

    pub(crate) fn message(&mut self, text: &[u8]) -> SendMessageRequest {
        let signer = self.signer();
        let group = self.group.as_mut().unwrap();
        group.set_aad(MessageAad::Application.encode().to_vec());
        let sent = message(&group.create_message(&self.provider, &signer, text).unwrap());
        let id = MessageId(sha256(&sent)[..16].try_into().unwrap());
        let access = self.access.clone().unwrap();
        SendMessageRequest { access, message: sent, id, ephemeral: Flag::No, notify: NotifyClass::Normal }
    }

    pub(crate) fn send(&mut self, world: &World, text: &[u8]) -> Result<Accepted, Failure> {
        let request = self.message(text);
        world.call::<SendMessage>(&request, Some(self.leaf()))
    }

    pub(crate) fn update_config(&mut self, world: &World, config: ClientQueueConfig) -> Result<Empty, Failure> {
        let request = UpdateQueueConfigRequest { access: self.access.clone().unwrap(), config: config.clone() };
        let reply = world.call::<UpdateQueueConfig>(&request, Some(self.leaf()))?;
        self.config = config;
        Ok(reply)
    }

    /// The external commit that joins a connection group.
    pub(crate) fn joining(
        &mut self,
        access: GroupAccess,
        info: &ExternalCommitInfoReply,
        code: Secret<32>,
    ) -> JoinConnectionGroupRequest {
        let MlsMessageBodyIn::GroupInfo(group_info) = read(&info.group_info).extract() else { panic!() };
        let signer = self.signer();
        let (group, bundle) = MlsGroup::external_commit_builder()
            .with_ratchet_tree(RatchetTreeIn::tls_deserialize_exact_bytes(&info.tree).unwrap())
            .with_config(join_config())
            .with_aad(aad(1))
            .build_group(&self.provider, group_info, self.credential_with_key())
            .unwrap()
            .leaf_node_parameters(LeafNodeParameters::builder().with_capabilities(capabilities()).build())
            .load_psks(self.provider.storage())
            .unwrap()
            .create_group_info(true)
            .build(self.provider.rand(), self.provider.crypto(), &signer, |_| true)
            .unwrap()
            .finalize(&self.provider)
            .unwrap();
        (self.group, self.access) = (Some(group), Some(access.clone()));
        let (commit, group_info) = (message(bundle.commit()), update(bundle.group_info().unwrap()));
        JoinConnectionGroupRequest { access, join_code: code, commit, group_info, config: self.config.clone() }
    }

    pub(crate) fn join_connection(
        &mut self,
        world: &World,
        request: &JoinConnectionGroupRequest,
    ) -> Result<Joined, Failure> {
        world.call::<JoinConnectionGroup>(request, Some(self.new_key()))
    }

    pub(crate) fn leaf(&self) -> (Sender, &SigningKey) {
        let leaf = LeafIndex(self.group.as_ref().unwrap().own_leaf_index().u32());
        (Sender::Leaf(self.access.as_ref().unwrap().group.clone(), leaf), &self.key)
    }

    pub(crate) fn new_key(&self) -> (Sender, &SigningKey) {
        (Sender::NewKey(self.key.verifying_key()), &self.key)
    }

    pub(crate) fn joiner(&self, access: &GroupAccess) -> (Sender, &SigningKey) {
        (Sender::KeyPackage(access.group.clone(), self.reference()), &self.key)
    }

    pub(crate) fn index(&self) -> u32 {
        self.group.as_ref().unwrap().own_leaf_index().u32()
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.group.as_ref().unwrap().epoch().as_u64()
    }

    pub(crate) fn credential_with_key(&self) -> CredentialWithKey {
        CredentialWithKey {
            credential: Credential::new(CredentialType::Other(LEAF_CREDENTIAL), self.credential.encode().to_vec()),
            signature_key: self.key.verifying_key().key.to_vec().into(),
        }
    }

    fn signer(&self) -> SignatureKeyPair {
        let scheme = match self.suite {
            Suite::Ed25519 => SignatureScheme::ED25519,
            Suite::P256 => SignatureScheme::ECDSA_SECP256R1_SHA256,
        };
        let secret = self.key.to_secret_bytes().expose().to_vec();
        SignatureKeyPair::from_raw(scheme, secret, self.key.verifying_key().key.to_vec())
    }
}

/// The content of the last welcome for a member.
fn world_welcome(world: &World, member: &Member) -> Vec<u8> {
    let arrived = world.delivered();
    let is_for = |it: &&super::world::Arrived| {
        it.message.recipients.len() == 1 && it.message.recipients[0].config == member.config.sealed
    };
    arrived.iter().rfind(is_for).expect("a welcome").message.content.to_vec()
}

fn context(
    published: &DsPublicKeys,
    creator: Pseudonym,
    connection: Option<&Connection>,
) -> Extensions<GroupContext> {
    let domain: Fqdn = "alpha.test".parse().unwrap();
    let credential = Credential::new(CredentialType::Basic, domain.as_str().as_bytes().to_vec());
    let sender = |key: &[u8]| ExternalSender::new(key.to_vec().into(), credential.clone());
    let senders = published.verifying.iter().map(|it| sender(&it.key.key)).collect();
    let roles = Roles { admins: List::new(vec![creator]).unwrap() };
    let mut required = vec![ExtensionType::Unknown(ROLES_EXTENSION)];
    let mut extensions = vec![
        Extension::ExternalSenders(senders),
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

fn capabilities() -> Capabilities {
    let ours = [ROLES_EXTENSION, CONNECTION_EXTENSION, QUEUE_CONFIG_EXTENSION, VERSIONS_EXTENSION];
    Capabilities::builder()
        .extensions(ours.into_iter().map(ExtensionType::Unknown).collect())
        .proposals(vec![ProposalType::SelfRemove])
        .credentials(vec![CredentialType::Other(LEAF_CREDENTIAL)])
        .build()
}

fn lifetime(world: &World) -> Lifetime {
    let now = world.now().as_secs();
    Lifetime::init(now - DAY, now + 300 * DAY)
}

fn join_config() -> MlsGroupJoinConfig {
    MlsGroupJoinConfig::builder()
        .wire_format_policy(PURE_PLAINTEXT_WIRE_FORMAT_POLICY)
        .use_ratchet_tree_extension(false)
        .max_past_epochs(5)
        .build()
}

fn keys(number: usize) -> MemberKeys {
    let link_key = Opaque::new(vec![number.try_into().unwrap(); 44]).unwrap();
    MemberKeys { link_key, profile_key: Opaque::default() }
}

fn aad(count: usize) -> Vec<u8> {
    CommitAad { keys: List::new((0..count).map(keys).collect()).unwrap(), sealed: Opaque::default() }.encode().to_vec()
}

fn update(info: &GroupInfo) -> GroupInfoUpdate {
    GroupInfoUpdate {
        extensions: Opaque::new(info.extensions().tls_serialize_detached().unwrap()).unwrap(),
        signature: Opaque::decode(&info.signature().tls_serialize_detached().unwrap()).unwrap(),
    }
}

fn message(message: &MlsMessageOut) -> Mls {
    Opaque::new(message.to_bytes().unwrap()).unwrap()
}

fn read(bytes: &[u8]) -> MlsMessageIn {
    MlsMessageIn::tls_deserialize_exact_bytes(bytes).unwrap()
}

fn ciphersuite(suite: Suite) -> Ciphersuite {
    match suite {
        Suite::Ed25519 => Ciphersuite::MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519,
        Suite::P256 => Ciphersuite::MLS_128_DHKEMP256_AES128GCM_SHA256_P256,
    }
}
