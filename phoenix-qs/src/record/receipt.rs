//! What is remembered of deliveries of other homeservers.

use phoenix_core::{
    MAX_PART, Timestamp,
    api::federation::RecipientResult,
    time::DAY,
    wire::{Flag, List},
};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

/// What became of a part of a delivery.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct ReceiptRecord {
    /// For each recipient, in order.
    pub(crate) results: List<RecipientResult, MAX_PART>,
}

/// Deliveries of one source that were put off; later ones to the same queue configs wait behind them (08).
#[derive(Clone, Debug, Default, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct HeldRecord {
    /// In the order in which they came.
    waiting: List<Waiting, MAX_WAITING>,
}

/// A delivery to a queue config that was put off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
struct Waiting {
    /// Keyed hash of the config.
    config: [u8; 16],
    /// Keyed hash of the delivery.
    delivery: [u8; 16],
    /// When it was first put off, in seconds.
    since: u64,
    /// Set where others came after it for which there was no room: until all that are listed are applied, none of
    /// those that are not is, nor is another listed, so that they come as their source sends them.
    overflowed: Flag,
}

impl HeldRecord {
    /// Without what nobody need wait for any more.
    pub(crate) fn current(self, now: Timestamp) -> Self {
        self.keeping(|it| now < it.ends())
    }

    /// Whether a delivery must let others go first.
    pub(crate) fn is_behind(&self, config: &[u8; 16], delivery: &[u8; 16]) -> bool {
        self.of(config).next().is_some_and(|first| first.delivery != *delivery)
    }

    /// Remembers a delivery that is put off. None where there is no room for another config of this source.
    pub(crate) fn with(self, config: [u8; 16], delivery: [u8; 16], now: Timestamp) -> Option<Self> {
        if self.of(&config).any(|it| it.delivery == delivery) {
            return Some(self);
        }
        let of_config = self.of(&config).count();
        let has_overflowed = self.of(&config).any(|it| it.overflowed.is_set());
        let mut waiting = self.waiting.into_vec();
        if waiting.len() < MAX_WAITING && of_config < MAX_OF_CONFIG && !has_overflowed {
            waiting.push(Waiting { config, delivery, since: now.as_secs(), overflowed: Flag::No });
        } else {
            waiting.iter_mut().rfind(|it| it.config == config)?.overflowed = Flag::Yes;
        }
        // Not longer than that.
        Some(Self { waiting: List::new(waiting).unwrap_or_default() })
    }

    /// Without a delivery that need wait no longer.
    pub(crate) fn without(self, config: &[u8; 16], delivery: &[u8; 16]) -> Self {
        let has_overflowed = self.of(config).any(|it| it.overflowed.is_set());
        let rest = self.keeping(|it| it.config != *config || it.delivery != *delivery);
        let mut waiting = rest.waiting.into_vec();
        if let Some(last) = waiting.iter_mut().rfind(|it| it.config == *config && has_overflowed) {
            last.overflowed = Flag::Yes;
        }
        Self { waiting: List::new(waiting).unwrap_or_default() }
    }

    /// When nobody need wait for any of it; none where nothing waits.
    pub(crate) fn ends(&self) -> Option<Timestamp> {
        self.waiting.iter().map(Waiting::ends).max()
    }

    fn of(&self, config: &[u8; 16]) -> impl Iterator<Item = &Waiting> {
        self.waiting.iter().filter(move |it| it.config == *config)
    }

    fn keeping(self, keep: impl Fn(&Waiting) -> bool) -> Self {
        let mut waiting = self.waiting.into_vec();
        waiting.retain(keep);
        // It has only become shorter.
        Self { waiting: List::new(waiting).unwrap_or_default() }
    }
}

impl Waiting {
    fn ends(&self) -> Timestamp {
        Timestamp::from_secs(self.since).plus_secs(HELD_DAYS * DAY)
    }
}

/// Deliveries of one source that are remembered, each for one config: others are put off only behind these.
const MAX_WAITING: usize = 1_024;
/// Deliveries to one queue config whose order is kept whatever their source does; beyond these it is the order in
/// which their source sends them again.
const MAX_OF_CONFIG: usize = 64;
/// How long others wait behind a delivery that was put off, in days: a day longer than its source tries (08).
const HELD_DAYS: u64 = 8;
