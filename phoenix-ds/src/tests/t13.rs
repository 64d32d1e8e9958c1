//! T13, two commits in one epoch, and what was accepted getting lost.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout, reason = "tests")]

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context as TaskContext, Poll, Waker},
};

use async_trait::async_trait;
use phoenix_core::{
    Failure, Origin, Reject, Timestamp,
    api::delivery::{Accepted, ContentKind},
    crypto::Chance,
    engine::Engine,
    port::{Batch, Commit, PartitionKey, Place, Snapshot, Space, Store, StoreError},
    store::MemoryStore,
};

use super::{group, world};
use crate::{
    DeliveryService, DeliverySettings, UpdateClient,
    testing::{Arrived, Member, World, rejected},
};

const COMMITTERS: usize = 32;

#[test]
fn t13_of_32_committers_on_two_instances_that_crash_one_wins_each_epoch_and_nothing_accepted_is_lost() {
    let world = world();
    let mut members: [Member; COMMITTERS] = group(&world);
    let shaky = Arc::new(Shaky::over(world.store.clone(), 16));
    let mut site = Site::new(&world, shaky);
    let (mut advanced, mut unanswered) = (0, 0);
    for _ in 0..12 {
        let before = members[0].epoch();
        let answers = site.race(&mut members);

        let won: Vec<_> = answers.iter().flatten().filter_map(|it| it.as_ref().ok()).collect();
        assert!(won.len() <= 1, "two were told that they won");
        let arrived = world.delivered();
        for member in &mut members {
            member.follow(&arrived);
        }
        let after = members[0].epoch();
        assert!(after == before || after == before + 1);
        assert!(
            won.iter().all(|it| it.epoch.0 == before + 1 && after == before + 1),
            "an accepted commit was lost"
        );
        advanced += usize::from(after > before);
        unanswered += usize::from(after > before && won.is_empty());
        check_losers(&answers, after);
        check_same(&world, &members);
        check_once(&members, &arrived, after > before);
    }
    println!(
        "{} crashes; {advanced} of 12 epochs ended, {unanswered} by commits whose answer was lost",
        site.crashes
    );
    assert!(site.crashes > 0 && advanced > 0 && unanswered > 0, "the storm was no storm");
}

/// Who lost was told so, or that nobody answers: not that anything is wrong with its commit.
fn check_losers(answers: &[Option<Result<Accepted, Failure>>], epoch: u64) {
    for answer in answers.iter().flatten().filter(|answer| answer.is_err()) {
        let reject = answer.clone().map_err(|failure| match failure {
            Failure::Refused(refusal) => refusal.reject,
            Failure::Broken(_) => Reject::Internal,
        });
        let lost = Err(Reject::Conflict(Some(epoch)));
        assert!(
            reject == lost || matches!(reject, Err(Reject::Unavailable(_) | Reject::Internal)),
            "{reject:?}"
        );
    }
}

/// All members and the DS are of one history.
fn check_same(world: &World, members: &[Member]) {
    let group = world.group(members[0].access.as_ref().unwrap());
    let secret = |member: &Member| member.group.as_ref().unwrap().epoch_authenticator().as_slice().to_vec();
    for member in members {
        assert_eq!(member.epoch(), group.members.roster.epoch.0);
        // It covers all commits so far.
        assert_eq!(member.group.as_ref().unwrap().confirmation_tag(), group.tree.group.confirmation_tag());
        assert_eq!(secret(member), secret(&members[0]));
    }
}

/// The commit reached each of the others once, and its committer learnt of it once.
fn check_once(members: &[Member], arrived: &[Arrived], advanced: bool) {
    let count = |kind| {
        let contents = members.iter().flat_map(|member| member.contents(arrived));
        contents.filter(|content| content.kind == kind).count()
    };
    let expected = if advanced { [COMMITTERS - 1, 1] } else { [0, 0] };
    assert_eq!([count(ContentKind::Commit), count(ContentKind::CommitAccepted)], expected);
}

#[test]
fn t13_a_commit_on_top_of_one_that_lost_is_refused_and_so_is_a_second_one_for_the_epoch() {
    let world = world();
    let [mut a, mut b, mut c] = group(&world);
    let [first, second] = [&mut a, &mut b].map(|it| it.commit(Vec::new(), &[], 0).request);
    world.call::<UpdateClient>(&first, Some(a.leaf())).unwrap();
    let outcome = world.call::<UpdateClient>(&second, Some(b.leaf()));
    assert_eq!(rejected(outcome), Reject::Conflict(Some(2)));

    // b goes on as if it had won: its epoch has the same number, and another history.
    b.merge();
    assert_eq!(b.epoch(), 2);
    let forked = b.commit(Vec::new(), &[], 0).request;

    let outcome = world.call::<UpdateClient>(&forked, Some(b.leaf()));
    assert_eq!(rejected(outcome), Reject::Malformed("commit"));
    c.process(&first.commit);
    assert!(c.update(&world).is_ok());
}

type Answer = Result<Accepted, Failure>;
type Running = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// Two processes of one homeserver over one store.
struct Site<'a> {
    world: &'a World,
    store: Arc<Shaky>,
    engines: [Arc<Engine<DeliveryService>>; 2],
    chance: Chance,
    crashes: usize,
}

impl<'a> Site<'a> {
    fn new(world: &'a World, store: Arc<Shaky>) -> Self {
        let engine = || world.instance(store.clone(), DeliverySettings::default());
        let engines = [engine(), engine()];
        Self { world, store, engines, chance: Chance::from_seed([31; 32]), crashes: 0 }
    }

    /// All commit the same epoch at once, each at one of the instances, which crash now and then and come back with
    /// nothing in memory. Who was at one that crashed gets no answer.
    fn race(&mut self, members: &mut [Member]) -> Vec<Option<Answer>> {
        let mut answers: Vec<Option<Answer>> = members.iter().map(|_| None).collect();
        let mut running: Vec<(usize, usize, Running)> = Vec::new();
        for (number, member) in members.iter_mut().enumerate() {
            let request = member.commit(Vec::new(), &[], 0).request;
            let call = self.world.prepared::<UpdateClient>(&request, Some(member.leaf()));
            let engine = self.engines[number % 2].clone();
            let work = async move { engine.call::<UpdateClient>(call, Origin::default()).await };
            running.push((number, number % 2, Box::pin(work)));
        }
        self.store.storm.store(true, Ordering::Relaxed);
        let mut task = TaskContext::from_waker(Waker::noop());
        while !running.is_empty() {
            let place = usize::from(u16::from_be_bytes(self.chance.bytes())) % running.len();
            if let Poll::Ready(answer) = running[place].2.as_mut().poll(&mut task) {
                let (number, _, _) = running.swap_remove(place);
                answers[number] = Some(answer);
            }
            if self.chance.bytes::<1>()[0] == 0 {
                let crashed = usize::from(self.chance.bytes::<1>()[0] % 2);
                running.retain(|(_, at, _)| *at != crashed);
                self.engines[crashed] = self.world.instance(self.store.clone(), DeliverySettings::default());
                self.crashes += 1;
            }
        }
        self.store.storm.store(false, Ordering::Relaxed);
        answers
    }
}

/// A store that, in a storm, lets others go first, and fails before or after it did what it was asked.
struct Shaky {
    store: MemoryStore,
    chance: Mutex<Chance>,
    storm: AtomicBool,
}

impl Shaky {
    fn over(store: MemoryStore, seed: u8) -> Self {
        Self { store, chance: Mutex::new(Chance::from_seed([seed; 32])), storm: AtomicBool::new(false) }
    }

    fn draw(&self) -> u8 {
        let [drawn] = self.chance.lock().unwrap().bytes();
        if self.storm.load(Ordering::Relaxed) { drawn } else { u8::MAX }
    }

    async fn pause(&self) {
        for _ in 0..self.draw() % 4 {
            futures::pending!();
        }
    }
}

#[async_trait]
impl Store for Shaky {
    async fn read(&self, places: &[Place]) -> Result<Vec<Snapshot>, StoreError> {
        self.pause().await;
        if self.draw() < 8 { Err(StoreError::Unavailable) } else { self.store.read(places).await }
    }

    async fn commit(&self, batch: &Batch) -> Result<Commit, StoreError> {
        self.pause().await;
        let fate = self.draw();
        if fate < 16 {
            return Err(StoreError::Unavailable);
        }
        let outcome = self.store.commit(batch).await;
        self.pause().await;
        if fate < 64 { Err(StoreError::Unavailable) } else { outcome }
    }

    async fn due(&self, space: Space, now: Timestamp, limit: usize) -> Result<Vec<PartitionKey>, StoreError> {
        self.store.due(space, now, limit).await
    }
}
