//! The homeserver's own secrets: made once, kept sealed in the store.

use bytes::Bytes;
use phoenix_as::AuthKeys;
use phoenix_core::{
    Fault, Fqdn, Timestamp,
    crypto::{AtRestKey, Chance},
    port::{Alarm, Base, Batch, Commit, Mark, Part, PartitionKey, Place, Ports, Space, StoreError, Wanted, Write},
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
}

/// The secrets that the store holds, made now where it holds none.
pub(crate) async fn load_or_make(
    ports: &Ports,
    domain: &Fqdn,
    operator: Option<&OperatorKey>,
) -> Result<Keys, BuildError> {
    for _ in 0..ATTEMPTS {
        if let Some(keys) = load(ports, operator).await? {
            return Ok(keys);
        }
        // Another replica may make them at the same time: one wins, and the other reads what it made.
        let _ = make(ports, domain, operator).await?;
    }
    Err(BuildError::Store(StoreError::Unavailable))
}

async fn load(ports: &Ports, operator: Option<&OperatorKey>) -> Result<Option<Keys>, BuildError> {
    let place = Place { partition: partition(), wanted: Wanted::first(ROWS) };
    let found = ports.store.read(std::slice::from_ref(&place)).await?;
    let Some(found) = found.into_iter().next().filter(|found| found.mark.is_some()) else { return Ok(None) };
    let row = |key: &[u8]| found.rows.iter().find(|(at, _)| at == key).map(|(_, value)| value);
    let root = match (operator, row(PLAIN_ROOT)) {
        (Some(operator), None) => AtRestKey::new(operator.0.clone()),
        (None, Some(plain)) => AtRestKey::new(plain.as_ref().try_into().map(Secret::new).map_err(|_| BuildError::WrongKey)?),
        (Some(_), Some(_)) | (None, None) => return Err(BuildError::WrongKey),
    };
    let open = |name: &'static [u8]| -> Result<Zeroizing<Vec<u8>>, BuildError> {
        let sealed = row(name).ok_or(Fault::Broken("a service's keys are missing"))?;
        root.open(name, sealed).map_err(|_| BuildError::WrongKey)
    };
    Ok(Some(Keys {
        auth: AuthKeys::decode(&open(AUTH)?)?,
        queue: QueueKeys::decode(&open(QUEUE)?)?,
        delivery: DeliveryKeys::decode(&open(DELIVERY)?)?,
        root,
    }))
}

async fn make(ports: &Ports, domain: &Fqdn, operator: Option<&OperatorKey>) -> Result<Commit, BuildError> {
    let mut seed = [0; 32];
    ports.entropy.fill(&mut seed);
    let mut chance = Chance::from_seed(seed);
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
        (AUTH, AuthKeys::generate(domain, now, &mut chance)?.encode()),
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
