//! What homeservers wrote, batch by batch: another store that is given the same holds what theirs hold.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use phoenix_core::{Fqdn, port::Batch};

/// Keeps batches that were applied, by the homeserver that wrote them. It keeps nothing until it is begun.
#[derive(Default)]
pub(crate) struct Journal {
    batches: Mutex<Option<BTreeMap<Fqdn, Vec<Batch>>>>,
}

impl Journal {
    pub(crate) fn begin(&self) {
        self.batches.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default();
    }

    pub(crate) fn note(&self, of: &Fqdn, batch: &Batch) {
        if let Some(batches) = &mut *self.batches.lock().unwrap_or_else(PoisonError::into_inner) {
            batches.entry(of.clone()).or_default().push(batch.clone());
        }
    }

    /// All that was kept.
    pub(crate) fn take(&self) -> BTreeMap<Fqdn, Vec<Batch>> {
        self.batches.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default()
    }
}
