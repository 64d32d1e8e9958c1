//! A client whose groups are mls-rs's: a second reading of the protocol, beside the reference client's on OpenMLS.
//!
//! It borrows of the reference client only what knows no MLS: an account, and its wallet of tokens. Its record at
//! the QS, its packages, connections and groups are its own; what it sends is made of phoenix-core's types.

mod call;
mod connection;
mod frames;
mod group;
mod identity;
mod invite;
mod join;
mod leaf;
mod leave;
mod mls;
mod offer;
mod package;
mod queue;

use std::collections::BTreeMap;

use phoenix_client::{Client, Settings};
use phoenix_core::{
    ConfigId, Fqdn, GroupId, QsClientId, QsUserId, UserId,
    api::{
        Empty,
        auth::AsCredentials,
        queue::{
            ClientQueueConfig, CreateUser, CreateUserRequest, DeleteClient, DeleteClientRequest,
            FriendshipToken, QsKeys, QueueConfigTbs,
        },
    },
    credential::AsKeys,
    crypto::{HpkeSecretKey, SigningKey, Suite},
    queue::ClientRatchet,
    wire::{Secret, Sender},
};

pub(crate) use group::Known;
pub(crate) use mls::Change;
pub(crate) use package::ORDINARY;
pub(crate) use queue::Heard;

use self::{
    call::{Auth, Caller},
    connection::Alias,
    group::Membership,
    leaf::{OwnLeaf, validity},
    offer::FriendshipKeys,
    package::Package,
};
use crate::site::{Site, fqdn, password};

/// A client of one user.
pub(crate) struct SecondClient {
    caller: Caller,
    /// Of its keys, and of the groups that it makes.
    suite: Suite,
    record: Record,
    alias: Option<Alias>,
    packages: BTreeMap<ConfigId, Package>,
    friends: BTreeMap<UserId, FriendshipKeys>,
    groups: BTreeMap<GroupId, Membership>,
    /// Through which queue config which group's messages come.
    configs: BTreeMap<ConfigId, GroupId>,
}

/// The client towards its QS.
struct Record {
    client: QsClientId,
    key: SigningKey,
    ratchet: ClientRatchet,
    friendship: FriendshipKeys,
}

impl SecondClient {
    /// Registers a user, with a queue, and packages by which friends add it.
    pub(crate) fn register(site: &mut Site, name: &str, domain: &str, suite: Suite) -> Self {
        let account = site.register_with(Settings::new(fqdn(domain), password(name)), suite);
        let mut caller = Caller::new(site, account);
        site.run(async move {
            let record = create_record(&mut caller, suite).await;
            let mut client = Self {
                caller,
                suite,
                record,
                alias: None,
                packages: BTreeMap::new(),
                friends: BTreeMap::new(),
                groups: BTreeMap::new(),
                configs: BTreeMap::new(),
            };
            client.publish_packages().await;
            client
        })
    }

    /// The account that it borrows.
    pub(crate) fn account(&self) -> &Client {
        &self.caller.account.client
    }

    /// Ends the record at the QS, with the queue: what is sent to us from now on comes to nobody.
    pub(crate) async fn end_record(&mut self) {
        let client = self.record.client;
        let (domain, auth) = (self.caller.domain(), Auth::new(Sender::QsClient(client), &self.record.key));
        let request = DeleteClientRequest { client };
        self.caller.call::<DeleteClient>(&domain, Some(auth), &request).await.unwrap();
    }

    fn fresh_leaf(&mut self, suite: Suite) -> OwnLeaf {
        let now = self.caller.now();
        let Caller { account, chance, .. } = &mut self.caller;
        OwnLeaf::generate(suite, (&account.credential, account.key.as_ref()), now, chance)
    }

    /// A queue config of our own: for one domain's DS, or for any.
    async fn make_config(&mut self, audience: Option<Fqdn>) -> (ConfigId, ClientQueueConfig) {
        let domain = self.caller.domain();
        let keys = self.caller.call::<QsKeys>(&domain, None, &Empty {}).await.unwrap();
        let key = keys.queue_config.iter().max_by_key(|key| key.not_after).unwrap();
        let (client, config) = (self.record.client, ConfigId(self.caller.chance.bytes()));
        let expires = validity(self.caller.now()).last;
        let payload = QueueConfigTbs { client, config, audience, expires, generation: 0, push_key: None };
        (config, payload.seal(&domain, &self.record.key, key, &mut self.caller.chance).unwrap())
    }

    /// A queue config for a group, whose messages are taken for the group's from now on.
    async fn make_group_config(&mut self, group: &GroupId) -> ClientQueueConfig {
        let (id, config) = self.make_config(Some(group.domain.clone())).await;
        self.configs.insert(id, group.clone());
        config
    }

    /// The keys of a domain's AS, verified.
    async fn authority(&mut self, domain: &Fqdn) -> AsKeys {
        let identity = self.caller.call::<AsCredentials>(domain, None, &Empty {}).await.unwrap();
        AsKeys::verify(identity, domain, self.caller.now()).unwrap()
    }
}

/// Makes a record at the QS, which nothing relates to the account.
async fn create_record(caller: &mut Caller, suite: Suite) -> Record {
    let (user_key, key) =
        (SigningKey::generate(suite, &mut caller.chance), SigningKey::generate(suite, &mut caller.chance));
    let queue_key = HpkeSecretKey::generate(suite, &mut caller.chance);
    let (client, secret) = (QsClientId(caller.chance.bytes()), Secret::new(caller.chance.bytes()));
    let request = CreateUserRequest {
        user: QsUserId(caller.chance.bytes()),
        client,
        user_key: user_key.verifying_key(),
        client_key: key.verifying_key(),
        friendship_secret: secret.clone(),
        queue_key: queue_key.public_key().clone(),
    };
    let auth = Auth::of_new_key(&user_key).with_co_signer(&key);
    let route = caller.call::<CreateUser>(&caller.domain(), Some(auth), &request).await.unwrap();
    let friendship = FriendshipKeys {
        domain: caller.domain(),
        token: FriendshipToken { route, secret },
        encryption_key: Secret::new(caller.chance.bytes()),
        attribution_key: Secret::new(caller.chance.bytes()),
    };
    Record { client, key, ratchet: ClientRatchet::new(queue_key), friendship }
}
