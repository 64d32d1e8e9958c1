//! The homeserver's own secrets: made once, kept sealed in the store.

use bytes::Bytes;
use phoenix_as::{AuthKeys, AuthorityChange, Root, RootKey};
use phoenix_core::{
    Fault, Fqdn, Generation, Timestamp,
    crypto::{AtRestKey, Chance, Suite},
    port::{
        Alarm, Base, Batch, Commit, Mark, Part, PartitionKey, Place, Ports, Snapshot, Space, StoreError,
        Wanted, Write,
    },
    token::Rotation,
    wire::{Wiped, Wire},
};
use phoenix_ds::DeliveryKeys;
use phoenix_qs::QueueKeys;
use zeroize::Zeroizing;

use crate::{
    AdminError, BuildError, RotatedService,
    seal::{self, Seal},
};

/// All secrets of a homeserver.
pub(crate) struct Keys {
    pub(crate) root: AtRestKey,
    pub(crate) auth: AuthKeys,
    pub(crate) queue: QueueKeys,
    pub(crate) delivery: DeliveryKeys,
    /// How often the store was restored.
    pub(crate) generation: Generation,
    pub(crate) revision: Mark,
}

/// Where a homeserver's secrets are kept, and how they are opened.
pub(crate) struct KeyStore {
    pub(crate) ports: Ports,
    pub(crate) seal: Seal,
    pub(crate) first: First,
}

/// What a homeserver is made with, where the store holds none.
pub(crate) struct First {
    /// Whose homeserver it is; none for whatever the store holds.
    pub(crate) domain: Option<Fqdn>,
    /// The root that the operator prepared.
    pub(crate) root: Option<Root>,
    /// Of what is made: the root, where there is none, and the first intermediate.
    pub(crate) suite: Suite,
}

impl KeyStore {
    /// The secrets that the store holds, made now where it holds none.
    pub(crate) async fn load_or_make(&self) -> Result<Keys, BuildError> {
        for _ in 0..ATTEMPTS {
            if let Some(found) = self.read().await? {
                let keys = opened(&found, self.seal.unwrap(&found, &self.ports).await?)?;
                if self.first.domain.as_ref().is_some_and(|domain| domain != keys.auth.domain()) {
                    return Err(BuildError::OtherDomain);
                }
                if matches!(self.seal, Seal::Open) {
                    tracing::warn!(
                        "no operator key was given: the homeserver's secrets lie open in its store"
                    );
                }
                return Ok(keys);
            }
            // Another replica may make them at the same time: one wins, and the other reads what it made.
            let _ = self.make().await?;
        }
        Err(BuildError::Store(StoreError::Unavailable))
    }

    /// The secrets as they should be now, where they differ from those of `revision`: the services' keys rotate (03,
    /// 05, 06, 07), all that are due in one batch, and another replica may have done it.
    pub(crate) async fn refreshed(&self, revision: Mark, root: &AtRestKey) -> Result<Option<Keys>, Fault> {
        for _ in 0..ATTEMPTS {
            let found = self.read().await?.ok_or(GONE)?;
            let keys = opened(&found, root.clone())?;
            if let Some(keys) = self.rotated(keys).await? {
                return Ok(Some(keys).filter(|keys| keys.revision != revision));
            }
            // Another replica was faster: what it made is read now.
        }
        Err(Fault::Store(StoreError::Unavailable))
    }

    /// The secrets that were read, with what is due rotated. None where somebody else has changed them meanwhile.
    async fn rotated(&self, keys: Keys) -> Result<Option<Keys>, Fault> {
        let root = &keys.root;
        let (now, mut chance) = (self.ports.clock.now(), chance(&self.ports));
        let auth = keys.auth.rotated(now, &Rotation::default(), &mut chance)?;
        let queue = keys.queue.rotated(now, &mut chance);
        let delivery = keys.delivery.rotated(now, &mut chance);
        let encoded = [
            (AUTH, auth.as_ref().map(AuthKeys::encode).transpose()?),
            (QUEUE, queue.as_ref().map(QueueKeys::encode)),
            (DELIVERY, delivery.as_ref().map(DeliveryKeys::encode)),
        ];
        let mut writes = Vec::new();
        for (name, encoded) in encoded {
            let Some(encoded) = encoded else { continue };
            writes.push(Write::Put(Bytes::from_static(name), root.seal(name, &encoded, &mut chance)));
        }
        if writes.is_empty() {
            return Ok(Some(keys));
        }
        let mark = Mark(chance.bytes());
        match self.commit(Base::At(keys.revision), mark, writes).await? {
            Commit::Done => Ok(Some(Keys {
                root: keys.root,
                auth: auth.unwrap_or(keys.auth),
                queue: queue.unwrap_or(keys.queue),
                delivery: delivery.unwrap_or(keys.delivery),
                generation: keys.generation,
                revision: mark,
            })),
            Commit::Conflict => Ok(None),
        }
    }

    /// Begins another generation, since the store is an older copy that was brought back (09): later than the store's,
    /// and than one that it was seen in before. All token keys are retired with it.
    pub(crate) async fn restored(&self, seen: Generation, root: &AtRestKey) -> Result<Keys, Fault> {
        for _ in 0..ATTEMPTS {
            let found = self.read().await?.ok_or(GONE)?;
            let keys = opened(&found, root.clone())?;
            let generation = keys.generation.max(seen).next();
            let jump = generation.jump_from(keys.generation).ok_or(NO_MORE)?;
            let (now, mut chance) = (self.ports.clock.now(), chance(&self.ports));
            let auth = keys.auth.restored(jump, now, &Rotation::default(), &mut chance)?;
            let sealed = root.seal(AUTH, &auth.encode()?, &mut chance);
            let writes = vec![
                Write::Put(Bytes::from_static(AUTH), sealed),
                Write::Put(Bytes::from_static(GENERATION), generation.encode()),
            ];
            let mark = Mark(chance.bytes());
            match self.commit(Base::At(keys.revision), mark, writes).await? {
                Commit::Done => return Ok(Keys { auth, generation, revision: mark, ..keys }),
                Commit::Conflict => {}
            }
        }
        Err(Fault::Store(StoreError::Unavailable))
    }

    /// Whether [`KeyStore::change_authority`] would do it, were it asked now.
    pub(crate) async fn check_authority(
        &self,
        change: AuthorityChange,
        signer: &Root,
        root: &AtRestKey,
    ) -> Result<(), AdminError> {
        let found = self.read().await.map_err(Fault::from)?.ok_or(GONE)?;
        let keys = opened(&found, root.clone())?;
        keys.auth.changed(change, signer, self.ports.clock.now(), &mut chance(&self.ports))?;
        Ok(())
    }

    /// Changes what signs for the domain.
    pub(crate) async fn change_authority(
        &self,
        change: AuthorityChange,
        signer: &Root,
        root: &AtRestKey,
    ) -> Result<(), AdminError> {
        self.change(root, |keys, now, chance| {
            Ok((AUTH, keys.auth.changed(change, signer, now, chance)?.encode()?))
        })
        .await
    }

    /// Makes further keys of a service beside those that there are.
    pub(crate) async fn renew(&self, service: RotatedService, root: &AtRestKey) -> Result<(), AdminError> {
        self.change(root, |keys, now, chance| {
            let renewed = match service {
                RotatedService::Queue => keys.queue.renewed(now, chance).map(|it| (QUEUE, it.encode())),
                RotatedService::Delivery => {
                    keys.delivery.renewed(now, chance).map(|it| (DELIVERY, it.encode()))
                }
            };
            renewed.ok_or(AdminError::TooManyKeys)
        })
        .await
    }

    /// Puts a fresh key of DPoP tokens in place of all that there are.
    pub(crate) async fn retire_dpop(&self, root: &AtRestKey) -> Result<(), AdminError> {
        self.change(root, |keys, now, chance| Ok((AUTH, keys.auth.with_dpop_retired(now, chance)?.encode()?)))
            .await
    }

    /// Changes the keys of one service, on condition that nobody else changes a key meanwhile.
    async fn change(
        &self,
        root: &AtRestKey,
        changed: impl Fn(&Keys, Timestamp, &mut Chance) -> Result<(&'static [u8], Encoded), AdminError>,
    ) -> Result<(), AdminError> {
        for _ in 0..ATTEMPTS {
            let found = self.read().await.map_err(Fault::from)?.ok_or(GONE)?;
            let keys = opened(&found, root.clone())?;
            let (now, mut chance) = (self.ports.clock.now(), chance(&self.ports));
            let (name, encoded) = changed(&keys, now, &mut chance)?;
            let writes = vec![Write::Put(Bytes::from_static(name), root.seal(name, &encoded, &mut chance))];
            let mark = Mark(chance.bytes());
            match self.commit(Base::At(keys.revision), mark, writes).await.map_err(Fault::from)? {
                Commit::Done => return Ok(()),
                Commit::Conflict => {}
            }
        }
        Err(AdminError::Busy)
    }

    /// Wraps the root key otherwise. Who holds it already needs not know.
    pub(crate) async fn reseal(&self, seal: &Seal, root: &AtRestKey) -> Result<(), AdminError> {
        let mut chance = chance(&self.ports);
        let (row, wrapped) = seal.wrap(root, &self.ports, &mut chance).await?;
        for _ in 0..ATTEMPTS {
            let found = self.read().await.map_err(Fault::from)?.ok_or(GONE)?;
            let base = found.mark.map_or(Base::Absent, Base::At);
            let other_forms = seal::ROWS.into_iter().filter(|form| row != form);
            let mut writes: Vec<_> =
                other_forms.map(|form| Write::Delete(Bytes::from_static(form))).collect();
            writes.push(Write::Put(row.clone(), wrapped.clone()));
            match self.commit(base, Mark(chance.bytes()), writes).await.map_err(Fault::from)? {
                Commit::Done => return Ok(()),
                Commit::Conflict => {}
            }
        }
        Err(AdminError::Busy)
    }

    async fn make(&self) -> Result<Commit, BuildError> {
        let domain = self.first.domain.as_ref().ok_or(BuildError::Empty)?;
        let (now, mut chance) = (self.ports.clock.now(), chance(&self.ports));
        let signer = self.first.signer(domain, now, &mut chance)?;
        if signer.certificate().payload.as_domain != *domain {
            return Err(BuildError::OtherDomain);
        }
        let root = AtRestKey::generate(&mut chance.child("root of the secrets"));
        let services = [
            (AUTH, AuthKeys::under(&signer, self.first.suite, now, &mut chance)?.encode()?),
            (QUEUE, QueueKeys::generate(domain, now, &mut chance).encode()),
            (DELIVERY, DeliveryKeys::generate(domain, now, &mut chance).encode()),
        ];
        let (row, wrapped) = self.seal.wrap(&root, &self.ports, &mut chance).await?;
        let mut writes = vec![Write::Put(row, wrapped)];
        for (name, keys) in services {
            writes.push(Write::Put(Bytes::from_static(name), root.seal(name, &keys, &mut chance)));
        }
        Ok(self.commit(Base::Absent, Mark(chance.bytes()), writes).await?)
    }

    async fn read(&self) -> Result<Option<Snapshot>, StoreError> {
        let place = Place { partition: partition(), wanted: Wanted::first(ROWS) };
        let found = self.ports.store.read(std::slice::from_ref(&place)).await?;
        Ok(found.into_iter().next().filter(|found| found.mark.is_some()))
    }

    async fn commit(&self, base: Base, mark: Mark, writes: Vec<Write>) -> Result<Commit, StoreError> {
        let part = Part { partition: partition(), base, mark, writes, alarm: Alarm::Keep };
        self.ports.store.commit(&Batch { parts: vec![part] }).await
    }
}

impl First {
    /// The prepared root, or one whose key is wiped after its first use.
    fn signer(&self, domain: &Fqdn, now: Timestamp, chance: &mut Chance) -> Result<Root, Fault> {
        if let Some(root) = &self.root {
            return Ok(root.clone());
        }
        tracing::warn!(
            "no root was prepared: one was made and its key wiped, so publish a new root, whose key you keep, \
             before the year is over"
        );
        Ok(RootKey::generate(domain.clone(), self.suite, now, chance)?.root())
    }
}

/// Keys that are to be sealed.
type Encoded = Zeroizing<Vec<u8>>;

fn opened(found: &Snapshot, root: AtRestKey) -> Result<Keys, Fault> {
    let open = |name: &'static [u8]| -> Result<Wiped, Fault> {
        let row = found.rows.iter().find(|(at, _)| at == name);
        let (_, sealed) = row.ok_or(GONE)?;
        root.open(name, sealed)
    };
    Ok(Keys {
        auth: AuthKeys::decode(&open(AUTH)?)?,
        queue: QueueKeys::decode(&open(QUEUE)?)?,
        delivery: DeliveryKeys::decode(&open(DELIVERY)?)?,
        generation: generation(found)?,
        revision: found.mark.ok_or(Fault::Broken("keys without a mark"))?,
        root,
    })
}

fn generation(found: &Snapshot) -> Result<Generation, Fault> {
    let row = found.rows.iter().find(|(at, _)| at == GENERATION);
    let generation = row.map(|(_, generation)| Generation::decode(generation)).transpose();
    Ok(generation.map_err(|_| Fault::Broken("the generation of the store"))?.unwrap_or_default())
}

fn chance(ports: &Ports) -> Chance {
    let mut seed = Zeroizing::new([0; 32]);
    ports.entropy.fill(&mut *seed);
    Chance::from_seed(*seed)
}

fn partition() -> PartitionKey {
    PartitionKey::new(Space::Peers, Bytes::from_static(&[SECRETS]))
}

/// Partitions of the peers' space: the homeserver's own secrets.
const SECRETS: u8 = 1;
const GONE: Fault = Fault::Broken("the homeserver's own keys are missing");
const NO_MORE: Fault = Fault::Broken("the store was restored too often");
const AUTH: &[u8] = b"as";
const QUEUE: &[u8] = b"qs";
const DELIVERY: &[u8] = b"ds";
/// In clear; absent before the first restore.
const GENERATION: &[u8] = b"generation";
/// More rows than there are.
const ROWS: u32 = 16;
/// Replicas that may start at the same time.
const ATTEMPTS: usize = 4;
