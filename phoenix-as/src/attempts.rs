//! What may happen so often within a time: logins that were not completed, clients that were added (04).
//!
//! The time of each occurrence is kept, so that none counts a second too long or too short, and goes with its limit.

use phoenix_core::{
    Failure,
    operation::{Context, Decision, Local, Reading, Rows},
    port::{Alarm, Wanted, Write},
    time::{DAY, HOUR},
    wire::List,
};

use crate::{AuthService, account::ends, record};

/// How often something may happen within a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    most: usize,
    within_s: u64,
}

impl Limit {
    /// So often an hour.
    pub(crate) fn an_hour(most: u16) -> Self {
        Self { most: usize::from(most).min(MAX_TIMES), within_s: HOUR }
    }

    /// So often in 30 days.
    pub(crate) fn a_month(most: u16) -> Self {
        Self { most: usize::from(most).min(MAX_TIMES), within_s: 30 * DAY }
    }
}

/// What happened lately, and counts.
pub(crate) struct Recent {
    at: Local,
    limit: Limit,
    times: Vec<u64>,
}

/// Reads what happened lately, to count on.
pub(crate) fn reading(at: Local) -> Reading {
    Reading::change(at, Wanted::Keys(vec![record::ROW]))
}

impl Recent {
    /// What still counts at a place that [`reading`] asked for.
    ///
    /// # Errors
    /// A fault where what is stored is none.
    pub(crate) fn found(
        rows: &Rows,
        place: usize,
        (at, limit): (Local, Limit),
        cx: &Context<AuthService>,
    ) -> Result<Self, Failure> {
        let stored = rows.row(place, &record::ROW)?.map(|stored| record::decode(stored)).transpose()?;
        let times: List<u64, MAX_TIMES> = stored.unwrap_or_default();
        let counts = |time: &u64| time.saturating_add(limit.within_s) > cx.now.as_secs();
        Ok(Self { at, limit, times: times.into_iter().filter(counts).collect() })
    }

    /// After how many seconds it may happen again; `None` where it may now.
    pub(crate) fn must_wait(&self, cx: &Context<AuthService>) -> Option<u32> {
        let excess = (self.times.len().saturating_add(1)).saturating_sub(self.limit.most);
        let last_in_the_way = excess.checked_sub(1)?;
        let until =
            self.times.get(last_in_the_way).map_or(u64::MAX, |it| it.saturating_add(self.limit.within_s));
        Some(u32::try_from(until.saturating_sub(cx.now.as_secs())).unwrap_or(u32::MAX).max(1))
    }

    /// How many times over its limit has doubled: 1 where it happened twice as often, 2 where four times. Bounded by what
    /// is remembered.
    pub(crate) fn doublings(&self) -> u8 {
        let times = self.times.len().checked_div(self.limit.most.max(1)).unwrap_or(0);
        times.checked_ilog2().and_then(|doublings| u8::try_from(doublings).ok()).unwrap_or(0)
    }

    /// Also counts that it happens now. Beyond what is remembered, the oldest is forgotten for it.
    pub(crate) fn counted<R>(mut self, decision: Decision<R>, cx: &Context<AuthService>) -> Decision<R> {
        self.times.push(cx.now.as_secs());
        let excess = self.times.len().saturating_sub(MAX_TIMES);
        self.times.drain(..excess);
        self.written(decision)
    }

    /// Also takes back what happened at a second, if it still counts.
    pub(crate) fn taken_back<R>(mut self, decision: Decision<R>, time: u64) -> Decision<R> {
        let Some(place) = self.times.iter().position(|it| *it == time) else { return decision };
        self.times.remove(place);
        self.written(decision)
    }

    fn written<R>(self, decision: Decision<R>) -> Decision<R> {
        let Self { at, limit, times } = self;
        let Some(last) = times.iter().max() else {
            return decision.change(at, vec![Write::Drop], Alarm::Never);
        };
        let alarm = Alarm::At(ends(last.saturating_add(limit.within_s)));
        let times = List::<u64, MAX_TIMES>::new(times).unwrap_or_default();
        decision.change(at, vec![Write::Put(record::ROW, record::encode(&times))], alarm)
    }
}

/// Occurrences that are remembered of one thing, also beyond its limit: 4 KiB.
const MAX_TIMES: usize = 512;
