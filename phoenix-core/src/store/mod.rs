//! The in-memory store, and what every store needs to judge a batch.

mod batch;
mod memory;

pub use batch::number_key;
pub use memory::MemoryStore;
