//! Connections (04, "Connection establishment").

use phoenix_client::alias_hash;
use phoenix_core::{
    AliasHash, ErrorReply, GroupId, UserId,
    api::{
        auth::{
            AliasDequeue, AliasPublishPackages, AliasPublishRequest, AliasRegister, AliasRegisterRequest,
            EnqueueOffer, EnqueueOfferRequest, GetConnectionPackage,
        },
        mls::Connection,
        queue::DequeueRequest,
    },
    credential::{ExpirationData, PackagePayload},
    crypto::{HpkeSecretKey, Signer as _, SigningKey, sha256},
    queue::ClientRatchet,
    time::DAY,
    wire::{List, Secret, Sender, VERSION, Wire},
};

use super::{
    SecondClient,
    call::Auth,
    offer::{ConnectionOffer, ConnectionOfferTbs, DirectMessage, Target},
};

/// A handle by which strangers find us. Its queue is our own, unlike the account's.
pub(crate) struct Alias {
    hash: AliasHash,
    key: SigningKey,
    ratchet: ClientRatchet,
    package: ([u8; 32], HpkeSecretKey),
}

impl SecondClient {
    /// Makes a connection group and offers a connection to a user.
    pub(crate) async fn connect(&mut self, user: &UserId) -> Result<GroupId, ErrorReply> {
        let (code, now) = (Secret::new(self.caller.chance.bytes()), self.caller.now().as_secs());
        let offer = Connection { join_code_hash: sha256(code.expose()), expires: now + DAY };
        let group = self.create(Some(&offer)).await?;
        let packages = self.caller.call::<GetConnectionPackage>(&user.domain, None, user).await?.packages;
        for package in &packages {
            let authority = self.authority(&user.domain).await;
            let owner = package.verify(&authority, self.caller.now()).unwrap();
            assert_eq!(owner.user(), user);
            let (membership, hash) = (&self.groups[&group], sha256(&package.encode()));
            let payload = ConnectionOfferTbs {
                credential: self.caller.account.credential.clone(),
                group: group.clone(),
                ear_key_id: membership.access.ear_key_id,
                ear_key: membership.access.ear_key.clone(),
                credential_key: membership.credential_key.clone(),
                profile_key: membership.profile_key.clone(),
                join_code: code.clone(),
                friendship: self.record.friendship.clone(),
                target: Target::Client(owner.client().clone()),
                package: hash,
                created_at: now,
                expires: offer.expires,
            };
            let signature = self.caller.account.key.sign("ConnectionOffer", &payload.encode()).unwrap();
            let message = DirectMessage::Offer(ConnectionOffer { payload, signature });
            let key = &package.payload.package.encryption_key;
            let ciphertext = message.seal(key, &hash, &mut self.caller.chance);
            let request = EnqueueOfferRequest { to: owner.client().clone(), ciphertext };
            self.caller.call::<EnqueueOffer>(&user.domain, None, &request).await?;
        }
        Ok(group)
    }

    /// Registers an alias, with a package for whoever asks for it.
    pub(crate) async fn register_alias(&mut self, alias: &str) {
        let (suite, domain) = (self.suite, self.caller.domain());
        let chance = &mut self.caller.chance;
        let (key, hash) = (SigningKey::generate(suite, chance), alias_hash(alias, &domain).unwrap());
        let (queue_key, door) =
            (HpkeSecretKey::generate(suite, chance), HpkeSecretKey::generate(suite, chance));
        let (auth_key, to) = (key.verifying_key(), queue_key.public_key().clone());
        let request = AliasRegisterRequest { alias: hash, auth_key, queue_key: to };
        self.caller.call::<AliasRegister>(&domain, Some(Auth::of_new_key(&key)), &request).await.unwrap();
        let now = self.caller.now().as_secs();
        let payload = PackagePayload {
            encryption_key: door.public_key().clone(),
            lifetime: ExpirationData { not_before: now, not_after: now + 30 * DAY },
            versions: List::new(vec![VERSION]).unwrap(),
        };
        let package = (sha256(&payload.encode()), door);
        let request = AliasPublishRequest { packages: List::new(vec![payload]).unwrap() };
        let auth = Auth::new(Sender::Alias(hash), &key);
        self.caller.call::<AliasPublishPackages>(&domain, Some(auth), &request).await.unwrap();
        self.alias = Some(Alias { hash, key, ratchet: ClientRatchet::new(queue_key), package });
    }

    /// Accepts the one offer that came to the alias: joins its group by external commit.
    pub(crate) async fn accept_offer(&mut self) -> Result<GroupId, ErrorReply> {
        let ConnectionOffer { payload, signature } = self.take_offer().await;
        let user = payload.credential.payload.client.user.clone();
        let authority = self.authority(&user.domain).await;
        let from = authority.verify_chain(&payload.credential, self.caller.now()).unwrap();
        from.key().verify("ConnectionOffer", &payload.encode(), &signature).unwrap();
        self.join_connection(&payload).await?;
        self.friends.insert(user, payload.friendship);
        Ok(payload.group)
    }

    async fn take_offer(&mut self) -> ConnectionOffer {
        let domain = self.caller.domain();
        let alias = self.alias.as_mut().unwrap();
        let auth = Auth::new(Sender::Alias(alias.hash), &alias.key);
        let request = DequeueRequest { from: 0, max: 10, ack_below: 0, wait_s: 0 };
        let reply = self.caller.call::<AliasDequeue>(&domain, Some(auth), &request).await.unwrap();
        let opened = reply.entries.iter().filter_map(|entry| alias.ratchet.open(entry).unwrap());
        let contents: Vec<_> = opened.map(|entry| entry.content).collect();
        let (package, door) = &alias.package;
        let DirectMessage::Offer(offer) = DirectMessage::open(door, package, &contents[0]);
        assert_eq!(offer.payload.target, Target::Alias(alias.hash));
        assert_eq!(offer.payload.package, *package);
        offer
    }
}
