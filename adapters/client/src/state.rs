//! All that a client must keep to go on.

use phoenix_core::{
    AliasHash, ClientId, ConfigId, Fingerprint, Fqdn, GroupId, KeyPackageRef, QsClientId, QsUserId,
    Timestamp, UserId, Uuid,
    api::queue::FriendshipToken,
    credential::ClientCredential,
    crypto::{HpkeSecretKey, SigningKey, Suite, VerifyingKey},
    time::Month,
    wire::{Flag, Secret},
};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use crate::{
    further::Provisioned,
    group::GroupRecord,
    inbox::Inbox,
    made::Made,
    mls::{leaf::OwnLeaf, provider::Stored},
    offer::ConnectionOffer,
    outbox::Outbox,
    profile::ProfileKey,
    provision::Shared,
    published::Published,
    revoked::Seen,
    settings::Stretch,
    table::Table,
    token_keys::KnownKeys,
    wallet::Wallet,
};

/// Everything that is saved. Its encoding is secret.
#[derive(Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct State {
    pub(crate) version: u8,
    pub(crate) account: Account,
    pub(crate) record: Option<Record>,
    /// Records that we had before, the oldest first.
    pub(crate) former: Table<u32, Former>,
    pub(crate) wallet: Wallet,
    /// Our AddPackages, by the queue config that came with them.
    pub(crate) packages: Table<ConfigId, Package>,
    /// Keys of our connection packages, by the SHA-256 of the package.
    pub(crate) doors: Table<[u8; 32], Door>,
    pub(crate) aliases: Table<AliasHash, Alias>,
    pub(crate) friends: Table<UserId, Friend>,
    /// Offers that were not answered yet, by their SHA-256.
    pub(crate) offers: Table<[u8; 32], Offered>,
    /// Offers of ours, by their SHA-256.
    pub(crate) made: Table<[u8; 32], Made>,
    /// What other clients of our user gave us, until it is confirmed.
    pub(crate) provisions: Table<Uuid, Provisioned>,
    /// What our user's clients have in common, as another of them gave it to us, until we are a client of that record.
    pub(crate) shared: Option<Shared>,
    /// The key of our profile, and its version.
    pub(crate) profile: Option<ProfileKey>,
    /// That of a profile of which we do not know whether it was published.
    pub(crate) profile_sent: Option<ProfileKey>,
    pub(crate) groups: Table<GroupId, GroupRecord>,
    /// Through which queue config which group's messages come.
    pub(crate) configs: Table<ConfigId, GroupId>,
    /// Queue configs that were replaced: what comes through them eight days later is not for us (06).
    pub(crate) retired: Table<ConfigId, Retired>,
    /// What each domain's AS published last: serials never go back.
    pub(crate) authorities: Table<Fqdn, Published>,
    /// Credentials that verified, by their fingerprints: whoever has one of them revoked is revoked.
    pub(crate) seen: Table<Fingerprint, Seen>,
    /// Since which second clients that we know are revoked, whatever credentials they had.
    pub(crate) revoked: Table<[u8; 32], u64>,
    /// Other clients of our own user that the application was told of; with their keys, where those were compared.
    pub(crate) own_clients: Table<Uuid, Option<VerifyingKey>>,
    /// The attribution key before the present one: invitations may be on their way.
    pub(crate) former_attribution: Option<Secret<32>>,
    /// The token keys that each domain published last, the same for everyone: serials never go back.
    pub(crate) token_keys: Table<Fqdn, KnownKeys>,
    /// Domains that showed different token keys to different clients.
    pub(crate) suspects: Table<Fqdn, Flag>,
    /// Events that the application did not take yet.
    pub(crate) outbox: Outbox,
    pub(crate) mls: Stored,
}

impl State {
    /// The state of a client that has just registered.
    pub(crate) fn new(account: Account) -> Self {
        Self {
            version: VERSION,
            account,
            record: None,
            former: Table::default(),
            wallet: Wallet::default(),
            packages: Table::default(),
            doors: Table::default(),
            aliases: Table::default(),
            friends: Table::default(),
            offers: Table::default(),
            made: Table::default(),
            provisions: Table::default(),
            shared: None,
            profile: None,
            profile_sent: None,
            groups: Table::default(),
            configs: Table::default(),
            retired: Table::default(),
            authorities: Table::default(),
            seen: Table::default(),
            revoked: Table::default(),
            own_clients: Table::default(),
            former_attribution: None,
            token_keys: Table::default(),
            suspects: Table::default(),
            outbox: Outbox::default(),
            mls: Stored::default(),
        }
    }

    /// Our records at QSs, the oldest first: the last one is the one that we have now.
    pub(crate) fn records(&self) -> impl Iterator<Item = &Record> {
        self.former.values().map(|former| &former.record).chain(&self.record)
    }

    /// The queue that we have now.
    pub(crate) fn queue(&self) -> Option<QsClientId> {
        self.record.as_ref().map(|record| record.client)
    }

    /// One of our records.
    pub(crate) fn record_of(&mut self, queue: &QsClientId) -> Option<&mut Record> {
        let former = self.former.values_mut().map(|former| &mut former.record);
        former.chain(&mut self.record).find(|record| record.client == *queue)
    }
}

/// The client towards its AS.
#[derive(Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct Account {
    pub(crate) client: ClientId,
    pub(crate) suite: Suite,
    pub(crate) credential: ClientCredential,
    /// None where the key lives in hardware.
    pub(crate) key: Option<SigningKey>,
    pub(crate) circuit: u64,
    pub(crate) inbox: Inbox,
    /// What stretching the password costs: the same each time.
    pub(crate) stretch: Stretch,
    /// Whether the credential was renewed, and what carries the former one is still published.
    pub(crate) is_renewed: Flag,
}

/// The client towards its QS: related to the account by nothing but this state.
#[derive(Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct Record {
    pub(crate) user: QsUserId,
    pub(crate) client: QsClientId,
    pub(crate) user_key: SigningKey,
    pub(crate) client_key: SigningKey,
    pub(crate) circuit: u64,
    pub(crate) inbox: Inbox,
    pub(crate) friendship: FriendshipKeys,
    /// The key that takes the client key's place, from when it was made until the QS has it.
    pub(crate) next_key: Option<SigningKey>,
    /// The same for the user key.
    pub(crate) next_user_key: Option<SigningKey>,
    /// Of our queue configs.
    pub(crate) generation: u32,
    /// Those of earlier generations are void at the QS.
    pub(crate) min_generation: u32,
    /// When those of earlier generations than the present one are to be made void.
    pub(crate) void_at: Timestamp,
    /// Opens our push token, where there is one; our queue configs bring it.
    pub(crate) push_key: Option<Secret<32>>,
    /// Whether the QS has told that few AddPackages are left.
    pub(crate) is_low: Flag,
}

impl Record {
    /// The record of a user's client as it was just made: its keys, and its queue with the circuit that leads there.
    pub(crate) fn new(
        (user, client): (QsUserId, QsClientId),
        (user_key, client_key): (SigningKey, SigningKey),
        (circuit, inbox): (u64, Inbox),
        friendship: FriendshipKeys,
    ) -> Self {
        Self {
            user,
            client,
            user_key,
            client_key,
            circuit,
            inbox,
            friendship,
            next_key: None,
            next_user_key: None,
            generation: 0,
            min_generation: 0,
            void_at: Timestamp(0),
            push_key: None,
            is_low: Flag::No,
        }
    }

    /// The homeserver whose QS it is at: our user's own, or one that our queue was moved to.
    pub(crate) const fn domain(&self) -> &Fqdn {
        &self.friendship.domain
    }
}

/// A record that we leave: its queue is read until nothing more comes.
#[derive(Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct Former {
    pub(crate) record: Record,
    /// When we began to leave it.
    pub(crate) since: Timestamp,
    /// Until when it stays at least: invitations may be on their way.
    pub(crate) until: Timestamp,
    /// Groups that have another queue config now, and since when, until they say that nothing follows through this one.
    pub(crate) unended: Table<GroupId, Timestamp>,
    /// Whether its queue was read to the end after the last group had another config.
    pub(crate) is_read: Flag,
    /// Whether all groups are to leave it at once.
    pub(crate) is_hurried: Flag,
}

/// What friends get of each other (01, "Friendship keys").
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct FriendshipKeys {
    /// The homeserver whose QS knows the token.
    pub(crate) domain: Fqdn,
    /// Authorises fetching the user's AddPackages.
    pub(crate) token: FriendshipToken,
    /// Opens the link keys in them.
    pub(crate) encryption_key: Secret<32>,
    /// Seals the attribution of welcomes.
    pub(crate) attribution_key: Secret<32>,
}

/// An AddPackage of ours that someone may have taken.
#[derive(Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct Package {
    /// The queue that its config leads to.
    pub(crate) queue: QsClientId,
    pub(crate) reference: KeyPackageRef,
    pub(crate) leaf: OwnLeaf,
    pub(crate) init_key: HpkeSecretKey,
    pub(crate) last_resort: Flag,
    /// Last second of its lifetime.
    pub(crate) not_after: u64,
}

/// A queue config that was replaced.
#[derive(Clone, Copy, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct Retired {
    /// The queue that it leads to.
    pub(crate) queue: QsClientId,
    pub(crate) at: Timestamp,
    /// The last month in which it could be used.
    pub(crate) expires: Month,
}

/// The key of a connection package.
#[derive(Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct Door {
    pub(crate) key: HpkeSecretKey,
    /// The alias that it was published under, if so.
    pub(crate) alias: Option<AliasHash>,
    pub(crate) not_after: u64,
}

/// An alias of ours.
#[derive(Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct Alias {
    pub(crate) key: SigningKey,
    pub(crate) circuit: u64,
    pub(crate) inbox: Inbox,
    /// Whether the AS has surely registered it.
    pub(crate) is_registered: Flag,
    /// Until when the AS keeps it, in seconds, as far as we know.
    pub(crate) expires: u64,
}

/// A user that we are connected with.
#[derive(Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct Friend {
    pub(crate) keys: FriendshipKeys,
    /// The client's key, pinned: another key is another client.
    pub(crate) key: VerifyingKey,
    /// The credential with that key that we saw last.
    pub(crate) credential: Fingerprint,
    /// The key of our user that they have pinned: another client's, where we have them from it.
    pub(crate) ours: VerifyingKey,
    /// Whether they take us for our user, though it is another client's key that they have pinned.
    pub(crate) is_told: Flag,
    /// Further clients that it vouches for, with their keys.
    pub(crate) further: Table<Uuid, VerifyingKey>,
    /// Whether they do not know yet what we have to tell: other friendship keys, further clients.
    pub(crate) is_news_due: Flag,
    /// Another key that they showed last, which is not believed until it was compared.
    pub(crate) shown: Option<(ClientId, VerifyingKey)>,
    /// Whether the application was told that it is revoked.
    pub(crate) is_revoked: Flag,
    /// The connection group.
    pub(crate) group: GroupId,
    pub(crate) circuit: u64,
}

/// An offer that was received and not answered yet.
#[derive(Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct Offered {
    pub(crate) offer: ConnectionOffer,
    pub(crate) alias: Option<AliasHash>,
}

/// Version of the encoding.
pub(crate) const VERSION: u8 = 7;
