//! What happens in a run while faults are on.

use std::{collections::BTreeSet, pin::Pin, sync::Arc};

use futures::{
    FutureExt, StreamExt,
    future::{Either, join_all, select},
    stream::FuturesUnordered,
};
use phoenix_core::{GroupId, UserId, port::Transport};

use super::{
    cast::{Actor, Cast},
    link::Link,
    weather::Fault,
};

type Doing = Pin<Box<dyn Future<Output = Vec<usize>> + Send>>;

/// A run's first phase: so many things are done, several at a time, each when the tape says.
pub(crate) async fn act(cast: &Arc<Cast>, count: usize) {
    let mut stage =
        Stage { cast: cast.clone(), busy: BTreeSet::new(), under_way: FuturesUnordered::new(), said: 0 };
    for _ in 0..count {
        stage.begin();
        let pause_ms = cast.ground.tape.below_u64(PAUSE_MS);
        stage.go_on(pause_ms).await;
    }
    stage.finish().await;
}

struct Stage {
    cast: Arc<Cast>,
    busy: BTreeSet<usize>,
    under_way: FuturesUnordered<Doing>,
    said: usize,
}

impl Stage {
    /// Begins something that the tape chooses.
    fn begin(&mut self) {
        let chosen = self.cast.ground.tape.below(100);
        match chosen {
            0..38 => self.send(),
            38..56 => self.sync(),
            56..62 => self.update(),
            62..72 => self.race(),
            72..77 => self.add(),
            77..82 => self.remove(),
            82..87 => self.cut(),
            87..91 => self.mend(),
            91..96 => self.crash(),
            _ => self.replay(),
        }
    }

    fn send(&mut self) {
        let Some((number, actor, group)) = self.member() else { return };
        self.said += 1;
        let text = format!("{} says {}", actor.name, self.said);
        self.start(vec![number], async move { actor.send(&group, &text).await });
    }

    fn sync(&mut self) {
        let Some((number, actor)) = self.idle() else { return };
        self.start(vec![number], async move { actor.sync().await });
    }

    fn update(&mut self) {
        let Some((number, actor, group)) = self.member() else { return };
        self.start(vec![number], async move { actor.update(&group).await });
    }

    /// All members that have nothing else to do commit at once.
    fn race(&mut self) {
        let Some(group) = self.cast.ground.tape.pick(&self.cast.groups).cloned() else { return };
        let members =
            |number: &usize| self.cast.actors.get(*number).is_some_and(|actor| actor.is_member(&group));
        let numbers: Vec<usize> =
            (0..self.cast.actors.len()).filter(|it| !self.busy.contains(it)).filter(members).collect();
        let racers: Vec<Arc<Actor>> =
            numbers.iter().filter_map(|it| self.cast.actors.get(*it)).cloned().collect();
        self.cast.ground.log.line(format!("{} commit at once", racers.len()));
        self.start(numbers, async move {
            join_all(racers.iter().map(|actor| actor.update(&group))).await;
        });
    }

    fn add(&mut self) {
        let Some((number, admin, group)) = self.admin() else { return };
        let absent: Vec<UserId> = self.cast.absent(&group);
        let Some(user) = self.cast.ground.tape.pick(&absent).cloned() else { return };
        self.start(vec![number], async move { admin.add(&group, &user).await });
    }

    fn remove(&mut self) {
        let Some((number, admin, group)) = self.admin() else { return };
        let present: Vec<UserId> =
            self.cast.present(&group).into_iter().filter(|it| *it != admin.user).collect();
        if present.len() < FEWEST_OTHERS {
            return;
        }
        let Some(user) = self.cast.ground.tape.pick(&present).cloned() else { return };
        self.start(vec![number], async move { admin.remove(&group, &user).await });
    }

    fn cut(&mut self) {
        let ground = &self.cast.ground;
        let domains = ground.domains();
        let (Some(one), Some(other)) = (ground.tape.pick(&domains), ground.tape.pick(&domains)) else {
            return;
        };
        if one != other && ground.weather.has(Fault::Partitioned) {
            ground.log.line(format!("{one} and {other} are cut off from each other"));
            ground.weather.cut(one, other);
        }
    }

    fn mend(&mut self) {
        let ground = &self.cast.ground;
        for one in &ground.domains() {
            for other in &ground.domains() {
                if ground.weather.mend(one, other) {
                    ground.log.line(format!("{one} and {other} reach each other again"));
                }
            }
        }
    }

    fn crash(&mut self) {
        let ground = &self.cast.ground;
        let domains = ground.domains();
        let Some(domain) = ground.tape.pick(&domains) else { return };
        let ways: Vec<Fault> =
            [Fault::Crashed, Fault::Killed].into_iter().filter(|way| ground.weather.has(*way)).collect();
        let Some(way) = ground.tape.pick(&ways) else { return };
        let most = if *way == Fault::Killed { POLLS_TO_CRASH } else { CALLS_TO_CRASH };
        let left = u32::try_from(ground.tape.below(most)).unwrap_or(0);
        let away_ms = ground.tape.below_u64(AWAY_MS);
        match way {
            Fault::Killed => ground.light_polls(domain, left, away_ms),
            _ => ground.light(domain, left, away_ms),
        }
    }

    /// A call that was accepted comes again, as it was.
    fn replay(&mut self) {
        let ground = self.cast.ground.clone();
        let accepted = ground.ledger.replayable();
        let Some((to, outgoing)) = ground.tape.pick(&accepted).cloned() else { return };
        let link = Link::of_client(&ground, "a replay");
        self.start(Vec::new(), async move {
            // Whether it is accepted is seen where it is answered.
            let _ = link.send(&to, outgoing).await;
        });
    }

    /// Someone who has nothing else to do.
    fn idle(&self) -> Option<(usize, Arc<Actor>)> {
        let idle: Vec<usize> =
            (0..self.cast.actors.len()).filter(|number| !self.busy.contains(number)).collect();
        let number = self.cast.ground.tape.pick(&idle).copied()?;
        Some((number, self.cast.actors.get(number)?.clone()))
    }

    /// Someone who has nothing else to do, and a group of theirs.
    fn member(&self) -> Option<(usize, Arc<Actor>, GroupId)> {
        let (number, actor) = self.idle()?;
        let groups: Vec<GroupId> =
            self.cast.groups.iter().filter(|group| actor.is_member(group)).cloned().collect();
        let group = self.cast.ground.tape.pick(&groups).cloned()?;
        Some((number, actor, group))
    }

    /// The admin of a group, where they have nothing else to do.
    fn admin(&self) -> Option<(usize, Arc<Actor>, GroupId)> {
        let group = self.cast.ground.tape.pick(&self.cast.groups).cloned()?;
        let number = self.cast.admin_of(&group)?;
        let is_idle = !self.busy.contains(&number);
        let admin = self.cast.actors.get(number)?.clone();
        (is_idle && admin.is_member(&group)).then_some((number, admin, group))
    }

    fn start(&mut self, who: Vec<usize>, work: impl Future<Output = ()> + Send + 'static) {
        self.busy.extend(&who);
        self.under_way.push(Box::pin(work.map(|()| who)));
    }

    /// Lets what is under way go on for a time.
    async fn go_on(&mut self, pause_ms: u64) {
        let clock = self.cast.ground.clock.clone();
        let mut pause = Box::pin(clock.sleep_ms(pause_ms));
        while !self.under_way.is_empty() {
            match select(self.under_way.next(), &mut pause).await {
                Either::Left((done, _)) => self.done(done),
                Either::Right(_) => return,
            }
        }
        pause.await;
    }

    async fn finish(&mut self) {
        while let Some(done) = self.under_way.next().await {
            self.done(Some(done));
        }
    }

    fn done(&mut self, who: Option<Vec<usize>>) {
        for number in who.into_iter().flatten() {
            self.busy.remove(&number);
        }
    }
}

/// Longest time between two things that happen.
const PAUSE_MS: u64 = 600;
/// Members beside the admin below which nobody is removed.
const FEWEST_OTHERS: usize = 2;
/// Calls to the store, at most, before a process ends: a request takes a few.
const CALLS_TO_CRASH: usize = 40;
/// Polls of its tasks, at most, before a process ends.
const POLLS_TO_CRASH: usize = 200;
/// How long a process is away, at most.
const AWAY_MS: u64 = 15_000;
