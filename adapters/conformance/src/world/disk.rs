//! The store of a homeserver in the world: others run while it works, and the process may end at any call.

use std::{
    collections::BTreeMap,
    future::pending,
    sync::{Arc, Weak},
};

use async_trait::async_trait;
use phoenix_core::{
    Fqdn, Timestamp,
    port::{
        Alarm, Base, Batch, Commit, Mark, Part, PartitionKey, Place, Snapshot, Space, Store, StoreError,
        Write,
    },
    store::MemoryStore,
};

use super::{
    executor::pause,
    federation::{RECEIPT, appends_to_lane},
    ground::Ground,
    planted::Planted,
    weather::Fault,
};
use crate::store::{Call, Faulty, Strike};

/// The disk of one life of a homeserver's process.
pub(crate) struct Disk {
    store: MemoryStore,
    ground: Weak<Ground>,
    domain: Fqdn,
    life: u64,
}

impl Disk {
    /// What a life of a process sees of a store: it fails where the weather says so.
    pub(crate) fn of(store: MemoryStore, ground: &Arc<Ground>, domain: &Fqdn, life: u64) -> Faulty {
        let disk = Self { store, ground: Arc::downgrade(ground), domain: domain.clone(), life };
        let ground = Arc::downgrade(ground);
        Faulty::new(Arc::new(disk), move |_, call| strike(&ground, call))
    }

    /// Lets others run. Where the process ended meanwhile, nothing comes after it.
    async fn breathe(&self) {
        pause().await;
        let slow =
            self.ground.upgrade().filter(|ground| ground.weather.strikes(Fault::StoreSlow, STORE_SLOW));
        if let Some((clock, millis)) =
            slow.map(|ground| (ground.clock.clone(), ground.tape.below_u64(SLOW_MS)))
        {
            clock.sleep_ms(millis).await;
        }
        let lives = self.ground.upgrade().is_some_and(|ground| ground.outlives(&self.domain, self.life));
        if !lives {
            pending::<()>().await;
        }
    }

    /// Carries out one part of a batch, if it has that, and then the rest.
    async fn in_two(
        &self,
        batch: &Batch,
        first: Option<Batch>,
        rest: impl Fn(&Batch) -> Batch + Send,
    ) -> Result<Commit, StoreError> {
        let Some(first) = first else { return self.store.commit(batch).await };
        let outcome = self.store.commit(&first).await;
        self.note(&first, &outcome);
        match outcome? {
            Commit::Done => {
                self.breathe().await;
                self.store.commit(&rest(batch)).await
            }
            Commit::Conflict => Ok(Commit::Conflict),
        }
    }

    /// Notes a batch that was applied.
    fn note(&self, batch: &Batch, outcome: &Result<Commit, StoreError>) {
        if let (Some(ground), Ok(Commit::Done)) = (self.ground.upgrade(), outcome) {
            ground.journal.note(&self.domain, batch);
            let wrong = ground.watch.applied(&self.domain, batch);
            wrong.into_iter().for_each(|what| ground.ledger.violated(what));
        }
    }

    fn planted(&self) -> Option<Planted> {
        self.ground.upgrade().and_then(|ground| ground.planted)
    }
}

#[async_trait]
impl Store for Disk {
    async fn read(&self, places: &[Place]) -> Result<Vec<Snapshot>, StoreError> {
        self.breathe().await;
        let found = self.store.read(places).await;
        self.breathe().await;
        found
    }

    async fn commit(&self, batch: &Batch) -> Result<Commit, StoreError> {
        self.breathe().await;
        let outcome = match self.planted() {
            Some(Planted::TakenBeforeAppended) => self.in_two(batch, taken(batch), untaken).await,
            Some(Planted::FansOutFirst) => self.in_two(batch, queued(batch), unqueued).await,
            Some(Planted::StaleDecision) => match self.store.commit(batch).await? {
                Commit::Done => Ok(Commit::Done),
                Commit::Conflict => self.store.commit(&rebased(batch)).await,
            },
            Some(Planted::AuthorityForgets) => self.store.commit(&unwritten(batch)).await,
            Some(Planted::ReceiptsForgotten) => self.store.commit(&without(batch, Space::Qs, RECEIPT)).await,
            Some(Planted::IssuedForgotten) => self.store.commit(&without(batch, Space::As, ISSUED)).await,
            Some(
                Planted::SpentForgotten
                | Planted::RolesIgnored
                | Planted::MistakenOracle
                | Planted::ForeignDelivered
                | Planted::OneLimitForAll
                | Planted::PoisonBlocks
                | Planted::GroupsGoBack
                | Planted::LooksAgain
                | Planted::Knocks
                | Planted::OneCutStopsAll
                | Planted::AddressesTaken
                | Planted::AsksFirst,
            )
            | None => self.store.commit(batch).await,
        };
        self.note(batch, &outcome);
        self.breathe().await;
        outcome
    }

    async fn due(&self, space: Space, now: Timestamp, limit: usize) -> Result<Vec<PartitionKey>, StoreError> {
        self.store.due(space, now, limit).await
    }
}

fn strike(ground: &Weak<Ground>, call: Call<'_>) -> Strike {
    let Some(ground) = ground.upgrade() else { return Strike::Spare };
    if matches!(call, Call::Due(_)) {
        return Strike::Spare;
    }
    if ground.weather.strikes(Fault::StoreFailed, STORE_FAILS) {
        return Strike::Before(StoreError::Unavailable);
    }
    if ground.weather.strikes(Fault::StoreAnswerLost, STORE_FAILS) {
        return Strike::After(StoreError::Unavailable);
    }
    Strike::Spare
}

/// The takes of a batch by themselves, if it has any.
fn taken(batch: &Batch) -> Option<Batch> {
    let takes = |part: &Part| {
        let writes: Vec<Write> =
            part.writes.iter().filter(|write| matches!(write, Write::Take(_))).cloned().collect();
        (!writes.is_empty()).then(|| Part { writes, alarm: Alarm::Keep, ..part.clone() })
    };
    let parts: Vec<Part> = batch.parts.iter().filter_map(takes).collect();
    (!parts.is_empty()).then_some(Batch { parts })
}

/// What a batch does beside its takes.
fn untaken(batch: &Batch) -> Batch {
    let rest = |part: &Part| {
        let takes = part.writes.iter().any(|write| matches!(write, Write::Take(_)));
        let writes: Vec<Write> =
            part.writes.iter().filter(|write| !matches!(write, Write::Take(_))).cloned().collect();
        let base = if takes { Base::Any } else { part.base };
        (!takes || !writes.is_empty()).then(|| Part { writes, base, ..part.clone() })
    };
    Batch { parts: batch.parts.iter().filter_map(rest).collect() }
}

/// What a batch puts into lanes, by itself, if it has that.
fn queued(batch: &Batch) -> Option<Batch> {
    Some(only(batch, appends_to_lane)).filter(|batch| !batch.parts.is_empty())
}

/// What a batch does beside that.
fn unqueued(batch: &Batch) -> Batch {
    only(batch, |part| !appends_to_lane(part))
}

/// The batch as if it had been decided on what is stored now; what is spent stays spent.
fn rebased(batch: &Batch) -> Batch {
    let rebase = |part: &Part| match part.partition.space() {
        Space::Spent => part.clone(),
        _ => Part { base: Base::Any, ..part.clone() },
    };
    Batch { parts: batch.parts.iter().map(rebase).collect() }
}

/// The batch without what a service writes into partitions of one kind.
fn without(batch: &Batch, space: Space, kind: u8) -> Batch {
    only(batch, |part| part.partition.space() != space || part.partition.key().first() != Some(&kind))
}

/// The batch without what an AS writes.
fn unwritten(batch: &Batch) -> Batch {
    only(batch, |part| part.partition.space() != Space::As || !part.is_write())
}

/// Some parts of a batch.
fn only(batch: &Batch, is_kept: impl Fn(&Part) -> bool) -> Batch {
    Batch { parts: batch.parts.iter().filter(|part| is_kept(part)).cloned().collect() }
}

/// What a store holds, but for its groups, which are as they were in another.
pub(crate) async fn with_groups_of(store: &MemoryStore, before: &MemoryStore) -> MemoryStore {
    let mut groups = dropped(store, Space::Ds);
    for (partition, found) in before.dump().into_iter().filter(|(at, _)| at.space() == Space::Ds) {
        let puts = found.rows.into_iter().map(|(key, value)| Write::Put(key, value));
        groups.entry(partition).or_default().extend(puts);
    }
    rewritten(store, groups).await
}

/// What a store holds, but for everything spent.
pub(crate) async fn without_spent(store: &MemoryStore) -> MemoryStore {
    rewritten(store, dropped(store, Space::Spent)).await
}

/// What drops all partitions of a space.
fn dropped(store: &MemoryStore, space: Space) -> BTreeMap<PartitionKey, Vec<Write>> {
    let partitions = store.dump().into_iter().map(|(partition, _)| partition);
    partitions.filter(|it| it.space() == space).map(|it| (it, vec![Write::Drop])).collect()
}

/// A copy of a store, with partitions that were changed in nobody's name.
async fn rewritten(store: &MemoryStore, changes: BTreeMap<PartitionKey, Vec<Write>>) -> MemoryStore {
    let copy = store.fork();
    for (partition, writes) in changes {
        let part = Part { partition, base: Base::Any, mark: Mark([0; 16]), writes, alarm: Alarm::Keep };
        // In memory nothing fails.
        let _ = copy.commit(&Batch { parts: vec![part] }).await;
    }
    copy
}

/// The kind of partition in which an AS keeps what it issued to a client in a window.
const ISSUED: u8 = 9;
/// How many in a thousand calls to the store fail, in a run whose store fails.
const STORE_FAILS: u16 = 15;
/// How many in a thousand are slow, in a run whose store is slow.
const STORE_SLOW: u16 = 300;
/// What a slow one takes, at most: as long as the ways of two requests differ.
const SLOW_MS: u64 = 15;
