//! How far a store has come, so that an older copy of it is told from it (09, "Restore").

use std::{fmt, num::ParseIntError, str::FromStr};

use bytes::Bytes;
use phoenix_core::{
    Fault, Generation,
    port::{
        Alarm, Base, Batch, Commit, Mark, Part, PartitionKey, Place, Ports, Space, StoreError, Wanted, Write,
    },
    wire::Wire,
};

/// How far a store has come: it only ever grows. The latest that was seen, kept outside the store, tells an older copy
/// that was brought back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Era {
    /// Restores that it has come through. Two copies of one store are of the same generation until one is declared.
    pub generation: u32,
    /// How often it was counted on since it was made.
    pub age: u64,
}

impl fmt::Display for Era {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.generation, self.age)
    }
}

impl FromStr for Era {
    type Err = EraError;

    fn from_str(text: &str) -> Result<Self, EraError> {
        let (generation, age) = text.split_once('.').ok_or(EraError)?;
        Ok(Self { generation: generation.parse()?, age: age.parse()? })
    }
}

/// The text is no [`Era`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an era is written as two numbers with a dot between them")]
pub struct EraError;

impl From<ParseIntError> for EraError {
    fn from(_: ParseIntError) -> Self {
        Self
    }
}

/// The era of a store of this generation.
pub(crate) async fn of(ports: &Ports, generation: Generation) -> Result<Era, Fault> {
    let (_, age) = read(ports).await?;
    Ok(Era { generation: generation.0, age })
}

/// Counts a store on, and gives its age then.
pub(crate) async fn count(ports: &Ports) -> Result<u64, Fault> {
    for _ in 0..ATTEMPTS {
        let (mark, age) = read(ports).await?;
        let age = age.saturating_add(1);
        let mut fresh = [0; 16];
        ports.entropy.fill(&mut fresh);
        let part = Part {
            partition: partition(),
            base: mark.map_or(Base::Absent, Base::At),
            mark: Mark(fresh),
            writes: vec![Write::Put(AGE, age.encode())],
            alarm: Alarm::Keep,
        };
        match ports.store.commit(&Batch { parts: vec![part] }).await? {
            Commit::Done => return Ok(age),
            // Another replica counts, too.
            Commit::Conflict => {}
        }
    }
    Err(Fault::Store(StoreError::Unavailable))
}

async fn read(ports: &Ports) -> Result<(Option<Mark>, u64), Fault> {
    let place = Place { partition: partition(), wanted: Wanted::Keys(vec![AGE]) };
    let found = ports.store.read(std::slice::from_ref(&place)).await?.into_iter().next().unwrap_or_default();
    let age = found.rows.first().map(|(_, age)| u64::decode(age)).transpose();
    Ok((found.mark, age.map_err(|_| Fault::Broken("the age of the store"))?.unwrap_or_default()))
}

fn partition() -> PartitionKey {
    PartitionKey::new(Space::Peers, Bytes::from_static(&[ERA]))
}

/// Partitions of the peers' space: how far the store has come.
const ERA: u8 = 2;
const AGE: Bytes = Bytes::from_static(b"age");
/// Replicas that may count at the same time.
const ATTEMPTS: usize = 8;
