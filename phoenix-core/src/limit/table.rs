//! Points in time by keyed hash, in memory of fixed size.

/// Keeps the latest points: where a set is full, the one that lies earliest makes room. Whoever comes with ever new
/// keys pushes these out, not what was counted for a key that came often.
pub(super) struct Table {
    /// Sets of [`WAYS`] slots, one after the other.
    slots: Vec<Slot>,
}

/// A hash, and the point kept for it. A slot whose point has passed is free.
type Slot = [u64; 2];

impl Default for Table {
    fn default() -> Self {
        // All zeros: the system gives the memory only where it is used.
        Self { slots: vec![[0; 2]; SLOTS] }
    }
}

impl Table {
    /// The point of a hash, or 0.
    pub(super) fn find(&self, hash: u64) -> u64 {
        let set = self.slots.get(set(hash)).unwrap_or_default();
        set.iter().find(|[held, _]| *held == hash).map_or(0, |[_, point]| *point)
    }

    /// Bytes that it takes.
    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        self.slots.capacity().saturating_mul(size_of::<Slot>())
    }

    /// Keeps a point for a hash. Points beyond `full` are left from before the clock was set back: they go first.
    pub(super) fn keep(&mut self, hash: u64, point: u64, full: u64) {
        let set = self.slots.get_mut(set(hash)).unwrap_or_default();
        let slot = match set.iter_mut().position(|[held, _]| *held == hash) {
            Some(place) => set.get_mut(place),
            None => set.iter_mut().min_by_key(|[_, point]| if *point > full { 0 } else { *point }),
        };
        if let Some(slot) = slot {
            *slot = [hash, point];
        }
    }
}

/// Where the set of a hash lies.
fn set(hash: u64) -> std::ops::Range<usize> {
    let set = usize::try_from(hash % SETS).unwrap_or_default();
    let first = set.saturating_mul(WAYS);
    first..first.saturating_add(WAYS)
}

/// Sets: with their slots they take 1 MiB a limit, and hold more sources, groups and queues than come close to a limit
/// at a time.
const SETS: u64 = 8_192;
/// Slots in a set: so many busy keys must fall on one set before one of them is forgotten.
const WAYS: usize = 8;
/// Slots in a table.
pub(super) const SLOTS: usize = 65_536;
const _: () = assert!(SLOTS as u64 == SETS * WAYS as u64, "whole sets");
