//! Alarms: what happens when a partition's time has come.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use futures::{FutureExt, StreamExt, stream::FuturesUnordered};

use super::Shared;
use crate::{
    Failure,
    operation::{Local, OnAlarm},
    port::{Alarm, Base, Batch, Commit, Mark, Part, PartitionKey, Place, Space, Wanted, Write},
};

/// Does what alarms ask for.
#[async_trait]
pub trait Ticker: Send + Sync + 'static {
    /// What the alarm of such a partition does.
    fn on_alarm(&self, space: Space, kind: u8) -> OnAlarm;
    /// What a tick on a partition waits for.
    fn waits_for(&self, _space: Space, _at: &Local) -> WaitsFor {
        WaitsFor::Store
    }
    /// Runs the service's `tick` on a partition whose alarm rang. It must set the alarm anew or clear it.
    ///
    /// # Errors
    /// Whatever kept it from that; the partition rests for a moment then.
    async fn tick(&self, space: Space, at: Local) -> Result<(), Failure>;
}

/// What a tick waits for. Each has ticks of its own under way, so that none takes another's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitsFor {
    /// The store alone.
    Store,
    /// A homeserver that answered when it was asked last.
    Answering,
    /// One that did not, or was not asked yet.
    Silent,
}

impl WaitsFor {
    /// Ticks of it that are under way at a time.
    const fn most(self) -> usize {
        match self {
            Self::Store => MAX_STORE_TICKS,
            Self::Answering => MAX_ANSWERING,
            Self::Silent => MAX_SILENT,
        }
    }
}

/// The worker of all alarms but those of lanes.
pub struct Alarms {
    shared: Arc<Shared>,
    ticker: Arc<dyn Ticker>,
}

impl Alarms {
    /// A worker over the shared part of a homeserver.
    #[must_use]
    pub const fn new(shared: Arc<Shared>, ticker: Arc<dyn Ticker>) -> Self {
        Self { shared, ticker }
    }

    /// Works until it is dropped.
    pub async fn run(&self) {
        let clock = &self.shared.ports.clock;
        let mut busy = BTreeMap::new();
        let mut ticks = FuturesUnordered::new();
        let mut passed_over = 0_usize;
        loop {
            let listener = self.shared.alarms.listen();
            let (due, more) = self.sweep(passed_over.saturating_add(ticks.len())).await;
            passed_over = 0;
            for (partition, at) in due {
                if busy.contains_key(&partition) {
                    continue;
                }
                let kind = self.ticker.waits_for(partition.space(), &at);
                if busy.values().filter(|it| **it == kind).count() < kind.most() {
                    busy.insert(partition.clone(), kind);
                    ticks.push(self.tick_or_rest(partition, at));
                } else {
                    passed_over = passed_over.saturating_add(1).min(MAX_PASSED_OVER);
                }
            }
            let pause = if more { 0 } else { POLL_MS };
            let poll = clock.sleep_until(clock.now().plus_millis(pause));
            futures::select_biased! {
                done = ticks.select_next_some() => {
                    busy.remove(&done);
                }
                () = listener.fuse() => {}
                () = poll.fuse() => {}
            }
        }
    }

    /// Does all that is due now, once and in order. For tests and draining.
    pub async fn run_once(&self) {
        let (due, _) = self.sweep(0).await;
        for (partition, at) in due {
            self.tick_or_rest(partition, at).await;
        }
    }

    /// Runs a tick. One that fails rests here, not in the store, which may be what fails.
    async fn tick_or_rest(&self, partition: PartitionKey, at: Local) -> PartitionKey {
        if let Err(failure) = self.ticker.tick(partition.space(), at).await {
            if let Failure::Broken(fault) = failure {
                tracing::error!(%fault, "an alarm could not be served");
            }
            let clock = &self.shared.ports.clock;
            clock.sleep_until(clock.now().plus_millis(REST_MS)).await;
        }
        partition
    }

    /// Drops what is to be dropped, and returns what is to be ticked, and whether more is due than was looked at.
    /// Looks past as many as are being ticked already, or have to wait.
    async fn sweep(&self, beside: usize) -> (Vec<(PartitionKey, Local)>, bool) {
        let (mut ticks, mut more) = (Vec::new(), false);
        for space in [Space::As, Space::Qs, Space::Ds, Space::Spent, Space::Peers] {
            let now = self.shared.ports.clock.now();
            let limit = DUE.saturating_add(beside);
            let due = self.shared.ports.store.due(space, now, limit).await.unwrap_or_default();
            let is_full = due.len() >= limit;
            let mut drops = Vec::new();
            for partition in due {
                let at = Local::named(partition.key().clone());
                match self.ticker.on_alarm(space, at.kind()) {
                    OnAlarm::Drop => drops.push(partition),
                    OnAlarm::Tick => ticks.push((partition, at)),
                }
            }
            for some in drops.chunks(MAX_DROPS) {
                more |= self.drop_all(some).await && is_full;
            }
        }
        (ticks, more)
    }

    /// Drops partitions in one batch, as they were when their alarm was seen to have rung. True where it did.
    async fn drop_all(&self, partitions: &[PartitionKey]) -> bool {
        let places: Vec<Place> =
            partitions.iter().map(|it| Place { partition: it.clone(), wanted: Wanted::Mark }).collect();
        let store = &self.shared.ports.store;
        let Ok(found) = store.read(&places).await else { return false };
        let now = self.shared.ports.clock.now();
        let mut parts = Vec::new();
        for (place, snapshot) in places.into_iter().zip(found) {
            let rings = snapshot.alarm.is_some_and(|alarm| alarm <= now);
            let Some(base) = snapshot.mark.filter(|_| rings).map(Base::At) else { continue };
            let mut mark = [0; 16];
            self.shared.ports.entropy.fill(&mut mark);
            let (writes, mark) = (vec![Write::Drop], Mark(mark));
            parts.push(Part { partition: place.partition, base, mark, writes, alarm: Alarm::Never });
        }
        // A conflict or an error leaves the alarms as they are, and the next sweep finds them again.
        !parts.is_empty() && matches!(store.commit(&Batch { parts }).await, Ok(Commit::Done))
    }
}

/// How often alarms are looked for.
const POLL_MS: u64 = 1_000;
/// How long a partition rests whose alarm could not be served.
const REST_MS: u64 = 1_000;
/// Partitions looked at in one space at a time.
const DUE: usize = 256;
/// Partitions dropped in one batch: each may have any number of rows, and one that has changed keeps all from going.
const MAX_DROPS: usize = 64;
/// Ticks of the store alone under way at a time.
const MAX_STORE_TICKS: usize = 64;
/// Transactions under way to homeservers that answer: each may hold a mebibyte.
const MAX_ANSWERING: usize = 192;
/// Transactions under way to those that may not: each waits for as long as the transport does.
const MAX_SILENT: usize = 64;
/// Partitions that are looked past because nothing can be done for them now: four mailboxes of each of two thousand
/// homeservers that do not answer.
const MAX_PASSED_OVER: usize = 8_192;
