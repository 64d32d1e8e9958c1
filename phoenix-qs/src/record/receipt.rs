//! What is remembered of deliveries of other homeservers.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

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
    /// Set where its key is not known here: it may be invented.
    unknown_key: Flag,
    /// Set where others came after it for which there was no room: until all that are listed are applied, none of
    /// those that are not is, nor is another listed, so that they come as their source sends them.
    overflowed: Flag,
}

/// Why a delivery is put off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The key of its queue config is not known here, at least not yet.
    UnknownKey,
    /// A limit, or another delivery that goes first.
    Limit,
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

    /// Remembers a delivery that is put off; tells whether that was possible.
    ///
    /// Where the list is full, the config with the most deliveries loses its last, which then comes as its source sends
    /// it; first among those that wait for a key, of which the longest known goes for good where each has one. So one
    /// config costs others one place at most, and configs under invented keys cost them none.
    pub(crate) fn with(
        mut self,
        config: [u8; 16],
        delivery: [u8; 16],
        reason: Reason,
        now: Timestamp,
    ) -> (Self, bool) {
        let unknown_key = Flag::from(reason == Reason::UnknownKey);
        let next = Waiting { config, delivery, since: now.as_secs(), unknown_key, overflowed: Flag::No };
        let mut waiting = std::mem::take(&mut self.waiting).into_vec();
        let has_room = has_room(&waiting, unknown_key);
        let of_config = waiting.iter().filter(|it| it.config == config).count();
        if let Some(found) = waiting.iter_mut().find(|it| it.config == config && it.delivery == delivery) {
            found.unknown_key = unknown_key;
        } else if let Some(last) = waiting.iter_mut().rfind(|it| it.config == config) {
            if has_room && of_config < MAX_OF_CONFIG && !last.overflowed.is_set() {
                waiting.push(next);
            } else {
                last.overflowed = Flag::Yes;
            }
        } else if has_room || make_room(&mut waiting, true) || make_room(&mut waiting, false) {
            waiting.push(next);
        } else {
            return (Self::of_waiting(waiting), false);
        }
        (Self::of_waiting(waiting), true)
    }

    /// Whether deliveries to so many other configs can be put off for the limits.
    pub(crate) fn has_room_for(&self, configs: usize) -> bool {
        let limited = self.waiting.iter().filter(|it| !it.unknown_key.is_set()).map(|it| it.config);
        limited.collect::<BTreeSet<_>>().len().saturating_add(configs) <= MAX_WAITING
    }

    /// Without a delivery that need wait no longer.
    pub(crate) fn without(self, config: &[u8; 16], delivery: &[u8; 16]) -> Self {
        let has_overflowed = self.of(config).any(|it| it.overflowed.is_set());
        let rest = self.keeping(|it| it.config != *config || it.delivery != *delivery);
        let mut waiting = rest.waiting.into_vec();
        if let Some(last) = waiting.iter_mut().rfind(|it| it.config == *config && has_overflowed) {
            last.overflowed = Flag::Yes;
        }
        Self::of_waiting(waiting)
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
        Self::of_waiting(waiting)
    }

    /// Of a list that is not too long.
    fn of_waiting(waiting: Vec<Waiting>) -> Self {
        Self { waiting: List::new(waiting).unwrap_or_default() }
    }
}

impl Waiting {
    fn ends(&self) -> Timestamp {
        Timestamp::from_secs(self.since).plus_secs(HELD_DAYS * DAY)
    }
}

fn has_room(waiting: &[Waiting], unknown_key: Flag) -> bool {
    let unknown = waiting.iter().filter(|it| it.unknown_key.is_set()).count();
    waiting.len() < MAX_WAITING && (!unknown_key.is_set() || unknown < MAX_UNKNOWN)
}

/// Forgets the last delivery of the config that has the most, among those that wait for a key or among all; tells
/// whether there was one. The only one of a config goes only where it waits for a key.
fn make_room(waiting: &mut Vec<Waiting>, of_unknown: bool) -> bool {
    let mut counts = BTreeMap::<[u8; 16], usize>::new();
    for it in waiting.iter() {
        let count = counts.entry(it.config).or_default();
        *count = count.saturating_add(1);
    }
    let candidates = waiting.iter().filter(|it| !of_unknown || it.unknown_key.is_set());
    let count = |it: &Waiting| counts.get(&it.config).copied().unwrap_or_default();
    // The first of those with as many: it has waited longest.
    let Some(most) = candidates.min_by_key(|it| Reverse(count(it))).copied() else { return false };
    if count(&most) < 2 && !of_unknown {
        return false;
    }
    let Some(last) = waiting.iter().rposition(|it| it.config == most.config) else { return false };
    waiting.remove(last);
    if let Some(before) = waiting.iter_mut().rfind(|it| it.config == most.config) {
        before.overflowed = Flag::Yes;
    }
    true
}

/// Deliveries of one source that are remembered, each for one config: others are put off only behind these.
const MAX_WAITING: usize = 1_024;
/// Of these at most so many that wait for a key: half.
const MAX_UNKNOWN: usize = 512;
/// Deliveries to one queue config whose order is kept whatever their source does; beyond these it is the order in
/// which their source sends them again.
const MAX_OF_CONFIG: usize = 64;
/// How long others wait behind a delivery that was put off, in days: a day longer than its source tries (08).
const HELD_DAYS: u64 = 8;
