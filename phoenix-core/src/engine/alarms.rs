//! Alarms: what happens when a partition's time has come.

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;
use futures::{FutureExt, StreamExt, stream::FuturesUnordered};

use super::Shared;
use crate::{
    operation::{Local, OnAlarm},
    port::{Alarm, Base, Batch, Mark, Part, PartitionKey, Place, Space, Wanted, Write},
};

/// Does what alarms ask for.
#[async_trait]
pub trait Ticker: Send + Sync + 'static {
    /// What the alarm of such a partition does.
    fn on_alarm(&self, space: Space, kind: u8) -> OnAlarm;
    /// Runs the service's `tick` on a partition whose alarm rang. It must set the alarm anew or clear it.
    async fn tick(&self, space: Space, at: Local);
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
        let mut busy = BTreeSet::new();
        let mut ticks = FuturesUnordered::new();
        loop {
            let listener = self.shared.alarms.listen();
            for (partition, at) in self.sweep().await {
                if ticks.len() < MAX_TICKS && busy.insert(partition.clone()) {
                    ticks.push(self.ticker.tick(partition.space(), at).map(|()| partition));
                }
            }
            let poll = self.shared.ports.clock.sleep_until(self.shared.ports.clock.now().plus_millis(POLL_MS));
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
        for (partition, at) in self.sweep().await {
            self.ticker.tick(partition.space(), at).await;
        }
    }

    /// Drops what is to be dropped, and returns what is to be ticked.
    async fn sweep(&self) -> Vec<(PartitionKey, Local)> {
        let mut ticks = Vec::new();
        for space in [Space::As, Space::Qs, Space::Ds, Space::Spent] {
            let now = self.shared.ports.clock.now();
            let due = self.shared.ports.store.due(space, now, DUE).await.unwrap_or_default();
            let mut drops = Vec::new();
            for partition in due {
                let Some((kind, key)) = partition.key().split_first() else { continue };
                match self.ticker.on_alarm(space, *kind) {
                    OnAlarm::Drop => drops.push(partition),
                    OnAlarm::Tick => {
                        let at = Local::new(*kind, key.to_vec());
                        ticks.push((partition, at));
                    }
                }
            }
            self.drop_all(drops).await;
        }
        ticks
    }

    /// Drops partitions in one batch, as they were when their alarm was seen to have rung.
    async fn drop_all(&self, partitions: Vec<PartitionKey>) {
        if partitions.is_empty() {
            return;
        }
        let places: Vec<Place> =
            partitions.into_iter().map(|partition| Place { partition, wanted: Wanted::Mark }).collect();
        let store = &self.shared.ports.store;
        let Ok(found) = store.read(&places).await else { return };
        let now = self.shared.ports.clock.now();
        let mut parts = Vec::new();
        for (place, snapshot) in places.into_iter().zip(found) {
            let rings = snapshot.alarm.is_some_and(|alarm| alarm <= now);
            let Some(base) = snapshot.mark.filter(|_| rings) else { continue };
            let mut mark = [0; 16];
            self.shared.ports.entropy.fill(&mut mark);
            let writes = vec![Write::Drop];
            parts.push(Part { partition: place.partition, base: Base::At(base), mark: Mark(mark), writes, alarm: Alarm::Never });
        }
        if !parts.is_empty() {
            // A conflict or an error leaves the alarms as they are, and the next sweep finds them again.
            let _ = store.commit(&Batch { parts }).await;
        }
    }
}

/// How often alarms are looked for.
const POLL_MS: u64 = 1_000;
/// Partitions looked at in one space at a time: as many as one batch drops.
const DUE: usize = 64;
/// Ticks under way at a time: a mailbox waits for its peer in one.
const MAX_TICKS: usize = 256;
