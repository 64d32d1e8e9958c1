//! Lanes: what must arrive, in order, once.
//!
//! A delivery is appended to its lane in the batch that caused it. A worker takes a lane's rows from its head;
//! each is carried in the batch that removes it, so two workers can neither apply a row twice nor overtake.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use event_listener::{Event, EventListener};
use futures::{
    FutureExt, StreamExt,
    stream::FuturesUnordered,
};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use super::Shared;
use crate::{
    Failure, Fault, Fqdn, Reject,
    api::{ServiceName, queue::MAX_BACK},
    crypto::{AtRestKey, Chance},
    operation::{Delivery, Fare, Local},
    port::{Alarm, Base, Batch, Commit, Mark, Part, PartitionKey, Place, RowKey, Space, Wanted, Write},
    wire::{MAX_BODY, Opaque, Wire},
};

/// A delivery as it waits on its lane.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct LaneRow {
    /// The homeserver that it is for.
    pub to: Fqdn,
    /// The service there.
    pub service: ServiceName,
    /// What it has in common with all deliveries that must not overtake each other: a keyed hash.
    pub lane: [u8; 32],
    /// To whom what cannot be delivered is told.
    pub back: Opaque<MAX_BACK>,
    /// What is delivered.
    pub body: Opaque<MAX_BODY>,
}

/// Carries rows to where they belong.
#[async_trait]
pub trait Courier: Send + Sync + 'static {
    /// Carries one row, and consumes the fare, which removes it, in the same batch.
    ///
    /// # Errors
    /// [`Reject::Conflict`] where the row is gone; [`Reject::Unavailable`] and faults where it must be carried
    /// again later; any other refusal where it can never be carried, and is to be removed.
    async fn carry(&self, row: LaneRow, fare: Fare) -> Result<(), Failure>;
}

/// Seals a delivery, for its lane.
pub(crate) fn seal(key: &AtRestKey, delivery: Delivery, chance: &mut Chance) -> Result<(PartitionKey, Bytes), Fault> {
    let Delivery { to, service, lane, back, body } = delivery;
    let lane = key.prf("lane", &lane);
    let partition = super::batch::partition(Space::Lane, &Local::new(LANE, lane.to_vec()));
    let back = Opaque::new(back).map_err(|_| Fault::Broken("an address that is too long"))?;
    let body = Opaque::new(body).map_err(|_| Fault::Broken("a delivery that is too large"))?;
    let row = LaneRow { to, service, lane, back, body }.encode();
    let sealed = key.seal(partition.key(), &row, chance);
    Ok((partition, sealed))
}

/// The worker of all lanes.
pub struct Lanes {
    shared: Arc<Shared>,
    courier: Arc<dyn Courier>,
}

impl Lanes {
    /// A worker over the shared part of a homeserver.
    #[must_use]
    pub const fn new(shared: Arc<Shared>, courier: Arc<dyn Courier>) -> Self {
        Self { shared, courier }
    }

    /// Works until it is dropped. Nothing is lost by dropping it: what is under way is found again.
    pub async fn run(&self) {
        let mut busy = BTreeSet::new();
        let mut flushes = FuturesUnordered::new();
        loop {
            let listener = self.shared.lanes.listen();
            let mut waiting = self.shared.lanes.take();
            waiting.extend(self.due().await);
            for lane in waiting {
                if flushes.len() >= MAX_FLUSHES {
                    break;
                }
                if busy.insert(lane.clone()) {
                    flushes.push(self.flush(lane.clone()).map(|again| (lane, again)));
                }
            }
            let poll = self.shared.ports.clock.sleep_until(self.shared.ports.clock.now().plus_millis(POLL_MS));
            futures::select_biased! {
                done = flushes.select_next_some() => {
                    let (lane, again) = done;
                    busy.remove(&lane);
                    if again {
                        self.shared.lanes.ring(vec![lane]);
                    }
                }
                () = listener.fuse() => {}
                () = poll.fuse() => {}
            }
        }
    }

    /// Carries everything that is on lanes now, one lane after the other. For tests and draining.
    pub async fn flush_all(&self) {
        self.shared.lanes.take();
        for lane in self.due().await {
            while self.flush(lane.clone()).await {}
        }
    }

    async fn due(&self) -> Vec<PartitionKey> {
        let now = self.shared.ports.clock.now();
        self.shared.ports.store.due(Space::Lane, now, DUE).await.unwrap_or_default()
    }

    /// Carries the rows of one lane, in order. True where more may be there.
    async fn flush(&self, lane: PartitionKey) -> bool {
        let place = Place { partition: lane.clone(), wanted: Wanted::first(PAGE) };
        let Ok(found) = self.shared.ports.store.read(std::slice::from_ref(&place)).await else { return false };
        let Some(found) = found.into_iter().next() else { return false };
        let Some(mark) = found.mark else { return false };
        if found.rows.is_empty() {
            return !self.write(lane, Base::At(mark), Vec::new(), Alarm::Never).await;
        }
        for (row, sealed) in found.rows {
            match self.carry(&lane, row.clone(), &sealed).await {
                Ok(()) => {}
                // Somebody else is on this lane: they go on.
                Err(Failure::Refused(refusal)) if refusal.reject == Reject::Conflict(None) => return false,
                // It must not hold up those behind it.
                Err(Failure::Refused(refusal)) if !matches!(refusal.reject, Reject::Unavailable(_)) => {
                    tracing::error!(reject = %refusal.reject, "a delivery could not be carried and was dropped");
                    self.write(lane.clone(), Base::Any, vec![Write::Take(row)], Alarm::Keep).await;
                }
                Err(_) => {
                    let later = self.shared.ports.clock.now().plus_millis(RETRY_MS);
                    self.write(lane, Base::Any, Vec::new(), Alarm::At(later)).await;
                    return false;
                }
            }
        }
        true
    }

    async fn carry(&self, lane: &PartitionKey, row: RowKey, sealed: &[u8]) -> Result<(), Failure> {
        let fare = Fare::Row { lane: lane.clone(), row };
        // Sealed by another key, or damaged: nobody will ever read it.
        let plain = self.shared.at_rest.open(lane.key(), sealed).map_err(|_| Reject::Internal)?;
        let row = LaneRow::decode(&plain)?;
        self.courier.carry(row, fare).await
    }

    /// Writes to a lane, and says whether that was done.
    async fn write(&self, partition: PartitionKey, base: Base, writes: Vec<Write>, alarm: Alarm) -> bool {
        let mut mark = [0; 16];
        self.shared.ports.entropy.fill(&mut mark);
        let part = Part { partition, base, mark: Mark(mark), writes, alarm };
        matches!(self.shared.ports.store.commit(&Batch { parts: vec![part] }).await, Ok(Commit::Done))
    }
}

/// Tells a worker of this process that there is something to do. A hint: what it tells is also in the store.
#[derive(Default)]
pub(crate) struct Bell {
    waiting: Mutex<BTreeSet<PartitionKey>>,
    event: Event,
}

impl Bell {
    pub(crate) fn ring(&self, partitions: Vec<PartitionKey>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.extend(partitions);
        while waiting.len() > MAX_WAITING {
            waiting.pop_last();
        }
        drop(waiting);
        self.event.notify(usize::MAX);
    }

    pub(crate) fn take(&self) -> BTreeSet<PartitionKey> {
        std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn listen(&self) -> EventListener {
        self.event.listen()
    }
}

/// When a lane is tried again that could not be carried on: the store may be back soon.
const RETRY_MS: u64 = 1_000;
/// How often lanes are looked for that nobody rang for: those of another replica, or left by a crash.
const POLL_MS: u64 = 1_000;
/// Lanes looked for at a time.
const DUE: usize = 256;
/// Rows of one lane read at a time: a few, since each may be large.
const PAGE: u32 = 16;
/// Lanes carried at a time.
const MAX_FLUSHES: usize = 64;
/// Lanes remembered until the worker gets to them; those beyond are found by their alarms.
const MAX_WAITING: usize = 4_096;
/// Partitions of the lane space: a lane.
pub(crate) const LANE: u8 = 1;

