//! A member of one group.

use openmls::{
    group::{CommitBuilder, Initial},
    prelude::{
        Credential, CredentialType, CredentialWithKey, Extension, Extensions, GroupContext, KeyPackage,
        KeyPackageBundle, LeafNodeIndex, LeafNodeParameters, MlsGroup, MlsGroupCreateConfig,
        PURE_PLAINTEXT_WIRE_FORMAT_POLICY, ProcessedMessageContent, Proposal, ProposalType, SignatureScheme,
        UnknownExtension,
    },
};
use openmls_basic_credential::SignatureKeyPair;
use openmls_rust_crypto::OpenMlsRustCrypto;
use openmls_traits::OpenMlsProvider as _;
use phoenix_core::{
    Failure, KeyId, LeafIndex, MessageId, Pseudonym,
    api::{
        Empty,
        delivery::{
            Accepted, CommitRequest, ContentKind, CreateGroupRequest, DsPublicKeys, GroupAccess,
            GroupContent, MessageAad, Mls, Proposals, SelfRemoveRequest, SendMessageRequest,
            UpdateQueueConfigRequest,
        },
        mls::{Connection, LEAF_CREDENTIAL, ROLES_EXTENSION, Roles},
        queue::{ClientQueueConfig, NotifyClass, SealedQueueConfig},
    },
    credential::{LeafCredential, MonthRange},
    crypto::{Chance, HpkeCiphertext, SigningKey, Suite, sha256},
    group::ContentHead,
    time::Month,
    wire::{Flag, List, Opaque, Secret, Sender, Wire},
};
use tls_codec::Serialize as _;

use super::{
    World,
    mls::{aad, capabilities, ciphersuite, context, external_senders, keys, lifetime, message, read, update},
    world::Arrived,
};
use crate::{CreateGroup, RequestGroupId, SelfRemove, SendMessage, UpdateClient, UpdateQueueConfig};

pub(crate) struct Member {
    pub(crate) key: SigningKey,
    pub(crate) credential: LeafCredential,
    pub(crate) config: ClientQueueConfig,
    pub(crate) group: Option<MlsGroup>,
    pub(crate) access: Option<GroupAccess>,
    pub(crate) suite: Suite,
    /// Kinds of proposals that its leaf lists.
    pub(crate) lists: Vec<ProposalType>,
    pub(super) provider: OpenMlsRustCrypto,
    pub(super) package: Option<KeyPackageBundle>,
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
        let lists = vec![ProposalType::SelfRemove];
        Self { key, credential, config, group: None, access: None, suite, lists, provider, package: None }
    }

    pub(crate) fn fresh_config(domain: &str, chance: &mut Chance) -> ClientQueueConfig {
        let enc = Opaque::new(chance.bytes::<32>().to_vec()).unwrap();
        let ciphertext = Opaque::new(chance.bytes::<300>().to_vec()).unwrap();
        let sealed = SealedQueueConfig { key: KeyId([1; 16]), sealed: HpkeCiphertext { enc, ciphertext } };
        ClientQueueConfig { domain: domain.parse().unwrap(), any: Flag::No, sealed }
    }

    /// Asks for an id and creates a group.
    pub(crate) fn create(
        &mut self,
        world: &World,
        connection: Option<&Connection>,
    ) -> Result<Empty, Failure> {
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
            .capabilities(capabilities(&self.lists))
            .lifetime(lifetime(world))
            .with_group_context_extensions(context(
                &ring.service.public(world.now()),
                self.credential.pseudonym,
                connection,
            ))
            .build();
        let id = openmls::prelude::GroupId::from_slice(&reservation.group.encode());
        let (signer, credential) = (self.signer(), self.credential_with_key());
        let group = MlsGroup::new_with_group_id(&self.provider, &signer, &config, id, credential).unwrap();
        let ear_key = Secret::new(Chance::from_seed(world.seed()).bytes());
        let access =
            GroupAccess { group: reservation.group.clone(), ear_key_id: 0, ear_key: ear_key.clone() };
        (self.group, self.access) = (Some(group), Some(access));
        let (tree, group_info) = self.exported();
        let (config, keys) = (self.config.clone(), keys(0));
        CreateGroupRequest { reservation, ear_key_id: 0, ear_key, tree, group_info, config, keys }
    }

    /// The group's tree and GroupInfo.
    pub(crate) fn exported(&self) -> (Mls, Mls) {
        let group = self.group.as_ref().unwrap();
        let info = group.export_group_info(self.provider.crypto(), &self.signer(), false).unwrap();
        let tree = group.export_ratchet_tree().tls_serialize_detached().unwrap();
        (Opaque::new(tree).unwrap(), message(&info))
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
        self.commit_by(keys_sent, |it| {
            it.force_self_update(true)
                .leaf_node_parameters(leaf)
                .propose_adds(adds)
                .propose_removals(removals.iter().copied().map(LeafNodeIndex::new))
        })
    }

    /// Makes a commit that holds whatever is asked for.
    pub(crate) fn commit_by(
        &mut self,
        keys_sent: usize,
        how: impl FnOnce(CommitBuilder<'_, Initial>) -> CommitBuilder<'_, Initial>,
    ) -> Commit {
        let (signer, access) = (self.signer(), self.access.clone().unwrap());
        let group = self.group.as_mut().unwrap();
        group.clear_pending_commit(self.provider.storage()).unwrap();
        group.set_aad(aad(keys_sent));
        let bundle = how(group.commit_builder())
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

    /// Proposes to leave.
    pub(crate) fn leaving(&mut self) -> Mls {
        let signer = self.signer();
        let group = self.group.as_mut().unwrap();
        group.clear_pending_commit(self.provider.storage()).unwrap();
        message(&group.leave_group_via_self_remove(&self.provider, &signer).unwrap())
    }

    /// Proposes to leave by a Remove of its own leaf, as clients do that know no SelfRemove.
    pub(crate) fn removing_itself(&mut self) -> Mls {
        let signer = self.signer();
        let group = self.group.as_mut().unwrap();
        group.clear_pending_commit(self.provider.storage()).unwrap();
        message(&group.leave_group(&self.provider, &signer).unwrap())
    }

    /// Asks to leave by this proposal.
    pub(crate) fn self_remove(&self, world: &World, proposal: Mls) -> Result<Accepted, Failure> {
        let request = SelfRemoveRequest { access: self.access.clone().unwrap(), proposal };
        world.call::<SelfRemove>(&request, Some(self.leaf()))
    }

    /// The group's context with other roles.
    pub(crate) fn roles(&self, admins: &[&Self]) -> Extensions<GroupContext> {
        let admins = admins.iter().map(|it| it.credential.pseudonym).collect();
        let roles = Roles { admins: List::new(admins).unwrap() };
        self.context_with(Extension::Unknown(ROLES_EXTENSION, UnknownExtension(roles.encode().to_vec())))
    }

    /// The group's context with one extension replaced, or more.
    pub(crate) fn context_with(&self, extension: Extension) -> Extensions<GroupContext> {
        let mut extensions = self.group.as_ref().unwrap().extensions().clone();
        extensions.add_or_replace(extension).unwrap();
        extensions
    }

    /// The group's context with these external senders.
    pub(crate) fn senders(&self, published: &DsPublicKeys) -> Extensions<GroupContext> {
        self.context_with(external_senders(published))
    }

    /// A commit that changes the group's context.
    pub(crate) fn changing(&mut self, extensions: Extensions<GroupContext>) -> CommitRequest {
        self.commit_by(0, |it| {
            it.force_self_update(true).propose_group_context_extensions(extensions).unwrap()
        })
        .request
    }

    /// Commits an update of its leaf, and merges it.
    pub(crate) fn update(&mut self, world: &World) -> Result<Accepted, Failure> {
        let commit = self.commit(Vec::new(), &[], 0);
        let accepted = world.call::<UpdateClient>(&commit.request, Some(self.leaf()))?;
        self.merge();
        Ok(accepted)
    }

    /// What came for this member, opened; welcomes are left out.
    pub(crate) fn contents(&self, arrived: &[Arrived]) -> Vec<GroupContent> {
        let ear_key = &self.access.as_ref().unwrap().ear_key;
        let is_own = |it: &&Arrived| it.message.recipients.iter().any(|to| to.config == self.config.sealed);
        let open = |it: &Arrived| ContentHead::of(&it.message).open(ear_key, &it.message.content).ok();
        arrived.iter().filter(is_own).filter_map(open).collect()
    }

    /// The proposals that came for this member, and who is named as their sender.
    pub(crate) fn proposals(&self, arrived: &[Arrived]) -> Vec<(LeafIndex, Mls)> {
        let contents = self.contents(arrived).into_iter().filter(|it| it.kind == ContentKind::Proposal);
        contents
            .flat_map(|it| {
                let proposals = Proposals::decode(&it.message).unwrap();
                proposals.into_iter().map(move |proposal| (it.sender, proposal))
            })
            .collect()
    }

    /// Does what a client does with what came: takes commits and proposals, and merges its own.
    pub(crate) fn follow(&mut self, arrived: &[Arrived]) {
        for GroupContent { kind, sender: _, message } in self.contents(arrived) {
            match kind {
                ContentKind::Commit => self.process(&message),
                ContentKind::CommitAccepted => {
                    if self.group.as_ref().unwrap().pending_commit().is_some() {
                        self.merge();
                    }
                }
                ContentKind::Proposal => {
                    Proposals::decode(&message).unwrap().iter().for_each(|it| self.hear(it));
                }
                ContentKind::Application
                | ContentKind::Targeted
                | ContentKind::ProfileKey
                | ContentKind::ConfigEnds => {}
            }
        }
    }

    /// Takes a proposal of somebody else, to be committed next; but not that it be removed itself, which nobody
    /// can commit.
    pub(crate) fn hear(&mut self, proposal: &[u8]) {
        let group = self.group.as_mut().unwrap();
        let message = read(proposal).try_into_protocol_message().unwrap();
        let processed = group.process_message(&self.provider, message).unwrap();
        let ProcessedMessageContent::ProposalMessage(queued) = processed.into_content() else { panic!() };
        let own = group.own_leaf_index();
        if !matches!(queued.proposal(), Proposal::Remove(it) if it.removed() == own) {
            group.store_pending_proposal(self.provider.storage(), *queued).unwrap();
        }
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

    pub(crate) fn update_config(
        &mut self,
        world: &World,
        config: ClientQueueConfig,
    ) -> Result<Empty, Failure> {
        let request = self.config_update(&config, Flag::No);
        let reply = world.call::<UpdateQueueConfig>(&request, Some(self.leaf()))?;
        self.config = config;
        Ok(reply)
    }

    /// As [`Member::update_config`], by one that leaves the queue that the former config leads to.
    pub(crate) fn leave_queue(&mut self, world: &World, config: ClientQueueConfig) -> Result<Empty, Failure> {
        let request = self.config_update(&config, Flag::Yes);
        let reply = world.call::<UpdateQueueConfig>(&request, Some(self.leaf()))?;
        self.config = config;
        Ok(reply)
    }

    fn config_update(&self, config: &ClientQueueConfig, ends: Flag) -> UpdateQueueConfigRequest {
        UpdateQueueConfigRequest { access: self.access.clone().unwrap(), config: config.clone(), ends }
    }

    pub(crate) fn leaf(&self) -> (Sender, &SigningKey) {
        let leaf = LeafIndex(self.group.as_ref().unwrap().own_leaf_index().u32());
        (Sender::Leaf(self.access.as_ref().unwrap().group.clone(), leaf), &self.key)
    }

    pub(crate) fn new_key(&self) -> (Sender, &SigningKey) {
        (Sender::NewKey(self.key.verifying_key()), &self.key)
    }

    pub(crate) fn index(&self) -> u32 {
        self.group.as_ref().unwrap().own_leaf_index().u32()
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.group.as_ref().unwrap().epoch().as_u64()
    }

    pub(crate) fn credential_with_key(&self) -> CredentialWithKey {
        CredentialWithKey {
            credential: Credential::new(
                CredentialType::Other(LEAF_CREDENTIAL),
                self.credential.encode().to_vec(),
            ),
            signature_key: self.key.verifying_key().key.to_vec().into(),
        }
    }

    pub(super) fn signer(&self) -> SignatureKeyPair {
        let scheme = match self.suite {
            Suite::Ed25519 => SignatureScheme::ED25519,
            Suite::P256 => SignatureScheme::ECDSA_SECP256R1_SHA256,
        };
        let secret = self.key.to_secret_bytes().expose().to_vec();
        SignatureKeyPair::from_raw(scheme, secret, self.key.verifying_key().key.to_vec())
    }
}
