//! Lanes: what must arrive, in order, once.
//!
//! A delivery is appended to its lane in the batch that caused it. A worker takes a lane's rows from its head;
//! each is carried in the batch that removes it, so two workers can neither apply a row twice nor overtake.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use event_listener::{Event, EventListener};
use futures::{FutureExt, StreamExt, future::join_all, stream::FuturesUnordered};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use super::Shared;
use crate::{
    Failure, Fault, Fqdn, Reject,
    api::{ServiceName, queue::MAX_BACK},
    crypto::{AtRestKey, Chance, Draft},
    operation::{Delivery, Fare, Local},
    port::{
        Alarm, Base, Batch, Commit, MAX_BATCH_BYTES, Mark, Part, PartitionKey, Place, RowKey, Snapshot,
        Space, StoreError, Wanted, Write,
    },
    time::{DAY, HOUR},
    wire::{MAX_BODY, Opaque, decode_shared},
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
pub(crate) fn seal(
    key: &AtRestKey,
    delivery: Delivery,
    chance: &mut Chance,
) -> Result<(PartitionKey, Bytes), Fault> {
    let Delivery { to, service, lane, back, body } = delivery;
    let lane = key.prf("lane", &lane);
    let partition = Local::new(LANE, lane).in_space(Space::Lane);
    let back = Opaque::new(back).map_err(|_| Fault::Broken("an address that is too long"))?;
    let body = Opaque::new(body).map_err(|_| Fault::Broken("a delivery that is too large"))?;
    let row = Draft::encoded(&LaneRow { to, service, lane, back, body });
    let sealed = key.seal_draft(partition.key(), row, chance);
    Ok((partition, sealed))
}

/// The worker of all lanes.
pub struct Lanes {
    shared: Arc<Shared>,
    courier: Arc<dyn Courier>,
}

/// Where a row goes.
type Destination = (Fqdn, ServiceName);

/// Why carrying a lane stopped before it was empty.
enum Stopped {
    /// Somebody else is on it, and goes on.
    Overtaken,
    /// It cannot go on now.
    Failed,
}

impl Lanes {
    /// A worker over the shared part of a homeserver.
    #[must_use]
    pub const fn new(shared: Arc<Shared>, courier: Arc<dyn Courier>) -> Self {
        Self { shared, courier }
    }

    /// Works until it is dropped. Nothing is lost by dropping it: what is under way is found again.
    pub async fn run(&self) {
        let clock = &self.shared.ports.clock;
        let mut busy = BTreeSet::new();
        let mut flushes = FuturesUnordered::new();
        loop {
            let listener = self.shared.lanes.listen();
            let mut waiting = self.shared.lanes.take();
            waiting.extend(self.due(flushes.len()).await);
            for lane in waiting {
                if flushes.len() < MAX_FLUSHES && busy.insert(lane.clone()) {
                    flushes.push(self.flush_or_rest(lane));
                }
            }
            let poll = clock.sleep_until(clock.now().plus_millis(POLL_MS));
            futures::select_biased! {
                (lane, again) = flushes.select_next_some() => {
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
        for lane in self.due(0).await {
            // What fails now is found again.
            let _ = self.flush(&lane).await;
        }
    }

    async fn due(&self, beside: usize) -> Vec<PartitionKey> {
        let now = self.shared.ports.clock.now();
        self.shared.ports.store.due(Space::Lane, now, DUE.saturating_add(beside)).await.unwrap_or_default()
    }

    /// Carries a lane. One that fails rests here, not in the store, which may be what fails. True where somebody
    /// may have appended while this worker had the lane in its hands.
    async fn flush_or_rest(&self, lane: PartitionKey) -> (PartitionKey, bool) {
        match self.flush(&lane).await {
            Ok(()) | Err(Stopped::Overtaken) => (lane, false),
            Err(Stopped::Failed) => {
                let clock = &self.shared.ports.clock;
                clock.sleep_until(clock.now().plus_millis(RETRY_MS)).await;
                (lane, true)
            }
        }
    }

    /// Carries the rows of one lane, in order, until it is empty.
    async fn flush(&self, lane: &PartitionKey) -> Result<(), Stopped> {
        if lane.key().first() == Some(&ASIDE) {
            return self.write(vec![self.part(lane, Base::Any, vec![Write::Drop], Alarm::Never)]).await;
        }
        loop {
            let Some(found) = self.read(lane).await? else { return Ok(()) };
            if found.rows.iter().any(|(row, _)| *row != IDLE) {
                self.carry_all(lane, found.rows).await?;
            } else if self.put_to_rest(lane, &found).await.is_ok() {
                return Ok(());
            }
        }
    }

    async fn read(&self, lane: &PartitionKey) -> Result<Option<Snapshot>, Stopped> {
        let (from, below) = (Bytes::new(), Bytes::new());
        let wanted = Wanted::Range { from, below, limit: PAGE, bytes: MAX_BATCH_BYTES };
        let place = Place { partition: lane.clone(), wanted };
        let found =
            self.shared.ports.store.read(std::slice::from_ref(&place)).await.map_err(|_| Stopped::Failed)?;
        Ok(found.into_iter().next().filter(|found| found.mark.is_some()))
    }

    /// Lets an empty lane linger for a while before it is forgotten: with it go the numbers of its rows, and a
    /// worker that is slow must not find another row under a number that it has in hand. The row `IDLE` holds the
    /// mark that the lane was put to rest with: if it still has it when its alarm rings, nothing came since.
    async fn put_to_rest(&self, lane: &PartitionKey, found: &Snapshot) -> Result<(), Stopped> {
        let Some(mark) = found.mark else { return Ok(()) };
        let base = Base::At(mark);
        let is_idle = found.rows.iter().any(|(row, value)| *row == IDLE && **value == mark.0);
        let mut part = self.part(lane, base, vec![Write::Drop], Alarm::Never);
        if !is_idle {
            let now = self.shared.ports.clock.now();
            part.writes = vec![Write::Put(IDLE, Bytes::copy_from_slice(&part.mark.0))];
            part.alarm = Alarm::At(now.plus_secs(LINGER_S));
        }
        self.write(vec![part]).await
    }

    /// Carries rows of a lane: those that are for one place in order, and what is for different places side by side,
    /// so that the store flushes them together and no place waits for another.
    async fn carry_all(&self, lane: &PartitionKey, mut rows: Vec<(RowKey, Bytes)>) -> Result<(), Stopped> {
        rows.retain(|(row, _)| *row != IDLE);
        if rows.len() == 1 {
            return self.carry_in_order(lane, rows).await;
        }
        let mut places: BTreeMap<Option<Destination>, Vec<(RowKey, Bytes)>> = BTreeMap::new();
        for (row, sealed) in rows {
            // Opened again when it is carried, so that no more than one for each place lies here open. What cannot be
            // read is for nobody.
            let place = self.opened(lane, &sealed).ok().map(|row| (row.to, row.service));
            places.entry(place).or_default().push((row, sealed));
        }
        let carried = places.into_values().map(|rows| self.carry_in_order(lane, rows));
        // All of them go as far as they can, before the lane stops for one.
        join_all(carried).await.into_iter().collect()
    }

    async fn carry_in_order(&self, lane: &PartitionKey, rows: Vec<(RowKey, Bytes)>) -> Result<(), Stopped> {
        for (row, sealed) in rows {
            self.carry(lane, row, sealed).await?;
        }
        Ok(())
    }

    async fn carry(&self, lane: &PartitionKey, row: RowKey, sealed: Bytes) -> Result<(), Stopped> {
        match self.try_carry(lane, row.clone(), &sealed).await {
            Ok(()) => Ok(()),
            Err(Failure::Refused(refusal)) => match refusal.reject {
                Reject::Conflict(None) => Err(Stopped::Overtaken),
                Reject::Unavailable(_) => Err(Stopped::Failed),
                reject => {
                    tracing::error!(%reject, "a delivery that nobody takes was set aside");
                    self.set_aside(lane, row, sealed).await
                }
            },
            Err(Failure::Broken(fault @ (Fault::Broken(_) | Fault::Store(StoreError::Invalid)))) => {
                tracing::error!(%fault, "a delivery that cannot be carried was set aside");
                self.set_aside(lane, row, sealed).await
            }
            Err(Failure::Broken(Fault::Store(_))) => Err(Stopped::Failed),
        }
    }

    async fn try_carry(&self, lane: &PartitionKey, row: RowKey, sealed: &[u8]) -> Result<(), Failure> {
        let fare = Fare::Row { lane: lane.clone(), row };
        self.courier.carry(self.opened(lane, sealed)?, fare).await
    }

    fn opened(&self, lane: &PartitionKey, sealed: &[u8]) -> Result<LaneRow, Failure> {
        Ok(decode_shared(&self.shared.at_rest.open(lane.key(), sealed)?.into())?)
    }

    /// Takes a row off its lane, so that it does not hold up those behind it, and keeps it for the operator.
    async fn set_aside(&self, lane: &PartitionKey, row: RowKey, sealed: Bytes) -> Result<(), Stopped> {
        let now = self.shared.ports.clock.now();
        let key = self.shared.at_rest.prf("aside", lane.key());
        let aside = Local::new(ASIDE, key).in_space(Space::Lane);
        let until = Alarm::IfNone(now.plus_secs(ASIDE_S));
        let kept = self.part(&aside, Base::Any, vec![Write::Append(sealed)], until);
        // Where it is gone already, the operation that refused it took it.
        let taken = self.part(lane, Base::Any, vec![Write::Delete(row)], Alarm::Keep);
        self.write(vec![kept, taken]).await
    }

    fn part(&self, partition: &PartitionKey, base: Base, writes: Vec<Write>, alarm: Alarm) -> Part {
        let mut mark = [0; 16];
        self.shared.ports.entropy.fill(&mut mark);
        Part { partition: partition.clone(), base, mark: Mark(mark), writes, alarm }
    }

    async fn write(&self, parts: Vec<Part>) -> Result<(), Stopped> {
        match self.shared.ports.store.commit(&Batch { parts }).await {
            Ok(Commit::Done) => Ok(()),
            Ok(Commit::Conflict) | Err(_) => Err(Stopped::Failed),
        }
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

/// How long a lane rests that could not be carried on: the store may be back soon.
const RETRY_MS: u64 = 1_000;
/// How long an empty lane is kept: far longer than any call may take.
const LINGER_S: u64 = HOUR;
/// How long a delivery is kept that was set aside.
const ASIDE_S: u64 = 30 * DAY;
/// How often lanes are looked for that nobody rang for: those of another replica, or left by a crash.
const POLL_MS: u64 = 1_000;
/// Lanes looked for at a time.
const DUE: usize = 256;
/// Rows of one lane read at a time, of as many bytes as a batch may hold: a few, since each may be large.
const PAGE: u32 = 16;
/// Lanes carried at a time.
const MAX_FLUSHES: usize = 256;
/// Lanes remembered until the worker gets to them; those beyond are found by their alarms.
const MAX_WAITING: usize = 4_096;
/// Partitions of the lane space: a lane.
pub(crate) const LANE: u8 = 1;
/// Partitions of the lane space: what was taken off a lane because it could not be carried.
const ASIDE: u8 = 2;
/// The row of a lane that is empty; behind all numbers.
const IDLE: Bytes = Bytes::from_static(b"\xff\xff\xff\xff\xff\xff\xff\xff idle");
