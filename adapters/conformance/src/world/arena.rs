//! Replicas of a homeserver as it was before a recorded call: what attackers do to it stays, until it is rewound.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::channel::oneshot::channel;
use phoenix_core::{
    ErrorReply, Origin, Timestamp,
    port::{Batch, Commit, Inline, Mark, Outgoing, PartitionKey, Place, Snapshot, Space, Store, StoreError},
    store::MemoryStore,
    wire::{Audience, Call},
};
use phoenix_homeserver::{BuildError, Homeserver};

use super::{
    clock::VirtualClock,
    executor::{Executor, Process, Spawner, Stuck, pause},
    recorder::Recorded,
    settings,
    tape::Tape,
};
use crate::{
    network::Network,
    store::{Faulty, Plan},
};

/// A homeserver that was about to be given a recorded call, as so many replicas on one store, and the homeservers
/// that it may ask.
pub struct Arena {
    executor: Executor,
    /// Owns the homeservers, whose transports know it weakly.
    _network: Network,
    recorded: Recorded,
    replicas: Vec<Homeserver>,
    stage: Stage,
}

/// What was done to a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Books {
    /// Batches that wrote anything but what is spent. One that is given again, unchanged, is counted once.
    pub effects: usize,
    /// Tokens and frames that were spent.
    pub spent: usize,
}

/// What calls are answered.
pub type Answer = Result<Bytes, ErrorReply>;

impl Arena {
    /// The homeserver of a recorded call, in so many replicas. Every call to its store lets others go first, before
    /// it and after it, and fails as the plan says; a replica that is being built is spared.
    ///
    /// # Errors
    /// [`BuildError`], where a homeserver does not start from what its store held.
    pub fn of(
        recorded: &Recorded,
        replicas: usize,
        tape: &Tape,
        plan: impl Plan + Clone,
    ) -> Result<Self, BuildError> {
        let clock = VirtualClock::starting_at(recorded.before.at);
        let mut executor = Executor::new(clock.clone(), tape.clone());
        let (network, mut built) = (Network::default(), Vec::new());
        let start = recorded.before.disks.get(&recorded.to).map(MemoryStore::fork).unwrap_or_default();
        let scene = Scene { store: start.fork(), effects: BTreeSet::new() };
        let stage = Stage { start, scene: Arc::new(Mutex::new(scene)) };
        for (domain, store) in &recorded.before.disks {
            let is_attacked = *domain == recorded.to;
            for _ in 0..if is_attacked { replicas } else { 1 } {
                let home = Homeserver::builder(domain.clone())
                    .transport(network.transport())
                    .clock(clock.clone())
                    .entropy(tape.entropy_apart())
                    .compute(Inline)
                    .auth_settings(settings::auth())
                    .queue_settings(settings::queue());
                let home = match is_attacked {
                    true => home.store(Faulty::new(Arc::new(stage.clone()), plan.clone())),
                    false => home.store(store.fork()),
                };
                let home =
                    executor.run(home.build()).unwrap_or(Err(BuildError::Missing("chance to start")))?;
                if is_attacked {
                    built.push(home.clone());
                }
                network.join(home);
            }
        }
        Ok(Self { executor, _network: network, recorded: recorded.clone(), replicas: built, stage })
    }

    /// What is attacked.
    #[must_use]
    pub const fn recorded(&self) -> &Recorded {
        &self.recorded
    }

    /// The recorded call with its token, but a frame that nobody has seen: what is refused then is the token.
    #[must_use]
    pub fn with_fresh_frame(&self, number: u8) -> Call {
        let mut call = self.recorded.outgoing.call.clone();
        if let Some(frame) = &mut call.auth {
            frame.nonce = [number; 16];
        }
        self.signed(call)
    }

    /// The recorded call, changed and signed again by who signed it; unsigned, where nobody did.
    #[must_use]
    pub fn signed(&self, mut call: Call) -> Call {
        let audience = Audience { service: self.recorded.outgoing.service, domain: self.recorded.to.clone() };
        let signers = self.recorded.signers.as_ref();
        call.auth = call.auth.is_some().then(|| signers.and_then(|it| it.sign(&call, audience))).flatten();
        call
    }

    /// Gives all these calls at once, to the replicas in turn, each on a task of its own.
    ///
    /// # Errors
    /// [`Stuck`], where one is never answered.
    pub fn give(&mut self, calls: Vec<Call>) -> Result<Vec<Answer>, Stuck> {
        let spawner = self.executor.spawner();
        let answers: Vec<_> = calls
            .into_iter()
            .zip(self.replicas.iter().cycle())
            .map(|(call, home)| self.spawn(&spawner, home.clone(), call))
            .collect();
        let answers = self.executor.run(futures::future::join_all(answers))?;
        answers.into_iter().map(|answer| answer.map_err(|_| Stuck)).collect()
    }

    /// Gives a call to a replica, polls it so many times at most, and drops it. None where it was not answered.
    ///
    /// # Errors
    /// [`Stuck`], where it is never polled so often.
    pub fn give_up_after(&mut self, polls: u32, call: Call) -> Result<Option<Answer>, Stuck> {
        let Some(home) = self.replicas.first().cloned() else { return Err(Stuck) };
        let work = called(home, self.recorded.clone(), call);
        self.executor.run(async move {
            let (mut work, mut left) = (Box::pin(work), polls);
            std::future::poll_fn(move |cx| {
                left = left.saturating_sub(1);
                match work.as_mut().poll(cx) {
                    std::task::Poll::Pending if left == 0 => std::task::Poll::Ready(None),
                    polled => polled.map(Some),
                }
            })
            .await
        })
    }

    /// What was done to the attacked store since it was rewound.
    #[must_use]
    pub fn books(&self) -> Books {
        let spent = |store: &MemoryStore| {
            store.dump().iter().filter(|(partition, _)| partition.space() == Space::Spent).count()
        };
        let scene = self.stage.scene();
        let spent = spent(&scene.store).saturating_sub(spent(&self.stage.start));
        Books { effects: scene.effects.len(), spent }
    }

    /// Puts the attacked store back to what it held before the call.
    pub fn rewind(&self) {
        *self.stage.scene() = Scene { store: self.stage.start.fork(), effects: BTreeSet::new() };
    }

    fn spawn(
        &self,
        spawner: &Spawner,
        home: Homeserver,
        call: Call,
    ) -> futures::channel::oneshot::Receiver<Answer> {
        let (tell, told) = channel();
        let work = called(home, self.recorded.clone(), call);
        let process: Process = spawner.process();
        spawner.spawn(process, async move {
            // Who asked may have stopped waiting.
            let _ = tell.send(work.await);
        });
        told
    }
}

/// Gives a call to its endpoint: the recorded one's, unless it names another that there is.
async fn called(home: Homeserver, recorded: Recorded, call: Call) -> Answer {
    let described = home.descriptions().into_iter().find(|it| it.id == call.endpoint);
    let Outgoing { service, name, .. } = recorded.outgoing;
    let (service, name) = described.map_or((service, name), |it| (it.service, it.name));
    home.call(service, name, call, Origin::default()).await
}

/// The store that is attacked.
#[derive(Clone)]
struct Stage {
    start: MemoryStore,
    scene: Arc<Mutex<Scene>>,
}

struct Scene {
    store: MemoryStore,
    /// A mark of each batch with an effect: no two batches have one in common.
    effects: BTreeSet<Mark>,
}

impl Stage {
    fn scene(&self) -> MutexGuard<'_, Scene> {
        self.scene.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn store(&self) -> MemoryStore {
        self.scene().store.clone()
    }
}

#[async_trait]
impl Store for Stage {
    async fn read(&self, places: &[Place]) -> Result<Vec<Snapshot>, StoreError> {
        pause().await;
        let found = self.store().read(places).await;
        pause().await;
        found
    }

    async fn commit(&self, batch: &Batch) -> Result<Commit, StoreError> {
        pause().await;
        let outcome = self.store().commit(batch).await;
        let mut effects = batch.parts.iter().filter(|part| part.is_write());
        if let (Ok(Commit::Done), Some(part)) =
            (&outcome, effects.find(|it| it.partition.space() != Space::Spent))
        {
            self.scene().effects.insert(part.mark);
        }
        pause().await;
        outcome
    }

    async fn due(&self, space: Space, now: Timestamp, limit: usize) -> Result<Vec<PartitionKey>, StoreError> {
        self.store().due(space, now, limit).await
    }
}
