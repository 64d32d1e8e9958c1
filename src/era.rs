//! How far a store has come, so that an older copy of it is told from it (09, "Restore").

use std::{fmt, num::ParseIntError, str::FromStr};

use phoenix_core::{
    Fault, Generation,
    port::{Commit, Mark, Ports, StoreError},
    wire::Wire,
};

use crate::own_row::OwnRow;

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
        match AGE.put(ports, mark, (Mark(fresh), age.encode())).await? {
            Commit::Done => return Ok(age),
            // Another replica counts, too.
            Commit::Conflict => {}
        }
    }
    Err(Fault::Store(StoreError::Unavailable))
}

async fn read(ports: &Ports) -> Result<(Option<Mark>, u64), Fault> {
    let (mark, age) = AGE.read(ports).await?;
    let age = age.map(|age| u64::decode(&age)).transpose();
    Ok((mark, age.map_err(|_| Fault::Broken("the age of the store"))?.unwrap_or_default()))
}

/// How far the store has come.
const AGE: OwnRow = OwnRow { kind: &[2], key: b"age" };
/// Replicas that may count at the same time.
const ATTEMPTS: usize = 8;
