//! A random walk: batches over a few partitions, each answer compared with the model's.

use std::sync::Arc;

use bytes::Bytes;
use futures::executor::block_on;
use phoenix_core::Timestamp;
use phoenix_core::port::{
    Alarm, Base, Batch, Mark, Part, PartitionKey, Place, RowKey, Space, Store, Wanted, Write,
};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use super::faulty::{Faulty, every_third};
use super::{Candidate, Checked, Violation};

/// Walks `steps` random batches, reads and looks for due partitions, with faults between store and model.
///
/// # Errors
/// The first answer that the model does not allow.
pub fn walk(candidate: &dyn Candidate, seed: u64, steps: usize) -> Result<(), Violation> {
    let faulty: Arc<dyn Store> = Arc::new(Faulty::new(candidate.store(), every_third));
    let checked = Checked::new("s2_s6_s10_s11_a_random_walk", faulty);
    let mut walker = Walker { random: ChaCha8Rng::seed_from_u64(seed), marks: Vec::new() };
    block_on(async {
        for _ in 0..steps {
            walker.step(&checked).await;
            checked.verdict().await?;
        }
        Ok(())
    })
}

struct Walker {
    random: ChaCha8Rng,
    /// Marks that some partition may have.
    marks: Vec<Mark>,
}

impl Walker {
    /// One call; a failed one is left to the model, which then allows both outcomes.
    async fn step(&mut self, store: &Checked) {
        match self.below(8) {
            0 => drop(store.due(self.partition().space(), self.time(), 3).await),
            1 | 2 => {
                let places: Vec<Place> = (0..3).map(|_| self.place()).collect();
                drop(store.read(&places).await);
            }
            _ => {
                let batch = self.batch();
                let _ = store.commit(&batch).await;
                if self.below(4) == 0 {
                    let _ = store.commit(&batch).await;
                }
            }
        }
    }

    fn batch(&mut self) -> Batch {
        let mut parts: Vec<Part> = (0..=self.below(3)).map(|_| self.part()).collect();
        parts.sort_by(|one, other| one.partition.cmp(&other.partition));
        parts.dedup_by(|one, other| one.partition == other.partition);
        Batch { parts }
    }

    fn part(&mut self) -> Part {
        let base = match self.below(6) {
            0 => Base::Absent,
            1 => self.known_mark().map_or(Base::Absent, Base::At),
            _ => Base::Any,
        };
        let alarm = match self.below(8) {
            0 => Alarm::At(self.time()),
            1 => Alarm::IfNone(self.time()),
            2 => Alarm::Never,
            _ => Alarm::Keep,
        };
        let writes = (0..self.below(4)).map(|_| self.write()).collect();
        let mut mark = [0; 16];
        self.random.fill_bytes(&mut mark);
        self.marks.push(Mark(mark));
        Part { partition: self.partition(), base, mark: Mark(mark), writes, alarm }
    }

    fn write(&mut self) -> Write {
        match self.below(12) {
            0..4 => Write::Put(self.row(), self.row()),
            4..7 => Write::Append(self.row()),
            7 => Write::Delete(self.row()),
            8 | 9 => Write::Take(self.row()),
            10 => Write::DeleteBelow(self.row()),
            _ => Write::Drop,
        }
    }

    fn place(&mut self) -> Place {
        let wanted = match self.below(4) {
            0 => Wanted::Mark,
            1 => Wanted::Keys((0..self.below(4)).map(|_| self.row()).collect()),
            2 => Wanted::first(3),
            _ => Wanted::Range { from: self.row(), below: self.row(), limit: 4, bytes: 9 },
        };
        Place { partition: self.partition(), wanted }
    }

    /// One of six: few enough that batches meet.
    fn partition(&mut self) -> PartitionKey {
        let space = if self.below(2) == 0 { Space::Qs } else { Space::Lane };
        PartitionKey::new(space, Bytes::from(vec![b'p'; self.below(3)]))
    }

    /// A number, as appended rows have, or one of a few short keys.
    fn row(&mut self) -> RowKey {
        let number = self.random.next_u64() % 16;
        if self.below(3) == 0 {
            Bytes::from(vec![b'r'; self.below(3)])
        } else {
            number.to_be_bytes().to_vec().into()
        }
    }

    fn time(&mut self) -> Timestamp {
        Timestamp(self.random.next_u64() % 50)
    }

    /// The mark of one of the last parts, whose partition may have it still.
    fn known_mark(&mut self) -> Option<Mark> {
        let back = self.below(6) + 1;
        self.marks.len().checked_sub(back).and_then(|at| self.marks.get(at)).copied()
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.random.next_u32()).unwrap_or_default() % bound.max(1)
    }
}
