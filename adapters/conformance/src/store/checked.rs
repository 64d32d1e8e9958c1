//! A store whose every answer is compared with the model's.

use std::sync::Arc;

use async_trait::async_trait;
use futures::lock::{Mutex, MutexGuard};
use phoenix_core::Timestamp;
use phoenix_core::port::{Batch, Commit, PartitionKey, Place, Snapshot, Space, Store, StoreError, Wanted};

use super::{Model, Violation};

/// A store in front of another that compares every answer with a [`Model`].
///
/// Calls go through one after another, so that there is one right answer. Where a commit failed, or its future
/// was dropped, the outcome is unknown: both are then right until an answer tells which. A dropped commit is
/// taken to have happened, or not, before the next call; a store that applies it later needs a pause.
/// Answers are passed on as they are; [`Checked::verdict`] tells the first that was wrong.
pub struct Checked {
    name: &'static str,
    inner: Arc<dyn Store>,
    state: Mutex<State>,
}

struct State {
    /// What the store may hold; more than one only while an outcome is unknown.
    worlds: Vec<Model>,
    /// The batch of a commit that has not been answered.
    open: Option<Batch>,
    wrong: Option<String>,
}

impl Checked {
    /// Checks an empty store; `name` is what violations are reported under.
    #[must_use]
    pub fn new(name: &'static str, inner: Arc<dyn Store>) -> Self {
        let state = State { worlds: vec![Model::default()], open: None, wrong: None };
        Self { name, inner, state: Mutex::new(state) }
    }

    /// Whether every answer so far was right.
    ///
    /// # Errors
    /// The first that was not.
    pub async fn verdict(&self) -> Result<(), Violation> {
        let wrong = self.state.lock().await.wrong.clone();
        wrong.map_or(Ok(()), |what| Err(Violation { case: self.name, what }))
    }

    async fn enter(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().await;
        if let Some(batch) = state.open.take() {
            state.branch(&batch);
        }
        state
    }
}

impl State {
    /// Keeps the worlds in which the answer is right.
    fn retain(&mut self, what: &str, is_right: impl FnMut(&mut Model) -> bool) {
        let mut is_right = is_right;
        if self.wrong.is_some() {
            return;
        }
        self.worlds.retain_mut(|world| is_right(world));
        if self.worlds.is_empty() {
            self.wrong = Some(what.to_owned());
        }
    }

    /// The batch may have been applied, or not.
    fn branch(&mut self, batch: &Batch) {
        let mut applied = self.worlds.clone();
        applied.retain_mut(|world| world.commit(batch) == Commit::Done);
        for world in applied {
            if !self.worlds.contains(&world) {
                self.worlds.push(world);
            }
        }
        if self.worlds.len() > MAX_WORLDS {
            self.wrong.get_or_insert_with(|| "too many outcomes are unknown at once".to_owned());
        }
    }

    fn observe(&mut self, places: &[Place], snapshots: &[Snapshot]) {
        self.retain("a read shows what the commits before it left", |world| {
            snapshots.len() == places.len()
                && places.iter().zip(snapshots).all(|(place, snapshot)| world.read(place) == *snapshot)
        });
    }
}

#[async_trait]
impl Store for Checked {
    async fn read(&self, places: &[Place]) -> Result<Vec<Snapshot>, StoreError> {
        let mut state = self.enter().await;
        let snapshots = self.inner.read(places).await?;
        state.observe(places, &snapshots);
        Ok(snapshots)
    }

    async fn commit(&self, batch: &Batch) -> Result<Commit, StoreError> {
        let mut state = self.enter().await;
        let is_valid = batch.validate().is_ok();
        if is_valid {
            state.open = Some(batch.clone());
        }
        let answer = self.inner.commit(batch).await;
        state.open = None;
        match answer {
            _ if !is_valid => {
                state.retain("a batch beyond a bound is invalid", |_| answer == Err(StoreError::Invalid))
            }
            Ok(commit) => {
                state.retain("a commit ends as its bases and rows say", |world| world.commit(batch) == commit)
            }
            Err(StoreError::Invalid) => state.retain("a batch within the bounds is valid", |_| false),
            Err(StoreError::Unavailable | StoreError::Full | StoreError::Corrupt) => {
                state.branch(batch);
                let places: Vec<_> = batch.parts.iter().map(|part| whole(&part.partition)).collect();
                if let Ok(snapshots) = self.inner.read(&places).await {
                    state.observe(&places, &snapshots);
                }
            }
        }
        answer
    }

    async fn due(&self, space: Space, now: Timestamp, limit: usize) -> Result<Vec<PartitionKey>, StoreError> {
        let mut state = self.enter().await;
        let keys = self.inner.due(space, now, limit).await?;
        state.retain("the oldest alarms are due, in their order", |world| {
            world.allows_due((space, now, limit), &keys)
        });
        Ok(keys)
    }
}

fn whole(partition: &PartitionKey) -> Place {
    Place { partition: partition.clone(), wanted: Wanted::first(u32::MAX) }
}

/// Beyond so many the check would tell little; each failed commit at most doubles them, each read halves them.
const MAX_WORLDS: usize = 64;
