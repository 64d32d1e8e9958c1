//! The client's record at its QS, and what it publishes there (06).

use std::sync::Arc;

use openmls::prelude::{KeyPackage, KeyPackageRef as MlsReference};
use openmls_traits::{OpenMlsProvider, storage::StorageProvider};
use phoenix_core::{
    ConfigId, ErrorCode, Fqdn, KeyPackageRef, QsClientId, QsUserId, Reject,
    api::queue::{
        AddPackage, ClientQueueConfig, CreateUser, CreateUserRequest, FriendshipToken, PublishAddPackages,
        PublishAddPackagesRequest, QueueConfigTbs, SealingKey,
    },
    crypto::{HpkeSecretKey, SigningKey, Suite, seal_with_key},
    port::Circuit,
    time::Month,
    wire::{Flag, List, Opaque, Secret, Sender, Wire},
};
use tls_codec::{DeserializeBytes, Serialize};

use crate::{
    call::{Auth, Route},
    error::{ClientError, mls},
    inbox::Inbox,
    mls::{
        ciphersuite, extensions,
        leaf::{OwnLeaf, capabilities, lifetime, validity},
        mls_signer,
    },
    session::Session,
    state::{FriendshipKeys, Package, Record},
};

/// Whether an AddPackage is served once or stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Ordinary,
    LastResort,
}

impl Session {
    /// Makes the record and its queue, which nothing relates to the account.
    pub(crate) async fn create_record(&mut self) -> Result<(), ClientError> {
        if self.state.record.is_some() {
            return Ok(());
        }
        let domain = self.domain().clone();
        self.state.record = Some(self.make_record(&domain).await?);
        self.is_generation_known = true;
        Ok(())
    }

    /// Makes a record at a homeserver's QS.
    pub(crate) async fn make_record(&mut self, domain: &Fqdn) -> Result<Record, ClientError> {
        match self.try_make_record(domain).await {
            // A lost answer took the route with it: the next record has other ids.
            Err(error) if error.code() == Some(ErrorCode::AlreadyExists) => {
                self.try_make_record(domain).await
            }
            other => other,
        }
    }

    async fn try_make_record(&mut self, domain: &Fqdn) -> Result<Record, ClientError> {
        let suite = self.state.account.suite;
        let user_key = SigningKey::generate(suite, &mut self.chance);
        let client_key = SigningKey::generate(suite, &mut self.chance);
        let queue_key = HpkeSecretKey::generate(suite, &mut self.chance);
        let request = CreateUserRequest {
            user: QsUserId(self.chance.bytes()),
            client: QsClientId(self.chance.bytes()),
            user_key: user_key.verifying_key(),
            client_key: client_key.verifying_key(),
            friendship_secret: Secret::new(self.chance.bytes()),
            queue_key: queue_key.public_key().clone(),
        };
        let circuit = self.fresh_circuit();
        let to = Route { domain: domain.clone(), circuit: Circuit(circuit) };
        let auth = Auth::new(Sender::NewKey(user_key.verifying_key()), Arc::new(user_key.clone()))
            .with_co_signer(Arc::new(client_key.clone()));
        let route = self.call::<CreateUser>(&to, Some(&auth), &request).await?;
        let friendship = FriendshipKeys {
            domain: domain.clone(),
            token: FriendshipToken { route, secret: request.friendship_secret },
            encryption_key: Secret::new(self.chance.bytes()),
            attribution_key: Secret::new(self.chance.bytes()),
        };
        let (user, client, inbox) = (request.user, request.client, Inbox::new(queue_key));
        let keys = (user_key, client_key);
        Ok(Record::new((user, client), keys, (circuit, inbox), friendship))
    }

    /// Publishes fresh AddPackages in place of those there. The keys of the former stay until they expire, since
    /// someone may have taken them.
    pub(crate) async fn publish_add_packages(&mut self) -> Result<(), ClientError> {
        self.publish(Flag::No).await
    }

    /// Publishes AddPackages beside those there, where few are left; where they do not fit, in their place.
    pub(crate) async fn refill_add_packages(&mut self) -> Result<(), ClientError> {
        match self.publish(Flag::Yes).await {
            Err(error) if matches!(error.code(), Some(ErrorCode::TooLarge | ErrorCode::Malformed)) => {
                self.publish(Flag::No).await
            }
            other => other,
        }
    }

    async fn publish(&mut self, append: Flag) -> Result<(), ClientError> {
        let key = self.queue_config_key().await?;
        let now = self.now().as_secs();
        self.drop_expired_packages(now);
        let (ordinary, last_resort) =
            (self.habits.add_packages.clamp(1, 50), self.habits.last_resort.clamp(1, 8));
        let mut make = |kind, count: u8| {
            // As many of each suite, so that they tell nothing: groups are of either.
            let suites = [Suite::Ed25519, Suite::P256].into_iter();
            let suites = suites.flat_map(|suite| (0..count).map(move |_| suite));
            suites.map(|suite| self.make_package(suite, kind, &key)).collect::<Result<_, _>>()
        };
        let packages: Vec<_> = make(Kind::Ordinary, ordinary)?;
        // Those there stay where packages are added: each suite has one to eight of them.
        let last_resort = if append.is_set() { 0 } else { last_resort };
        let last_resort: Vec<_> = make(Kind::LastResort, last_resort)?;
        let request = PublishAddPackagesRequest {
            client: self.record()?.client,
            packages: List::new(packages)?,
            last_resort: List::new(last_resort)?,
            append,
        };
        let (route, auth) = (self.queue_route()?, self.queue_identity()?);
        self.call::<PublishAddPackages>(&route, Some(&auth), &request).await?;
        if let Some(record) = &mut self.state.record {
            record.is_low = Flag::No;
        }
        Ok(())
    }

    /// Forgets the keys of packages that nobody can use any more.
    fn drop_expired_packages(&mut self, now: u64) {
        let expired: Vec<_> =
            self.state.packages.iter().filter(|(_, package)| package.not_after <= now).collect();
        for (_, package) in &expired {
            // The encoding of a reference is one vector.
            let reference: Opaque<32> = Opaque::truncated(package.reference.0.to_vec().into());
            if let Ok(reference) = MlsReference::tls_deserialize_exact_bytes(&reference.encode()) {
                let _ = self.provider.storage().delete_key_package(&reference);
            }
        }
        self.state.packages.retain(|_, package| package.not_after > now);
    }

    /// A queue config of our own: for one domain's DS, or for any.
    pub(crate) fn make_config(
        &mut self,
        config: ConfigId,
        audience: Option<Fqdn>,
        expires: Month,
        key: &SealingKey,
    ) -> Result<ClientQueueConfig, ClientError> {
        let record = self.state.record.as_ref().ok_or(ClientError::State("the client has no queue yet"))?;
        let payload = QueueConfigTbs {
            client: record.client,
            config,
            audience,
            expires,
            generation: record.generation,
            push_key: record.push_key.clone(),
        };
        Ok(payload.seal(record.domain(), &record.client_key, key, &mut self.chance)?)
    }

    /// A queue config for a group's DS.
    pub(crate) async fn make_group_config(
        &mut self,
        config: ConfigId,
        ds: &Fqdn,
    ) -> Result<ClientQueueConfig, ClientError> {
        let key = self.queue_config_key().await?;
        let expires = validity(self.now()).last;
        self.make_config(config, Some(ds.clone()), expires, &key)
    }

    /// When a group's config that was made now is to be replaced: before it ends, and once the key that it is sealed to has
    /// ended, which our QS keeps for 120 days more (06).
    pub(crate) fn config_due(&self) -> u64 {
        let last_month = validity(self.now()).last.start().as_secs();
        let key = self.config_key.as_ref().map_or(u64::MAX, |(key, _)| key.not_after);
        last_month.min(key)
    }

    fn make_package(
        &mut self,
        suite: Suite,
        kind: Kind,
        key: &SealingKey,
    ) -> Result<AddPackage, ClientError> {
        let now = self.now();
        let months = validity(now);
        let id = ConfigId(self.chance.bytes());
        let config = self.make_config(id, None, months.last, key)?;
        let identity = (&self.state.account.credential, self.signer.as_ref());
        let leaf = OwnLeaf::generate(suite, identity, now, &mut self.chance)?;
        let lifetime = lifetime(months);
        let not_after = lifetime.not_after();
        let mut builder = KeyPackage::builder()
            .leaf_node_capabilities(capabilities())
            .key_package_lifetime(lifetime)
            .key_package_extensions(extensions::key_package(&config)?);
        if kind == Kind::LastResort {
            builder = builder.mark_as_last_resort();
        }
        let signer = mls_signer(&leaf.key);
        let bundle = builder
            .build(ciphersuite(suite), &self.provider, &signer, leaf.credential_with_key())
            .map_err(mls("make a KeyPackage"))?;
        let reference =
            bundle.key_package().hash_ref(self.provider.crypto()).map_err(mls("hash a KeyPackage"))?;
        let reference =
            KeyPackageRef(reference.as_slice().try_into().map_err(|_| Reject::Malformed("reference"))?);
        let init_key: &[u8] = bundle.init_private_key();
        let init_key = Secret::new(init_key.try_into().map_err(|_| Reject::Malformed("init key"))?);
        let init_key = HpkeSecretKey::from_secret_bytes(suite, &init_key)?;
        let encoded = bundle.key_package().tls_serialize_detached().map_err(mls("encode"))?;
        let link_key = self.seal_link_key(&leaf)?;
        let last_resort = Flag::from(kind == Kind::LastResort);
        let queue = self.record()?.client;
        let package = Package { queue, reference, leaf, init_key, last_resort, not_after };
        self.state.packages.insert(id, package);
        Ok(AddPackage { key_package: Opaque::new(encoded)?, config, link_key })
    }

    /// The key of a leaf's identity link, for our friends.
    fn seal_link_key<const N: usize>(&mut self, leaf: &OwnLeaf) -> Result<Opaque<N>, ClientError> {
        let key = self.record()?.friendship.encryption_key.clone();
        let aad = leaf.credential.pseudonym.encode();
        Ok(Opaque::new(seal_with_key(&key, &aad, leaf.link_key.expose(), &mut self.chance))?)
    }
}
