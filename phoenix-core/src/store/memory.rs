//! A [`Store`](crate::port::Store) in memory.

/// Keeps everything in memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore;
