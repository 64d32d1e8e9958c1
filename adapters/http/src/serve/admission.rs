//! Who may have a connection.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::ServerLimits;
use crate::address::source_prefix;

/// Counts connections, in all and by source.
pub(super) struct Admission {
    places: Arc<Semaphore>,
    by_source: Arc<Mutex<HashMap<IpAddr, usize>>>,
    per_source: usize,
}

/// A connection's place, given back when dropped.
pub(super) struct Admitted {
    source: IpAddr,
    by_source: Arc<Mutex<HashMap<IpAddr, usize>>>,
    _place: OwnedSemaphorePermit,
}

impl Admission {
    /// Nobody is connected yet.
    pub(super) fn new(limits: ServerLimits) -> Self {
        Self {
            places: Arc::new(Semaphore::new(limits.connections.min(Semaphore::MAX_PERMITS))),
            by_source: Arc::default(),
            per_source: limits.connections_per_address,
        }
    }

    /// Waits for a place for one more connection.
    pub(super) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).acquire_owned().await.ok()
    }

    /// Gives the place to a connection of this address, unless it has enough.
    pub(super) fn admit(&self, place: OwnedSemaphorePermit, address: IpAddr) -> Option<Admitted> {
        let source = source_prefix(address);
        let mut by_source = self.by_source.lock().unwrap_or_else(PoisonError::into_inner);
        let count = by_source.entry(source).or_default();
        if *count >= self.per_source {
            return None;
        }
        *count = count.saturating_add(1);
        Some(Admitted { source, by_source: Arc::clone(&self.by_source), _place: place })
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut by_source = self.by_source.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(count) = by_source.get_mut(&self.source) else { return };
        *count = count.saturating_sub(1);
        if *count == 0 {
            by_source.remove(&self.source);
        }
    }
}
