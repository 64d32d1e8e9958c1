//! Those who are in groups: queues, and KeyPackages for them.

use std::collections::BTreeMap;

use bytes::Bytes;
use openmls::prelude::{
    Capabilities, Credential, CredentialType, CredentialWithKey, Extension, ExtensionType, Extensions,
    KeyPackage, Lifetime, ProposalType, SignatureScheme, UnknownExtension,
};
use openmls_basic_credential::SignatureKeyPair;
use openmls_rust_crypto::OpenMlsRustCrypto;
use phoenix_core::{
    ConfigId, Pseudonym, QsClientId, QsUserId,
    api::{
        Empty,
        mls::{
            CONNECTION_EXTENSION, LEAF_CREDENTIAL, QUEUE_CONFIG_EXTENSION, QueueConfigHash, ROLES_EXTENSION,
            VERSIONS_EXTENSION,
        },
        queue::{
            AddPackage, ClientQueueConfig, CreateUser, CreateUserRequest, Dequeue, DequeueRequest,
            FriendshipToken, GetAddPackages, GetAddPackagesRequest, KeyPackageBatch, PublishAddPackages,
            PublishAddPackagesRequest, QsKeys, QueueConfigTbs, SealingKey,
        },
    },
    credential::{LeafCredential, MonthRange},
    crypto::{HpkeSecretKey, SigningKey, Suite, sha256},
    port::Clock,
    published::longest_valid,
    time::Month,
    token::Class,
    wire::{Flag, List, Opaque, Secret, Sender, Wire},
};
use phoenix_homeserver::SystemClock;
use tls_codec::Serialize;

use crate::{
    calls::{Purse, chance, signed, unsigned},
    group::SUITE,
    home::domain,
    house::House,
};

/// A client of the QS.
pub(crate) struct Person {
    client: QsClientId,
    key: SigningKey,
    friendship: FriendshipToken,
    config_key: SealingKey,
    /// What was published and not taken yet, by the KeyPackage.
    published: BTreeMap<Bytes, (Leaf, KeyPackage)>,
}

/// Someone who reads their queue.
pub(crate) struct Reader {
    person: Person,
    /// The first number that was not read.
    next: u64,
}

/// A leaf of a group, or of a KeyPackage.
pub(crate) struct Leaf {
    pub(crate) key: SigningKey,
    pub(crate) credential: LeafCredential,
}

/// Someone who can be added, once.
pub(crate) struct Candidate {
    pub(crate) leaf: Leaf,
    pub(crate) package: KeyPackage,
    pub(crate) config: ClientQueueConfig,
    pub(crate) batch: KeyPackageBatch,
}

impl Person {
    /// Someone with a queue.
    pub(crate) fn new(house: &House, purse: &mut Purse) -> Self {
        let chance = &mut chance();
        let user_key = SigningKey::generate(Suite::Ed25519, chance);
        let key = SigningKey::generate(Suite::Ed25519, chance);
        let request = CreateUserRequest {
            user: QsUserId(chance.bytes()),
            client: QsClientId(chance.bytes()),
            user_key: user_key.verifying_key(),
            client_key: key.verifying_key(),
            friendship_secret: Secret::new(chance.bytes()),
            queue_key: HpkeSecretKey::generate(Suite::Ed25519, chance).public_key().clone(),
        };
        let sender = Sender::NewKey(user_key.verifying_key());
        let token = purse.take(house, Class::Home);
        let route =
            house.ask::<CreateUser>(signed::<CreateUser>(&request, token, sender, &[&user_key, &key]));
        let keys = house.ask::<QsKeys>(unsigned::<QsKeys>(&Empty {}, None));
        let config_key = longest_valid(&keys.queue_config, SystemClock.now()).unwrap().clone();
        let friendship = FriendshipToken { route, secret: request.friendship_secret };
        Self { client: request.client, key, friendship, config_key, published: BTreeMap::new() }
    }

    /// Publishes what it takes to be added so many times.
    pub(crate) fn publish(&mut self, house: &House, purse: &mut Purse, times: usize) {
        let provider = OpenMlsRustCrypto::default();
        let packages = (0..times).map(|_| {
            let (package, made) = self.package(&provider, Flag::No);
            self.published.insert(package.key_package.bytes(), made);
            package
        });
        let packages = List::new(packages.collect()).unwrap();
        let (last_resort, _) = self.package(&provider, Flag::Yes);
        let last_resort = List::new(vec![last_resort]).unwrap();
        let request =
            PublishAddPackagesRequest { client: self.client, packages, last_resort, append: Flag::No };
        let (token, sender) = (purse.take(house, Class::Standard), Sender::QsClient(self.client));
        house.ask::<PublishAddPackages>(signed::<PublishAddPackages>(&request, token, sender, &[&self.key]));
    }

    /// Takes one of what was published.
    pub(crate) fn candidate(&mut self, house: &House, purse: &mut Purse) -> Candidate {
        let request = GetAddPackagesRequest { token: self.friendship.clone(), suite: SUITE as u16 };
        let token = purse.take(house, Class::Standard);
        let reply = house.ask::<GetAddPackages>(unsigned::<GetAddPackages>(&request, token));
        let served = reply.packages.first().unwrap();
        let (leaf, package) = self.published.remove(&served.key_package.bytes()).unwrap();
        Candidate { leaf, package, config: served.config.clone(), batch: reply.batch }
    }

    /// A queue config: for a group's DS, or for an AddPackage.
    pub(crate) fn config(&self, any: Flag) -> ClientQueueConfig {
        let audience = if any.is_set() { None } else { Some(domain()) };
        let expires = months().last;
        let config = ConfigId(chance().bytes());
        let payload =
            QueueConfigTbs { client: self.client, config, audience, expires, generation: 0, push_key: None };
        payload.seal(&domain(), &self.key, &self.config_key, &mut chance()).unwrap()
    }

    fn package(&self, provider: &OpenMlsRustCrypto, last_resort: Flag) -> (AddPackage, (Leaf, KeyPackage)) {
        let (leaf, config) = (Leaf::new(), self.config(Flag::Yes));
        let hash = QueueConfigHash { hash: sha256(&config.encode()) };
        let extension = Extension::Unknown(QUEUE_CONFIG_EXTENSION, UnknownExtension(hash.encode().to_vec()));
        let mut builder = KeyPackage::builder()
            .leaf_node_capabilities(capabilities())
            .key_package_lifetime(lifetime())
            .key_package_extensions(Extensions::from_vec(vec![extension]).unwrap());
        if last_resort.is_set() {
            builder = builder.mark_as_last_resort();
        }
        let bundle = builder.build(SUITE, provider, &leaf.signer(), leaf.credential_with_key()).unwrap();
        let package = bundle.key_package().clone();
        let key_package = Opaque::new(package.tls_serialize_detached().unwrap()).unwrap();
        (AddPackage { key_package, config, link_key: Opaque::default() }, (leaf, package))
    }
}

impl Reader {
    pub(crate) const fn new(person: Person) -> Self {
        Self { person, next: 0 }
    }

    /// Reads what has come, and acknowledges it.
    pub(crate) fn read(&mut self, house: &House) {
        loop {
            let request = DequeueRequest { from: self.next, max: 500, ack_below: self.next, wait_s: 0 };
            let sender = Sender::QsClient(self.person.client);
            let call = signed::<Dequeue>(&request, None, sender, &[&self.person.key]);
            let Some(last) = house.ask::<Dequeue>(call).entries.last().map(|entry| entry.seq) else {
                return;
            };
            self.next = last + 1;
        }
    }
}

impl Leaf {
    pub(crate) fn new() -> Self {
        let chance = &mut chance();
        let credential = LeafCredential {
            pseudonym: Pseudonym(chance.bytes()),
            validity: months(),
            encrypted_identity_link: Opaque::new(vec![1; 1_052]).unwrap(),
        };
        Self { key: SigningKey::generate(Suite::Ed25519, chance), credential }
    }

    pub(crate) fn signer(&self) -> SignatureKeyPair {
        let secret = self.key.to_secret_bytes().expose().to_vec();
        SignatureKeyPair::from_raw(SignatureScheme::ED25519, secret, self.key.verifying_key().key.to_vec())
    }

    pub(crate) fn credential_with_key(&self) -> CredentialWithKey {
        let content = self.credential.encode().to_vec();
        CredentialWithKey {
            credential: Credential::new(CredentialType::Other(LEAF_CREDENTIAL), content),
            signature_key: self.key.verifying_key().key.to_vec().into(),
        }
    }
}

pub(crate) fn capabilities() -> Capabilities {
    let ours = [ROLES_EXTENSION, CONNECTION_EXTENSION, QUEUE_CONFIG_EXTENSION, VERSIONS_EXTENSION];
    Capabilities::builder()
        .extensions(ours.into_iter().map(ExtensionType::Unknown).chain([ExtensionType::LastResort]).collect())
        .proposals(vec![ProposalType::SelfRemove])
        .credentials(vec![CredentialType::Other(LEAF_CREDENTIAL)])
        .build()
}

pub(crate) fn lifetime() -> Lifetime {
    let months = months();
    Lifetime::init(months.first.start().as_secs(), months.last.plus(1).start().as_secs() - 1)
}

fn months() -> MonthRange {
    let first = Month::of(SystemClock.now());
    MonthRange { first, last: first.plus(11) }
}
