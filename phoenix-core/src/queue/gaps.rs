//! Which numbers of a queue were taken with nothing stored.

use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use crate::wire::List;

/// Numbers that a full queue took for entries that it dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(super) struct Gaps {
    /// How many, in all runs: it is asked with each entry.
    dropped: u64,
    /// Oldest first.
    runs: List<Gap, MOST>,
}

/// Numbers from one on and below another, of which so many were dropped: all of them, unless runs were drawn together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
struct Gap {
    from: u64,
    below: u64,
    dropped: u64,
}

impl Gaps {
    /// How many numbers were dropped.
    pub(super) const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The number behind the last that was dropped.
    pub(super) fn end(&self) -> Option<u64> {
        self.runs.iter().next_back().map(|gap| gap.below)
    }

    /// These, and a number behind them.
    pub(super) fn with(self, number: u64) -> Self {
        let mut gaps = self.runs.into_vec();
        let below = number.saturating_add(1);
        match gaps.last_mut() {
            Some(last) if last.below == number => {
                last.below = below;
                last.dropped = last.dropped.saturating_add(1);
            }
            Some(_) | None => gaps.push(Gap { from: number, below, dropped: 1 }),
        }
        Self::of(gaps)
    }

    /// What is left of them from a number on.
    pub(super) fn from(self, number: u64) -> Self {
        let left = |gap: Gap| {
            let passed = number.saturating_sub(gap.from);
            // Where runs were drawn together, the dropped ones count as the first: so no queue is longer than it seems.
            let dropped = gap.dropped.saturating_sub(passed);
            (gap.below > number).then_some(Gap { from: gap.from.max(number), dropped, ..gap })
        };
        Self::of(self.runs.into_vec().into_iter().filter_map(left).collect())
    }

    /// As many runs as are kept: of more, the oldest two are drawn together.
    fn of(mut gaps: Vec<Gap>) -> Self {
        if let [first, second, rest @ ..] = gaps.as_slice()
            && gaps.len() > MOST
        {
            let dropped = first.dropped.saturating_add(second.dropped);
            let both = Gap { from: first.from, below: second.below, dropped };
            gaps = [&[both], rest].concat();
        }
        let dropped = gaps.iter().fold(0_u64, |all, gap| all.saturating_add(gap.dropped));
        Self { dropped, runs: List::new(gaps).unwrap_or_default() }
    }
}

/// Runs that are kept: an owner that reads a full queue now and then comes to a few, and the record stays small.
const MOST: usize = 8;

#[cfg(test)]
mod tests {
    use super::{Gap, Gaps, MOST};

    #[test]
    fn numbers_beside_each_other_are_one_run_and_passing_them_forgets_them() {
        let gaps = [5, 6, 7, 20].into_iter().fold(Gaps::default(), Gaps::with);

        assert_eq!((gaps.runs.len(), gaps.dropped(), gaps.end()), (2, 4, Some(21)));
        assert_eq!(gaps.clone().from(5), gaps);
        assert_eq!((gaps.clone().from(6).dropped(), gaps.clone().from(8).dropped()), (3, 1));
        assert_eq!(gaps.from(21), Gaps::default());
    }

    #[test]
    fn more_runs_than_are_kept_are_drawn_together_and_count_as_few_as_they_may_be() {
        let last = u64::try_from(MOST).unwrap_or_default() * 10;
        let gaps = (0..=last / 10).map(|run| run * 10).fold(Gaps::default(), Gaps::with);

        assert_eq!((gaps.runs.len(), gaps.dropped(), gaps.end()), (MOST, last / 10 + 1, Some(last + 1)));
        assert_eq!(gaps.runs.first(), Some(&Gap { from: 0, below: 11, dropped: 2 }));
        assert_eq!(gaps.clone().from(2).dropped(), last / 10 - 1);
        assert_eq!(gaps.from(11).dropped(), last / 10 - 1);
    }
}
