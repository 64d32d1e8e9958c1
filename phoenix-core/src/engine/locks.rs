//! Locks that keep conflicts rare.

use std::sync::Arc;

use async_lock::{RwLock, RwLockReadGuardArc, RwLockWriteGuardArc};

use crate::{operation::Purpose, port::PartitionKey};

/// Striped locks over partitions, in this process only. The store stays the truth: a decision is checked when
/// it is committed, locks or not.
pub(crate) struct Stripes(Vec<Arc<RwLock<()>>>);

impl Default for Stripes {
    fn default() -> Self {
        Self((0..STRIPES).map(|_| Arc::default()).collect())
    }
}

/// Locks that are held; in this order, since all take them in ascending order.
pub(crate) struct Held {
    _guards: Vec<Guard>,
}

#[expect(dead_code, reason = "guards are held for what their drop does")]
enum Guard {
    Alone(RwLockWriteGuardArc<()>),
    Together(RwLockReadGuardArc<()>),
}

impl Stripes {
    /// Waits for the locks of these partitions: alone for those to be changed, together for those watched.
    pub(crate) async fn hold<'a>(&self, places: impl Iterator<Item = (&'a PartitionKey, Purpose)>) -> Held {
        let wanted = |(partition, purpose)| match purpose {
            Purpose::Change => Some((stripe(partition), true)),
            Purpose::Watch => Some((stripe(partition), false)),
            Purpose::Glance => None,
        };
        let mut wanted: Vec<(usize, bool)> = places.filter_map(wanted).collect();
        // Where one is wanted both ways, alone comes first, and stays.
        wanted.sort_unstable_by_key(|(stripe, alone)| (*stripe, !alone));
        wanted.dedup_by_key(|(stripe, _)| *stripe);
        let mut guards = Vec::with_capacity(wanted.len());
        for (stripe, alone) in wanted {
            let Some(lock) = self.0.get(stripe) else { continue };
            // Most are free, and waiting for one costs more than looking.
            let free = if alone {
                lock.try_write_arc().map(Guard::Alone)
            } else {
                lock.try_read_arc().map(Guard::Together)
            };
            guards.push(match free {
                Some(guard) => guard,
                None if alone => Guard::Alone(lock.write_arc().await),
                None => Guard::Together(lock.read_arc().await),
            });
        }
        Held { _guards: guards }
    }
}

fn stripe(partition: &PartitionKey) -> usize {
    let mut hash = FNV_OFFSET;
    for byte in [partition.space() as u8].iter().chain(partition.key().iter()) {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME);
    }
    usize::try_from(hash % STRIPES).unwrap_or_default()
}

/// A part of a message takes 250 of them, and most others should be free of it: sixteen in seventeen.
const STRIPES: u64 = 4_096;
/// FNV-1a: spreads keys, and the same way in every run.
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;
