//! Who may have a connection, or a stream.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::address::source_prefix;

/// Counts what is held for long, in all and by source.
pub(crate) struct Admission {
    places: Arc<Semaphore>,
    by_source: Arc<Mutex<HashMap<IpAddr, usize>>>,
    per_source: usize,
}

/// A place, given back when dropped.
pub(crate) struct Admitted {
    source: Option<IpAddr>,
    by_source: Arc<Mutex<HashMap<IpAddr, usize>>>,
    _place: OwnedSemaphorePermit,
}

impl Admission {
    /// So many places, and so many of them for one source; nobody has one yet.
    pub(crate) fn new(places: usize, per_source: usize) -> Self {
        let places = Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS)));
        Self { places, by_source: Arc::default(), per_source }
    }

    /// Waits for a place.
    pub(crate) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).acquire_owned().await.ok()
    }

    /// Takes a place for a caller at this address, unless all are taken, or it has enough. One whose address is unknown
    /// is bounded with all others only.
    pub(crate) fn enter(&self, address: Option<IpAddr>) -> Option<Admitted> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        self.admit(place, address)
    }

    /// Gives the place to a caller at this address, unless it has enough.
    pub(crate) fn admit(&self, place: OwnedSemaphorePermit, address: Option<IpAddr>) -> Option<Admitted> {
        let source = address.map(source_prefix);
        if let Some(source) = source {
            let mut by_source = self.by_source.lock().unwrap_or_else(PoisonError::into_inner);
            let count = by_source.entry(source).or_default();
            if *count >= self.per_source {
                return None;
            }
            *count = count.saturating_add(1);
        }
        Some(Admitted { source, by_source: Arc::clone(&self.by_source), _place: place })
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let Some(source) = self.source else { return };
        let mut by_source = self.by_source.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(count) = by_source.get_mut(&source) else { return };
        *count = count.saturating_sub(1);
        if *count == 0 {
            by_source.remove(&source);
        }
    }
}
