//! Connections between users: packages, offers, answers (04, "Connection establishment").

use std::slice;

use phoenix_core::{
    AliasHash, ClientId, Fqdn, GroupId, UserId,
    api::{
        auth::{
            AliasEnqueueOffer, AliasGetPackage, AliasOfferRequest, EnqueueOffer, EnqueueOfferRequest,
            GetConnectionPackage, MAX_OFFER, PublishConnectionPackages, PublishPackagesRequest,
        },
        queue::Entry,
    },
    credential::{ConnectionPackage, ExpirationData, PackagePayload, safety_number},
    crypto::{HpkePublicKey, HpkeSecretKey, sha256},
    time::DAY,
    wire::{List, Opaque, Secret, VERSION, Wire},
};

use crate::{
    alias_hash::alias_hash,
    direct::DirectMessage,
    error::ClientError,
    event::{Event, OfferId},
    group::{Asked, ConnectionState, Effort, GroupRecord},
    offer::{ConnectionOffer, ConnectionOfferTbs, MAX_DAYS, Target},
    session::Session,
    state::{Door, Offered},
};

impl Session {
    /// Publishes fresh connection packages in place of those there.
    pub(crate) async fn publish_connection_packages(&mut self) -> Result<(), ClientError> {
        let credential = self.state.account.credential.clone();
        let not_after = credential.payload.validity.not_after;
        let mut packages = Vec::new();
        for _ in 0..self.habits.connection_packages.clamp(1, 100) {
            let (key, payload) = self.make_door(not_after)?;
            let package = ConnectionPackage::sign(payload, credential.clone(), self.signer.as_ref())?;
            let not_after = package.payload.package.lifetime.not_after;
            self.state.doors.insert(sha256(&package.encode()), Door { key, alias: None, not_after });
            packages.push(package);
        }
        let request = PublishPackagesRequest { packages: List::new(packages)? };
        let (route, auth) = (self.identity_route(&self.domain().clone()), self.identity());
        self.call::<PublishConnectionPackages>(&route, Some(&auth), &request).await?;
        Ok(())
    }

    /// Offers a connection to all clients of a user.
    pub(crate) async fn connect(&mut self, user: &UserId) -> Result<GroupId, ClientError> {
        if self.state.friends.contains_key(user) || self.client().user == *user {
            return Err(ClientError::State("connected already"));
        }
        let route = self.fresh_route(&user.domain);
        let packages = self.call::<GetConnectionPackage>(&route, None, user).await?.packages;
        let now = self.now();
        let mut targets = Vec::new();
        for package in packages {
            let authority = self.authority_of(&package.payload.credential, Effort::Patient).await?;
            let owner = package.verify(&authority, now)?;
            self.note_credential(&owner);
            if owner.user() != user {
                return Err(ClientError::Unexpected("another user's connection package"));
            }
            let key = package.payload.package.encryption_key.clone();
            targets.push((owner.client().clone(), key, sha256(&package.encode())));
        }
        let group = self.connection_group(Asked::User(user.clone())).await?;
        for (client, key, package) in targets {
            let ciphertext = self.make_offer(&group, Target::Client(client.clone()), (&key, package))?;
            let route = self.fresh_route(&user.domain);
            let request = EnqueueOfferRequest { to: client, ciphertext };
            self.call::<EnqueueOffer>(&route, None, &request).await?;
        }
        Ok(group)
    }

    /// Takes a package of one client, and verifies that it is that client's.
    pub(crate) async fn package_of(&mut self, client: &ClientId) -> Result<ConnectionPackage, ClientError> {
        let route = self.fresh_route(&client.user.domain);
        let packages = self.call::<GetConnectionPackage>(&route, None, &client.user).await?.packages;
        let package = packages.into_iter().find(|it| it.payload.credential.payload.client == *client);
        let package = package.ok_or(ClientError::Unexpected("no package of the client"))?;
        let authority = self.authority_of(&package.payload.credential, Effort::Patient).await?;
        package.verify(&authority, self.now())?;
        Ok(package)
    }

    /// Offers a connection to whoever is behind an alias.
    pub(crate) async fn connect_alias(&mut self, alias: &str, domain: &Fqdn) -> Result<GroupId, ClientError> {
        let hash = alias_hash(alias, domain)?;
        let route = self.fresh_route(domain);
        let payload = self.call::<AliasGetPackage>(&route, None, &hash).await?;
        payload.check(self.now())?;
        let group = self.connection_group(Asked::Alias(hash)).await?;
        let to = (&payload.encryption_key, sha256(&payload.encode()));
        let ciphertext = self.make_offer(&group, Target::Alias(hash), to)?;
        let route = self.fresh_route(domain);
        self.call::<AliasEnqueueOffer>(&route, None, &AliasOfferRequest { to: hash, ciphertext }).await?;
        Ok(group)
    }

    /// The connection group of an offer: one that stands open for the same user, since it may be that not all offers
    /// were made, or a new one.
    async fn connection_group(&mut self, asked: Asked) -> Result<GroupId, ClientError> {
        let now = self.now().as_secs();
        let is_open = |record: &GroupRecord| match &record.connection {
            ConnectionState::Open(open) => open.asked == asked && open.answer.is_none() && now < open.expires,
            _ => false,
        };
        let mut open = self.state.groups.iter().filter(|(_, record)| is_open(record));
        match open.next().map(|(group, _)| group.clone()) {
            Some(group) => Ok(group),
            None => self.create_connection_group(asked).await,
        }
    }

    /// Takes an entry of a direct queue: an offer, what became of one of ours, or nothing that concerns us.
    pub(crate) async fn take_direct(
        &mut self,
        entry: &Entry,
        alias: Option<AliasHash>,
    ) -> Result<(), ClientError> {
        match self.open_direct(&entry.content, alias) {
            Some(DirectMessage::Offer(offer)) => self.take_offer(offer, alias).await,
            Some(DirectMessage::Decline(decline)) => {
                self.take_decline(&decline);
                Ok(())
            }
            // An alias is nobody's, and so has no further clients.
            Some(DirectMessage::Provision(provision)) if alias.is_none() => {
                self.take_provision(provision).await
            }
            Some(DirectMessage::Provision(_)) | None => Ok(()),
        }
    }

    async fn take_offer(
        &mut self,
        offer: ConnectionOffer,
        alias: Option<AliasHash>,
    ) -> Result<(), ClientError> {
        let target = alias.map_or_else(|| Target::Client(self.client().clone()), Target::Alias);
        let from = offer.payload.credential.payload.client.user.clone();
        // Before anyone is asked about it, and each time that it is tried again.
        if !offer.is_for(&target, self.now()) || self.is_known(&offer) || from == self.client().user {
            return Ok(());
        }
        let sender = self.verify_stranger(&offer.payload.credential).await?;
        offer.verify(&sender, &target, self.now())?;
        self.note_shown(sender.client(), sender.key());
        self.check_pin(&from, sender.key())?;
        if self.state.offers.len() >= MAX_OFFERS {
            self.state.offers.pop_first();
        }
        let id = offer.id();
        self.state.offers.insert(id, Offered { offer, alias });
        self.tell(Event::Offer { offer: OfferId(id), from, alias });
        Ok(())
    }

    fn is_known(&self, offer: &ConnectionOffer) -> bool {
        let group = &offer.payload.group;
        self.state.groups.contains_key(group)
            || self.state.offers.values().any(|it| it.offer.payload.group == *group)
    }

    /// The number that two users compare (03, "Out-of-band check").
    pub(crate) fn safety_number(&self, user: &UserId) -> Result<String, ClientError> {
        let friend = self.state.friends.get(user).ok_or(ClientError::State("not connected"))?;
        let own = (&self.client().user, slice::from_ref(&friend.ours));
        Ok(safety_number(own, (user, slice::from_ref(&friend.key))))
    }

    /// Whether all packages of ours, or of an alias, have ended by a second.
    pub(crate) fn doors_end_by(&self, alias: Option<AliasHash>, second: u64) -> bool {
        self.state.doors.values().filter(|door| door.alias == alias).all(|door| door.not_after <= second)
    }

    pub(crate) fn make_door(
        &mut self,
        not_after: u64,
    ) -> Result<(HpkeSecretKey, PackagePayload), ClientError> {
        let key = HpkeSecretKey::generate(self.state.account.suite, &mut self.chance);
        let now = self.now().as_secs();
        let lifetime = ExpirationData {
            not_before: now.saturating_sub(CLOCK_MARGIN),
            not_after: now.saturating_add(PACKAGE_LIFETIME).min(not_after),
        };
        let versions = List::new(vec![VERSION])?;
        let payload = PackagePayload { encryption_key: key.public_key().clone(), lifetime, versions };
        self.state.doors.retain(|_, door| door.not_after >= now);
        Ok((key, payload))
    }

    /// Makes an offer and remembers it, and seals it to the package of a key.
    fn make_offer(
        &mut self,
        group: &GroupId,
        target: Target,
        (key, package): (&HpkePublicKey, [u8; 32]),
    ) -> Result<Opaque<MAX_OFFER>, ClientError> {
        let offer = self.sign_offer(group, target, package)?;
        self.remember_offer(&offer)?;
        Ok(DirectMessage::Offer(offer).seal(key, &package, &mut self.chance)?)
    }

    fn sign_offer(
        &self,
        group: &GroupId,
        target: Target,
        package: [u8; 32],
    ) -> Result<ConnectionOffer, ClientError> {
        let (record, now) = (self.group(group)?, self.now().as_secs());
        let ConnectionState::Open(open) = &record.connection else {
            return Err(ClientError::State("no open connection group"));
        };
        let payload = ConnectionOfferTbs {
            credential: self.state.account.credential.clone(),
            group: group.clone(),
            ear_key_id: record.access.ear_key_id,
            ear_key: record.access.ear_key.clone(),
            credential_key: record.credential_key.clone(),
            profile_key: record.profile_key.clone(),
            join_code: open.join_code.clone(),
            friendship: self.record()?.friendship.clone(),
            target,
            package,
            created_at: now,
            expires: open.expires,
        };
        Ok(ConnectionOffer::sign(payload, self.signer.as_ref())?)
    }

    /// Tries the keys of our packages: the message does not show which one it is for.
    fn open_direct(&self, sealed: &[u8], alias: Option<AliasHash>) -> Option<DirectMessage> {
        let doors = self.state.doors.iter().filter(|(_, door)| door.alias == alias);
        let mut opened =
            doors.filter_map(|(package, door)| DirectMessage::open(&door.key, package, sealed).ok());
        opened.next()
    }

    /// How long an offer that is made now stays open, in seconds since the epoch.
    pub(crate) fn offer_expiry(&self) -> u64 {
        let days = u64::from(self.habits.offer_days).clamp(1, MAX_DAYS);
        self.now().as_secs().saturating_add(days * DAY)
    }

    /// A fresh join code.
    pub(crate) fn join_code(&mut self) -> Secret<32> {
        Secret::new(self.chance.bytes())
    }
}

/// Offers that wait for an answer at most; then the one with the lowest hash goes, which nobody can choose.
const MAX_OFFERS: usize = 1_000;
/// Lifetime of connection packages: as long as the credential in them.
const PACKAGE_LIFETIME: u64 = 90 * DAY;
/// Clocks within five minutes of each other are taken for right (02).
const CLOCK_MARGIN: u64 = 300;
