//! The homeserver's own secrets: made once, kept sealed in the store.

use bytes::Bytes;
use phoenix_as::AuthKeys;
use phoenix_core::{
    Fault, Fqdn, Timestamp,
    crypto::{AtRestKey, Chance},
    port::{
        Alarm, Base, Batch, Commit, Mark, Part, PartitionKey, Place, Ports, Snapshot, Space, StoreError,
        Wanted, Write,
    },
    token::Rotation,
    wire::Secret,
};
use phoenix_ds::DeliveryKeys;
use phoenix_qs::QueueKeys;
use zeroize::Zeroizing;

use crate::BuildError;

/// The key under which the operator has the homeserver's secrets sealed. Without it the store is worth little
/// to a thief; lost, the homeserver's identity is lost.
#[derive(Clone, Debug)]
pub struct OperatorKey(Secret<32>);

impl OperatorKey {
    /// Takes 32 random bytes.
    #[must_use]
    pub const fn new(key: [u8; 32]) -> Self {
        Self(Secret::new(key))
    }
}

/// All secrets of a homeserver.
pub(crate) struct Keys {
    pub(crate) root: AtRestKey,
    pub(crate) auth: AuthKeys,
    pub(crate) queue: QueueKeys,
    pub(crate) delivery: DeliveryKeys,
    pub(crate) revision: Mark,
}

/// Where a homeserver's secrets are kept, and how they are opened.
pub(crate) struct KeyStore {
    pub(crate) ports: Ports,
    pub(crate) domain: Fqdn,
    pub(crate) operator: Option<OperatorKey>,
}

impl KeyStore {
    /// The secrets that the store holds, made now where it holds none.
    pub(crate) async fn load_or_make(&self) -> Result<Keys, BuildError> {
        for _ in 0..ATTEMPTS {
            if let Some(found) = self.read().await? {
                return self.open(&found);
            }
            // Another replica may make them at the same time: one wins, and the other reads what it made.
            let _ = make(&self.ports, &self.domain, self.operator.as_ref()).await?;
        }
        Err(BuildError::Store(StoreError::Unavailable))
    }

    /// The secrets as they should be now, where they differ from those of `revision`: the services' keys rotate (03,
    /// 05, 06, 07), all that are due in one batch, and another replica may have done it.
    pub(crate) async fn refreshed(&self, revision: Mark) -> Result<Option<Keys>, BuildError> {
        let Some(found) = self.read().await? else { return Ok(None) };
        let keys = self.open(&found)?;
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
            writes.push(Write::Put(Bytes::from_static(name), keys.root.seal(name, &encoded, &mut chance)));
        }
        if writes.is_empty() {
            return Ok(Some(keys).filter(|keys| keys.revision != revision));
        }
        let mark = Mark(chance.bytes());
        let part =
            Part { partition: partition(), base: Base::At(keys.revision), mark, writes, alarm: Alarm::Keep };
        match self.ports.store.commit(&Batch { parts: vec![part] }).await? {
            Commit::Done => Ok(Some(Keys {
                root: keys.root,
                auth: auth.unwrap_or(keys.auth),
                queue: queue.unwrap_or(keys.queue),
                delivery: delivery.unwrap_or(keys.delivery),
                revision: mark,
            })),
            // Another replica was faster; what it made is read next time.
            Commit::Conflict => Ok(None),
        }
    }

    async fn read(&self) -> Result<Option<Snapshot>, StoreError> {
        let place = Place { partition: partition(), wanted: Wanted::first(ROWS) };
        let found = self.ports.store.read(std::slice::from_ref(&place)).await?;
        Ok(found.into_iter().next().filter(|found| found.mark.is_some()))
    }

    fn open(&self, found: &Snapshot) -> Result<Keys, BuildError> {
        opened(found, self.operator.as_ref())
    }
}

fn opened(found: &Snapshot, operator: Option<&OperatorKey>) -> Result<Keys, BuildError> {
    let row = |key: &[u8]| found.rows.iter().find(|(at, _)| at == key).map(|(_, value)| value);
    let root = match (operator, row(PLAIN_ROOT)) {
        (Some(operator), None) => AtRestKey::new(operator.0.clone()),
        (None, Some(plain)) => {
            AtRestKey::new(plain.as_ref().try_into().map(Secret::new).map_err(|_| BuildError::WrongKey)?)
        }
        (Some(_), Some(_)) | (None, None) => return Err(BuildError::WrongKey),
    };
    let open = |name: &'static [u8]| -> Result<Zeroizing<Vec<u8>>, BuildError> {
        let sealed = row(name).ok_or(Fault::Broken("a service's keys are missing"))?;
        root.open(name, sealed).map_err(|_| BuildError::WrongKey)
    };
    Ok(Keys {
        auth: AuthKeys::decode(&open(AUTH)?)?,
        queue: QueueKeys::decode(&open(QUEUE)?)?,
        delivery: DeliveryKeys::decode(&open(DELIVERY)?)?,
        revision: found.mark.ok_or(Fault::Broken("keys without a mark"))?,
        root,
    })
}

async fn make(ports: &Ports, domain: &Fqdn, operator: Option<&OperatorKey>) -> Result<Commit, BuildError> {
    let mut chance = chance(ports);
    let now: Timestamp = ports.clock.now();
    let mut writes = Vec::new();
    let root = match operator {
        Some(operator) => AtRestKey::new(operator.0.clone()),
        None => {
            tracing::warn!("no operator key was given: the homeserver's secrets lie open in its store");
            let plain: [u8; 32] = chance.bytes();
            writes.push(Write::Put(Bytes::from_static(PLAIN_ROOT), Bytes::copy_from_slice(&plain)));
            AtRestKey::new(Secret::new(plain))
        }
    };
    let services = [
        (AUTH, AuthKeys::generate(domain, now, &mut chance)?.encode()?),
        (QUEUE, QueueKeys::generate(domain, now, &mut chance).encode()),
        (DELIVERY, DeliveryKeys::generate(domain, now, &mut chance).encode()),
    ];
    for (name, keys) in services {
        writes.push(Write::Put(Bytes::from_static(name), root.seal(name, &keys, &mut chance)));
    }
    let mark = Mark(chance.bytes());
    let part = Part { partition: partition(), base: Base::Absent, mark, writes, alarm: Alarm::Keep };
    Ok(ports.store.commit(&Batch { parts: vec![part] }).await?)
}

fn chance(ports: &Ports) -> Chance {
    let mut seed = [0; 32];
    ports.entropy.fill(&mut seed);
    Chance::from_seed(seed)
}

fn partition() -> PartitionKey {
    PartitionKey::new(Space::Peers, Bytes::from_static(&[SECRETS]))
}

/// Partitions of the peers' space: the homeserver's own secrets.
const SECRETS: u8 = 1;
const AUTH: &[u8] = b"as";
const QUEUE: &[u8] = b"qs";
const DELIVERY: &[u8] = b"ds";
/// The root key itself, where no operator keeps it.
const PLAIN_ROOT: &[u8] = b"root";
/// More rows than there are.
const ROWS: u32 = 16;
/// Replicas that may start at the same time.
const ATTEMPTS: usize = 4;
