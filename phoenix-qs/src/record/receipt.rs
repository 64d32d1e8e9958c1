//! What is remembered of deliveries of other homeservers.

use phoenix_core::{MAX_PART, Timestamp, api::federation::RecipientResult, wire::List};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

/// What became of a part of a delivery.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct ReceiptRecord {
    /// For each recipient, in order.
    pub(crate) results: List<RecipientResult, MAX_PART>,
}

/// A queue config with deliveries that were put off; later ones of the same source wait behind them (08).
#[derive(Clone, Debug, Default, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct HeldConfig {
    /// Keyed hashes of the deliveries, in the order in which they came.
    waiting: List<[u8; 16], MAX_WAITING>,
    /// When nothing need wait any more, in seconds.
    until: u64,
}

impl HeldConfig {
    /// Whether a delivery must let others go first.
    pub(crate) fn is_behind(&self, delivery: &[u8; 16], now: Timestamp) -> bool {
        now.as_secs() < self.until && self.waiting.first().is_some_and(|first| first != delivery)
    }

    /// With a delivery that was put off.
    pub(crate) fn with(self, delivery: [u8; 16], until: Timestamp) -> Self {
        let mut waiting = self.waiting.into_vec();
        if !waiting.contains(&delivery) && waiting.len() < MAX_WAITING {
            waiting.push(delivery);
        }
        // It was not made longer than that.
        Self { waiting: List::new(waiting).unwrap_or_default(), until: until.as_secs() }
    }

    /// Without a delivery that was applied; none where that was the last.
    pub(crate) fn without(self, delivery: &[u8; 16]) -> Option<Self> {
        let mut waiting = self.waiting.into_vec();
        waiting.retain(|it| it != delivery);
        if waiting.is_empty() {
            return None;
        }
        Some(Self { waiting: List::new(waiting).unwrap_or_default(), until: self.until })
    }
}

/// Deliveries to one queue config whose order is kept while they are put off; those beyond come when these are
/// applied, in any order.
const MAX_WAITING: usize = 64;
