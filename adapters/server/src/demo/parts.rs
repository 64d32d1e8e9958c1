//! What the play is built from.

use std::sync::Arc;

use phoenix_client::{Habits, Stretch};
use phoenix_core::port::{Store, Transport};

/// One of the homeservers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    /// alpha.test
    Alpha,
    /// beta.test
    Beta,
    /// gamma.test, which has no users of its own, and takes queues of others'.
    Gamma,
}

/// Puts the play's parts in place: as they are, or, in tests of the play itself, with one of them broken.
pub(crate) trait Parts: Send + Sync + 'static {
    /// A homeserver's store.
    fn store(&self, _of: Side, store: Arc<dyn Store>) -> Arc<dyn Store> {
        store
    }

    /// How a homeserver reaches the others.
    fn wire(&self, _of: Side, transport: Arc<dyn Transport>) -> Arc<dyn Transport> {
        transport
    }

    /// How clients reach homeservers.
    fn road(&self, transport: Arc<dyn Transport>) -> Arc<dyn Transport> {
        transport
    }

    /// Is told which step begins.
    fn begin(&self, _step: u8) {}

    /// How long the players wait for what must come, in milliseconds.
    fn patience_ms(&self) -> u64 {
        8_000
    }

    /// What stretching a password costs the players.
    fn stretch(&self) -> Stretch {
        Stretch::default()
    }

    /// How the players' clients behave: they fetch tokens when they are told to.
    fn habits(&self) -> Habits {
        Habits { jitter_s: 0, ..Habits::default() }
    }
}

/// Everything as it is.
pub(crate) struct Sound;

impl Parts for Sound {}
