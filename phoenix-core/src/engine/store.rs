//! What a call has to do with the store: reading its places, and committing its decision.

use std::sync::Arc;

use super::{Engine, batch, batch::Assembly, call::Run, locks::Held};
use crate::{
    Failure, Fault, Reject,
    operation::{Context, Decision, Fare, Operation, Purpose, Reading, ReplyOf, Rows, Service},
    port::{Base, Batch, Commit, PartitionKey, Place, StoreError, Wanted},
};

/// What was read, and what must still hold of it when the decision is committed.
pub(super) struct Read {
    pub(super) rows: Rows,
    pub(super) checks: Vec<(PartitionKey, Base)>,
    pub(super) held: Option<Held>,
    /// Why reading ended early; the call has had its reads by then, so it pays.
    pub(super) failure: Option<Failure>,
}

impl<O: Operation> Run<'_, O> {
    /// Reads the call's places, and takes their locks.
    pub(super) async fn read(&self, cx: &Arc<Context<O::Service>>) -> Result<Read, Failure> {
        let mut read = Read { rows: Rows::default(), checks: Vec::new(), held: None, failure: None };
        for round in 0..ROUNDS {
            let (rows, located) = self.located(std::mem::take(&mut read.rows), cx).await?;
            read.rows = rows;
            let readings = match located {
                Ok(readings) => readings,
                Err(failure) if round == 0 => return Err(failure),
                Err(failure) => {
                    read.failure = Some(failure);
                    return Ok(read);
                }
            };
            if readings.is_empty() {
                break;
            }
            let places: Vec<(Place, Purpose)> = readings.into_iter().map(place::<O>).collect();
            if round == 0 {
                let wanted = places.iter().map(|(place, purpose)| (&place.partition, *purpose));
                read.held = Some(self.engine.shared.locks.hold(wanted).await);
            }
            let (places, purposes): (Vec<Place>, Vec<Purpose>) = places.into_iter().unzip();
            let found = self.engine.shared.ports.store.read(&places).await?;
            if found.len() != places.len() {
                return Err(Fault::Broken("the store left a place out").into());
            }
            for ((place, purpose), snapshot) in places.into_iter().zip(purposes).zip(&found) {
                if purpose != Purpose::Glance {
                    read.checks.push((place.partition, snapshot.mark.map_or(Base::Absent, Base::At)));
                }
            }
            read.rows.extend(found);
        }
        Ok(read)
    }

    /// What is to be read next, beside what was found so far.
    async fn located(
        &self,
        rows: Rows,
        cx: &Arc<Context<O::Service>>,
    ) -> Result<(Rows, Result<Vec<Reading>, Failure>), Failure> {
        let (call, cx) = (self.call.clone(), cx.clone());
        let locate = move || {
            let located = O::locate(&call, &rows, &cx);
            (rows, located)
        };
        self.engine.compute(self.effort, locate).await
    }

    /// The batch of a decision, and the lanes in it; none where the decision was made on a torn reading.
    #[expect(clippy::type_complexity, reason = "taken apart at once")]
    pub(super) fn assembled(
        &self,
        cx: &Context<O::Service>,
        checks: Vec<(PartitionKey, Base)>,
        decision: Decision<ReplyOf<O>>,
    ) -> Result<Option<(Option<Batch>, Vec<PartitionKey>)>, Failure> {
        let Decision { changes, deliveries, hints: _, next: _ } = decision;
        let mut assembly = Assembly::new(&self.engine.shared, cx.now, cx.chance("marks"));
        for (partition, base) in checks {
            if !assembly.check(partition, base) {
                return Ok(None);
            }
        }
        for change in changes {
            assembly.change(O::Service::SPACE, change);
        }
        let mut chance = cx.chance("deliveries");
        let mut lanes = Vec::with_capacity(deliveries.len());
        for delivery in deliveries {
            lanes.push(assembly.deliver(delivery, &mut chance)?);
        }
        if !self.paid {
            assembly.fare(self.call.fare());
        }
        Ok(Some((assembly.finish(), lanes)))
    }

    /// Tells a lost race from a fare that somebody else consumed.
    pub(super) async fn check_fare(&self, batch: &Batch) -> Result<(), Failure> {
        let shared = &self.engine.shared;
        let (place, refusal) = match self.call.fare() {
            Fare::Free | Fare::Alarm(_) => return Ok(()),
            Fare::Row { lane, row } => {
                let wanted = Wanted::Keys(vec![row.clone()]);
                (Place { partition: lane.clone(), wanted }, Reject::Conflict(None))
            }
            fare @ (Fare::Token(_) | Fare::Frame(..)) => {
                let Some(partition) = batch::spent_partition(shared, fare) else { return Ok(()) };
                let token = matches!(fare, Fare::Token(_));
                let refusal = if token { Reject::TokenSpent } else { Reject::Unauthenticated };
                (Place { partition, wanted: Wanted::Mark }, refusal)
            }
        };
        let found = shared.ports.store.read(std::slice::from_ref(&place)).await?;
        let found = found.first().ok_or(Fault::Broken("the store left a place out"))?;
        let gone = match self.call.fare() {
            Fare::Row { .. } => found.rows.is_empty(),
            _ => found.mark.is_some_and(|mark| batch.parts.iter().all(|part| part.mark != mark)),
        };
        if gone { Err(refusal.into()) } else { Ok(()) }
    }
}

fn place<O: Operation>(reading: Reading) -> (Place, Purpose) {
    let Reading { at, wanted, purpose } = reading;
    (Place { partition: at.in_space(O::Service::SPACE), wanted }, purpose)
}

/// Gives the same batch again where the store failed: what was applied then is recognised by its marks.
pub(super) async fn commit<S: Service>(engine: &Engine<S>, batch: &Batch) -> Result<Commit, StoreError> {
    let store = &engine.shared.ports.store;
    let mut outcome = store.commit(batch).await;
    for _ in 1..COMMITS {
        match outcome {
            Ok(_) | Err(StoreError::Invalid | StoreError::Full | StoreError::Corrupt) => break,
            Err(StoreError::Unavailable) => outcome = store.commit(batch).await,
        }
    }
    outcome
}

/// Rounds of reading: the second and third depend on what was found.
const ROUNDS: usize = 3;
/// How often one batch is given to a store that fails.
const COMMITS: usize = 3;
