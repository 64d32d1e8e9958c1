//! The in-memory store takes the exam of the Store port. It is excused from S5 alone.

use std::sync::Arc;

use phoenix_conformance::store::Candidate;
use phoenix_core::port::Store;
use phoenix_core::store::MemoryStore;

phoenix_conformance::store_exam!(fresh, excused: [s5]);

fn fresh() -> Memory {
    Memory(MemoryStore::new())
}

struct Memory(MemoryStore);

#[async_trait::async_trait]
impl Candidate for Memory {
    fn store(&self) -> Arc<dyn Store> {
        Arc::new(self.0.clone())
    }

    async fn revived(&self) -> Option<Arc<dyn Store>> {
        None
    }

    async fn replica(&self) -> Option<Arc<dyn Store>> {
        Some(self.store())
    }
}
