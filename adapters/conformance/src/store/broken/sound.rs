//! A store that breaks nothing, and what makes a candidate of one that does.

use std::sync::Arc;

use async_trait::async_trait;
use phoenix_core::port::Store;
use phoenix_core::store::MemoryStore;

use crate::store::Candidate;

/// Keeps every clause: the others are judged against it. A copy of its memory stands for its disk.
#[derive(Default)]
pub struct Sound(MemoryStore);

#[async_trait]
impl Candidate for Sound {
    fn store(&self) -> Arc<dyn Store> {
        Arc::new(self.0.clone())
    }

    async fn revived(&self) -> Option<Arc<dyn Store>> {
        Some(Arc::new(self.0.fork()))
    }

    async fn replica(&self) -> Option<Arc<dyn Store>> {
        Some(self.store())
    }
}

/// A broken store whose fault shows in itself: its clones stand for its replicas, and for what a kill leaves.
pub(super) struct Wrapped<S>(pub(super) S);

#[async_trait]
impl<S: Store + Clone> Candidate for Wrapped<S> {
    fn store(&self) -> Arc<dyn Store> {
        Arc::new(self.0.clone())
    }

    async fn revived(&self) -> Option<Arc<dyn Store>> {
        Some(self.store())
    }

    async fn replica(&self) -> Option<Arc<dyn Store>> {
        Some(self.store())
    }
}
