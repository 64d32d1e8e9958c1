//! Clients of one user: one gives the other what they have in common (04).

use std::mem;

use phoenix_core::{
    ClientId, Reject, UserId, Uuid,
    api::auth::{EnqueueOffer, EnqueueOfferRequest},
    crypto::{VerifyingKey, sha256},
    wire::{Flag, List, Wire},
};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use crate::{
    direct::DirectMessage,
    error::ClientError,
    event::Event,
    fingerprint::KeyFingerprint,
    provision::{KnownFriend, MAX_FRIENDS, Provision, ProvisionTbs, Shared, is_stale},
    session::Session,
    state::Friend,
    table::Table,
};

/// What another client of our user gave us; verified, and of no effect until its key was compared.
#[derive(Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct Provisioned {
    created_at: u64,
    key: VerifyingKey,
    /// None once it was taken over.
    shared: Option<Shared>,
    friends_in_all: u16,
    friends: Table<UserId, KnownFriend>,
    /// Whether all parts have come, and the application was told.
    is_told: Flag,
}

impl Session {
    /// The fingerprint of our key.
    pub(crate) fn fingerprint(&self) -> KeyFingerprint {
        KeyFingerprint::of(self.client(), &self.signer.verifying_key())
    }

    /// Gives another client of our user what we have in common, if it has the key that its user read out.
    pub(crate) async fn provision(
        &mut self,
        client: Uuid,
        fingerprint: &KeyFingerprint,
    ) -> Result<(), ClientError> {
        let to = ClientId { user: self.client().user.clone(), client };
        if self.state.friends.len() > MAX_FRIENDS {
            return Err(TOO_MANY);
        }
        let package = self.package_of(&to).await?;
        if KeyFingerprint::of(&to, &package.payload.credential.payload.key) != *fingerprint {
            return Err(Reject::Unauthenticated.into());
        }
        self.vouch_for(client, package.payload.credential.payload.key.clone()).await;
        let (shared, friends) = (self.shared()?, self.known_friends());
        let friends_in_all = u16::try_from(friends.len()).map_err(|_| TOO_MANY)?;
        let (key, hash) = (package.payload.package.encryption_key.clone(), sha256(&package.encode()));
        let created_at = self.now().as_secs();
        for friends in parts(friends) {
            let payload = ProvisionTbs {
                credential: self.state.account.credential.clone(),
                target: to.clone(),
                package: hash,
                created_at,
                shared: shared.clone(),
                friends_in_all,
                friends: List::new(friends)?,
            };
            let provision = Provision::sign(payload, self.signer.as_ref())?;
            let ciphertext = DirectMessage::Provision(provision).seal(&key, &hash, &mut self.chance)?;
            let route = self.fresh_route(&to.user.domain);
            let request = EnqueueOfferRequest { to: to.clone(), ciphertext };
            self.call::<EnqueueOffer>(&route, None, &request).await?;
        }
        Ok(())
    }

    /// Takes a client for one of our own user, and tells our friends. Whom it cannot be told now, hears it later.
    async fn vouch_for(&mut self, client: Uuid, key: VerifyingKey) {
        let known = self.state.own_clients.insert(client, Some(key.clone()));
        if known.flatten() != Some(key) {
            self.state.friends.values_mut().for_each(|friend| friend.is_news_due = Flag::Yes);
        }
        let _ = self.tell_friends().await;
    }

    /// Keeps what another client of our user gives, and tells when all of it has come. What was told is not told
    /// again, nor is anything that is older.
    pub(crate) async fn take_provision(&mut self, provision: Provision) -> Result<(), ClientError> {
        let own = self.client().clone();
        let ProvisionTbs { credential, created_at, .. } = &provision.payload;
        let (from, created_at) = (credential.payload.client.clone(), *created_at);
        let is_over = |it: &Provisioned| {
            created_at < it.created_at || created_at == it.created_at && it.is_told.is_set()
        };
        // Before anyone is asked about it.
        if !provision.is_for(&own, self.now()) || self.state.provisions.get(&from.client).is_some_and(is_over)
        {
            return Ok(());
        }
        let sender = self.verify_stranger(credential).await?;
        provision.verify(&sender, &own, self.now())?;
        let fingerprint = KeyFingerprint::of(&from, sender.key());
        if self.keep_provision(provision.payload) {
            self.tell(Event::ProvisionOffered { from: from.client, fingerprint });
        }
        Ok(())
    }

    /// Takes over what another client gave, if it has the key that its user read out.
    pub(crate) async fn accept_provision(
        &mut self,
        from: Uuid,
        fingerprint: &KeyFingerprint,
    ) -> Result<(), ClientError> {
        let (now, user) = (self.now(), self.client().user.clone());
        let given = self.state.provisions.get_mut(&from);
        let given = given.filter(|it| it.is_told.is_set() && !is_stale(it.created_at, now)).ok_or(NONE)?;
        if KeyFingerprint::of(&ClientId { user, client: from }, &given.key) != *fingerprint {
            return Err(Reject::Unauthenticated.into());
        }
        let (shared, friends) = (given.shared.take().ok_or(NONE)?, mem::take(&mut given.friends));
        let key = given.key.clone();
        self.state.shared = Some(shared);
        self.state.own_clients.insert(from, Some(key));
        for (user, friend) in friends.iter() {
            self.take_friend(user, friend);
        }
        self.become_further().await
    }

    /// Becomes a client of the record that another client gave us. What fails is done with the next `maintain`.
    pub(crate) async fn become_further(&mut self) -> Result<(), ClientError> {
        let Some(shared) = self.state.shared.clone() else { return Ok(()) };
        self.adopt_record(shared).await?;
        self.state.shared = None;
        Ok(())
    }

    /// A friend that another client knows. Whom we know already keeps its key and group; by another key, that is told.
    fn take_friend(&mut self, user: &UserId, known: &KnownFriend) {
        if self.check_pin(user, &known.key).is_err() || *user == self.client().user {
            return;
        }
        let KnownFriend { user, keys, key, credential, ours, is_told, group } = known.clone();
        if let Some(friend) = self.state.friends.get_mut(&user) {
            if friend.group == group {
                (friend.keys, friend.is_told) = (keys, is_told);
            }
            return;
        }
        let (is_revoked, shown, circuit) = (Flag::No, None, self.fresh_circuit());
        let (further, is_news_due) = (Table::default(), Flag::No);
        let friend = Friend {
            keys,
            key,
            credential,
            ours,
            is_told,
            further,
            is_news_due,
            shown,
            is_revoked,
            group,
            circuit,
        };
        self.state.friends.insert(user.clone(), friend);
        self.check_faces(&user);
    }

    /// Says whether that makes it whole.
    fn keep_provision(&mut self, payload: ProvisionTbs) -> bool {
        let ProvisionTbs { credential, created_at, shared, friends_in_all, friends, .. } = payload;
        let (from, key) = (credential.payload.client.client, credential.payload.key);
        let (now, provisions) = (self.now(), &mut self.state.provisions);
        // Parts of an older one, or of one that another key has signed, are no parts of this.
        provisions.retain(|client, it| {
            let is_same = it.created_at == created_at && it.key == key;
            !is_stale(it.created_at, now) && (*client != from || is_same)
        });
        if provisions.len() >= MAX_PROVISIONS && !provisions.contains_key(&from) {
            let oldest = provisions.iter().min_by_key(|(_, it)| it.created_at).map(|(client, _)| *client);
            oldest.and_then(|client| provisions.remove(&client));
        }
        let kept = provisions.entry(from).or_insert_with(|| Provisioned {
            created_at,
            key,
            shared: Some(shared),
            friends_in_all,
            friends: Table::default(),
            is_told: Flag::No,
        });
        kept.friends.extend(friends.into_iter().map(|friend| (friend.user.clone(), friend)));
        let is_whole = kept.friends.len() == usize::from(kept.friends_in_all);
        kept.is_told = is_whole.into();
        is_whole
    }

    /// What our user's clients have in common: as it was given to us, or as we made it.
    pub(crate) fn shared(&self) -> Result<Shared, ClientError> {
        if let Some(shared) = &self.state.shared {
            return Ok(shared.clone());
        }
        let record = self.record()?;
        let (user_key, friendship) = (record.user_key.clone(), record.friendship.clone());
        Ok(Shared { user: record.user, user_key, friendship })
    }

    fn known_friends(&self) -> Vec<KnownFriend> {
        let known = self.state.friends.iter().map(|(user, friend)| KnownFriend {
            user: user.clone(),
            keys: friend.keys.clone(),
            key: friend.key.clone(),
            credential: friend.credential,
            ours: friend.ours.clone(),
            is_told: Flag::from(!friend.is_news_due.is_set()),
            group: friend.group.clone(),
        });
        known.collect()
    }
}

/// Friends in parts that fit into one message each; one part without any where there are none.
fn parts(friends: Vec<KnownFriend>) -> Vec<Vec<KnownFriend>> {
    let (mut parts, mut part, mut length) = (Vec::new(), Vec::new(), 0_usize);
    for friend in friends {
        let more = friend.encode().len();
        if length.saturating_add(more) > PART {
            parts.push(mem::take(&mut part));
            length = 0;
        }
        length = length.saturating_add(more);
        part.push(friend);
    }
    parts.push(part);
    parts
}

/// Bytes of friends in one part: with all else and the padding, less than 16 KiB.
const PART: usize = 12 * 1024;
/// Clients whose provisions wait to be confirmed: as many as a user has (04).
const MAX_PROVISIONS: usize = 10;

const NONE: ClientError = ClientError::State("no such provision");
const TOO_MANY: ClientError = ClientError::State("more connections than one provision holds");
