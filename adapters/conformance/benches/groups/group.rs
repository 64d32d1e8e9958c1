//! A group, and the one client in it that knows MLS: of the others the DS asks no more than that they sign.

use openmls::{
    messages::group_info::GroupInfo,
    prelude::{
        Ciphersuite, Credential, CredentialType, Extension, ExtensionType, Extensions, ExternalSender,
        GroupContext, LeafNodeParameters, MlsGroup, MlsGroupCreateConfig, MlsMessageOut,
        PURE_PLAINTEXT_WIRE_FORMAT_POLICY, RequiredCapabilitiesExtension, UnknownExtension,
    },
};
use openmls_rust_crypto::OpenMlsRustCrypto;
use openmls_traits::OpenMlsProvider;
use phoenix_core::{
    LeafIndex, MessageId, Pseudonym,
    api::{
        Empty,
        delivery::{
            AddUsers, AddUsersRequest, CommitAad, CommitRequest, CreateGroup, CreateGroupRequest, DsKeys,
            GroupAccess, GroupInfoUpdate, Joiner, MAX_ADDS, MemberKeys, MessageAad, Mls, RequestGroupId,
            SendMessage, SendMessageRequest, UpdateClient,
        },
        mls::{LEAF_CREDENTIAL, ROLES_EXTENSION, Roles},
        queue::NotifyClass,
    },
    crypto::SigningKey,
    token::Class,
    wire::{Call, Flag, List, Opaque, Secret, Sender, Wire},
};
use tls_codec::Serialize;

use crate::{
    calls::{Purse, chance, signed, unsigned},
    home::domain,
    house::House,
    people::{Candidate, Leaf, Person, capabilities, lifetime},
};

pub(crate) struct Group {
    creator: Leaf,
    mls: MlsGroup,
    provider: OpenMlsRustCrypto,
    pub(crate) access: GroupAccess,
    /// The members' keys, by their leaves.
    pub(crate) keys: Vec<SigningKey>,
    /// What everyone says: to the DS all messages of one length are alike.
    pub(crate) said: Mls,
    /// How many entries it took in queues.
    pub(crate) entries: u64,
}

/// What a commit consists of.
struct Made {
    request: CommitRequest,
    welcome: Option<Mls>,
}

impl Group {
    /// A group of its creator and these.
    pub(crate) fn new(
        house: &House,
        purse: &mut Purse,
        creator: &Person,
        candidates: Vec<Candidate>,
    ) -> Self {
        let mut group = Self::of_one(house, purse, creator);
        let mut candidates = candidates.into_iter().peekable();
        while candidates.peek().is_some() {
            let some = candidates.by_ref().take(MAX_ADDS).collect();
            group.add(house, purse, some);
        }
        let signer = group.creator.signer();
        group.mls.set_aad(MessageAad::Application.encode().to_vec());
        let said = group.mls.create_message(&group.provider, &signer, &[7; 200]).unwrap();
        group.said = message(&said);
        group
    }

    pub(crate) const fn members(&self) -> usize {
        self.keys.len()
    }

    /// A member's message.
    pub(crate) fn message(&self, house: &House, purse: &mut Purse, leaf: usize) -> Call {
        let request = SendMessageRequest {
            access: self.access.clone(),
            message: self.said.clone(),
            id: MessageId(chance().bytes()),
            ephemeral: Flag::No,
            notify: NotifyClass::Normal,
        };
        let sender = Sender::Leaf(self.access.group.clone(), LeafIndex(leaf.try_into().unwrap()));
        let key = self.keys.get(leaf).unwrap();
        signed::<SendMessage>(&request, purse.take(house, Class::Standard), sender, &[key])
    }

    /// A commit of the creator that updates its leaf, and the commit as MLS sees it.
    pub(crate) fn update(&mut self, house: &House, purse: &mut Purse) -> (Call, Mls) {
        let Made { request, .. } = self.commit(&[]);
        let token = purse.take(house, Class::Standard);
        let call = signed::<UpdateClient>(&request, token, self.sender(), &[&self.creator.key]);
        (call, request.commit)
    }

    /// The tree and the GroupInfo, from which an observer begins.
    pub(crate) fn exported(&self) -> (Vec<u8>, Mls) {
        let info = self.mls.export_group_info(self.provider.crypto(), &self.creator.signer(), false).unwrap();
        let tree = self.mls.export_ratchet_tree().tls_serialize_detached().unwrap();
        (tree, message(&info))
    }

    fn of_one(house: &House, purse: &mut Purse, person: &Person) -> Self {
        let token = purse.take(house, Class::Home);
        let reservation = house.ask::<RequestGroupId>(unsigned::<RequestGroupId>(&Empty {}, token));
        let (creator, provider) = (Leaf::new(), OpenMlsRustCrypto::default());
        let config = MlsGroupCreateConfig::builder()
            .ciphersuite(SUITE)
            .wire_format_policy(PURE_PLAINTEXT_WIRE_FORMAT_POLICY)
            .use_ratchet_tree_extension(false)
            .capabilities(capabilities())
            .lifetime(lifetime())
            .with_group_context_extensions(context(house, creator.credential.pseudonym))
            .build();
        let id = openmls::prelude::GroupId::from_slice(&reservation.group.encode());
        let (signer, credential) = (creator.signer(), creator.credential_with_key());
        let mls = MlsGroup::new_with_group_id(&provider, &signer, &config, id, credential).unwrap();
        let ear_key = Secret::new(chance().bytes());
        let access =
            GroupAccess { group: reservation.group.clone(), ear_key_id: 0, ear_key: ear_key.clone() };
        let keys = vec![creator.key.clone()];
        let group = Self { creator, mls, provider, access, keys, said: Opaque::default(), entries: 0 };
        let (tree, group_info) = group.exported();
        let tree = Opaque::new(tree).unwrap();
        let config = person.config(Flag::No);
        let request = CreateGroupRequest {
            reservation,
            ear_key_id: 0,
            ear_key,
            tree,
            group_info,
            config,
            keys: member_keys(),
        };
        let sender = Sender::NewKey(group.creator.key.verifying_key());
        let token = purse.take(house, Class::Home);
        house.ask::<CreateGroup>(signed::<CreateGroup>(&request, token, sender, &[&group.creator.key]));
        group
    }

    fn add(&mut self, house: &House, purse: &mut Purse, candidates: Vec<Candidate>) {
        let Made { request, welcome } = self.commit(&candidates);
        let CommitRequest { access, commit, group_info } = request;
        // Those who are there learn of the commit, and the others are invited.
        self.entries += (self.keys.len() + candidates.len()) as u64;
        let (mut joiners, mut batches) = (Vec::new(), Vec::new());
        for Candidate { leaf, config, batch, .. } in candidates {
            self.keys.push(leaf.key);
            joiners.push(Joiner { config, attribution: Opaque::default() });
            batches.push(batch);
        }
        let (joiners, batches) = (List::new(joiners).unwrap(), List::new(batches).unwrap());
        let request =
            AddUsersRequest { access, commit, group_info, welcome: welcome.unwrap(), joiners, batches };
        let token = purse.take(house, Class::Standard);
        house.ask::<AddUsers>(signed::<AddUsers>(&request, token, self.sender(), &[&self.creator.key]));
    }

    /// Makes a commit of the creator that adds some, and takes it for accepted.
    fn commit(&mut self, candidates: &[Candidate]) -> Made {
        let signer = self.creator.signer();
        let keys = candidates.iter().map(|_| member_keys()).collect();
        let aad = CommitAad { keys: List::new(keys).unwrap(), sealed: Opaque::default() };
        self.mls.set_aad(aad.encode().to_vec());
        let bundle = self
            .mls
            .commit_builder()
            .force_self_update(true)
            .leaf_node_parameters(LeafNodeParameters::default())
            .propose_adds(candidates.iter().map(|candidate| candidate.package.clone()))
            .load_psks(self.provider.storage())
            .unwrap()
            .create_group_info(true)
            .build(self.provider.rand(), self.provider.crypto(), &signer, |_| true)
            .unwrap()
            .stage_commit(&self.provider)
            .unwrap();
        let welcome = bundle.to_welcome_msg().map(|it| message(&it));
        let group_info = update(bundle.group_info().unwrap());
        let commit = message(bundle.commit());
        self.mls.merge_pending_commit(&self.provider).unwrap();
        Made { request: CommitRequest { access: self.access.clone(), commit, group_info }, welcome }
    }

    fn sender(&self) -> Sender {
        Sender::Leaf(self.access.group.clone(), LeafIndex(0))
    }
}

fn context(house: &House, creator: Pseudonym) -> Extensions<GroupContext> {
    let published = house.ask::<DsKeys>(unsigned::<DsKeys>(&Empty {}, None));
    let credential = Credential::new(CredentialType::Basic, domain().as_str().as_bytes().to_vec());
    let sender = |key: &[u8]| ExternalSender::new(key.to_vec().into(), credential.clone());
    let senders = published.verifying.iter().map(|it| sender(&it.key.key)).collect();
    let roles = Roles { admins: List::new(vec![creator]).unwrap() };
    let required = RequiredCapabilitiesExtension::new(
        &[ExtensionType::Unknown(ROLES_EXTENSION)],
        &[],
        &[CredentialType::Other(LEAF_CREDENTIAL)],
    );
    let extensions = vec![
        Extension::ExternalSenders(senders),
        Extension::Unknown(ROLES_EXTENSION, UnknownExtension(roles.encode().to_vec())),
        Extension::RequiredCapabilities(required),
    ];
    Extensions::from_vec(extensions).unwrap()
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

/// As long as they are: a sealed key each.
fn member_keys() -> MemberKeys {
    let key = Opaque::new(vec![1; 60]).unwrap();
    MemberKeys { link_key: key.clone(), profile_key: key }
}

pub(crate) const SUITE: Ciphersuite = Ciphersuite::MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519;
