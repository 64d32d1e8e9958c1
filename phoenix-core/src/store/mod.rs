//! The in-memory store.

mod memory;

pub use memory::MemoryStore;
