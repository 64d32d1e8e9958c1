//! Values that every call reads, and that seldom change.

use std::sync::{Arc, PoisonError, RwLock};

/// A value that is put in place of another as a whole. Reading takes a lock for as long as it takes to count a reference;
/// who has read goes on with what it read.
#[derive(Debug, Default)]
pub(crate) struct Board<T>(RwLock<Arc<T>>);

impl<T> Board<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(RwLock::new(Arc::new(value)))
    }

    /// What is there now.
    pub(crate) fn current(&self) -> Arc<T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts in place what becomes of what is there: of two who change it at once, neither is lost.
    pub(crate) fn change(&self, change: impl FnOnce(&T) -> T) {
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(change(&current));
    }
}
