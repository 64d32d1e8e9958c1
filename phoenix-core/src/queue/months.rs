//! When a queue's entries expire: by months, since no finer time of them is kept (09).

use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use crate::{
    Timestamp,
    time::{DAY, Month},
    wire::List,
};

/// From which number on the entries of a queue are of which month, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct Months(List<Mark, MAX_MONTHS>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
struct Mark {
    month: Month,
    first_seq: u64,
}

impl Months {
    /// Those of a queue whose entry of this number comes now.
    #[must_use]
    pub fn with(self, seq: u64, now: Timestamp) -> Self {
        let begins = self.begin(now);
        let mut marks = self.0.into_vec();
        if begins {
            marks.push(Mark { month: Month::of(now), first_seq: seq });
        }
        if marks.len() > MAX_MONTHS {
            marks.remove(0);
        }
        // It is within its bound.
        Self(List::new(marks).unwrap_or_default())
    }

    /// Whether an entry that comes now is the first of its month.
    #[must_use]
    pub fn begin(&self, now: Timestamp) -> bool {
        self.0.last().is_none_or(|last| last.month < Month::of(now))
    }

    /// The number below which all entries have expired, where some have: of a queue whose next entry has this number.
    #[must_use]
    pub fn expire(self, next_seq: u64, now: Timestamp) -> (Self, Option<u64>) {
        let mut marks = self.0.into_vec();
        let mut below = None;
        while let Some(first) = marks.first()
            && end_of(first.month) <= now
        {
            below = Some(marks.get(1).map_or(next_seq, |next| next.first_seq));
            marks.remove(0);
        }
        // It has only become shorter.
        (Self(List::new(marks).unwrap_or_default()), below)
    }
}

/// When the last entry of a month has expired.
fn end_of(month: Month) -> Timestamp {
    month.plus(1).start().plus_secs(ENTRY_DAYS * DAY)
}

/// Months within which entries can be unexpired: 90 d touch four or five.
const MAX_MONTHS: usize = 8;
/// Days for which an entry waits to be read (06).
const ENTRY_DAYS: u64 = 90;

#[cfg(test)]
mod tests {
    use super::Months;
    use crate::{Timestamp, time::DAY};

    #[test]
    fn entries_expire_ninety_days_after_their_month_and_later_ones_stay() {
        // given entries 0 to 2 of a January, and 3 and 4 of the February after it
        let months = [(0, 0), (1, 20), (3, 31), (4, 40)]
            .into_iter()
            .fold(Months::default(), |months, (seq, day)| months.with(seq, on(day)));

        assert_eq!(months.clone().expire(5, on(31 + 89)), (months.clone(), None));
        let (later, below) = months.expire(5, on(31 + 90));
        assert_eq!(below, Some(3));
        assert_eq!(later.clone().expire(5, on(59 + 89)), (later.clone(), None));
        assert_eq!(later.expire(5, on(59 + 90)), (Months::default(), Some(5)));
    }

    #[test]
    fn months_of_a_queue_that_nobody_reads_are_bounded() {
        let months = (0..100).fold(Months::default(), |months, number| months.with(number, on(number * 31)));

        assert_eq!(months.0.len(), super::MAX_MONTHS);
    }

    fn on(day: u64) -> Timestamp {
        Timestamp::from_secs(day * DAY)
    }
}
