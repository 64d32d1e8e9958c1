//! What broke on our side.

use crate::port::StoreError;

/// A failure of this server, for its operator. A peer sees only `internal` or `unavailable`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The store did not do its work.
    #[error("store: {0}")]
    Store(#[from] StoreError),
    /// Something that always holds did not; the text names it and carries no value.
    #[error("broken invariant: {0}")]
    Broken(&'static str),
}
