//! What happens in a run while faults are on.

mod accounts;
mod groups;
mod people;

use std::{collections::BTreeSet, pin::Pin, sync::Arc};

use futures::{
    FutureExt, StreamExt,
    future::{Either, select},
    stream::FuturesUnordered,
};
use phoenix_core::{GroupId, port::Transport};

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
        let chosen = self.cast.ground.tape.below(1_000);
        match chosen {
            0..120 => self.send(),
            120..160 => self.whisper(),
            160..220 => self.sync(),
            220..235 => self.stream(),
            235..270 => self.hint(),
            270..305 => self.update(),
            305..345 => self.race(),
            345..545 => self.change(),
            545..590 => self.trespass(),
            590..640 => self.say_of_members(),
            640..680 => self.block(),
            680..735 => self.free(),
            735..840 => self.visit(),
            840..890 => self.meet(),
            890..920 => self.cut(),
            920..940 => self.mend(),
            940..975 => self.crash(),
            _ => self.replay(),
        }
    }

    fn sync(&mut self) {
        let Some((number, actor)) = self.idle() else { return };
        self.start(vec![number], async move { actor.sync().await });
    }

    fn stream(&mut self) {
        let Some((number, actor)) = self.idle() else { return };
        self.start(vec![number], async move { actor.read_through_a_stream().await });
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
        self.idle_of(|number| number < self.cast.actors.len())
    }

    /// Someone of these who has nothing else to do.
    fn idle_of(&self, is_one: impl Fn(usize) -> bool) -> Option<(usize, Arc<Actor>)> {
        let everyone = 0..self.cast.everyone().count();
        let idle: Vec<usize> = everyone.filter(|it| !self.busy.contains(it) && is_one(*it)).collect();
        let number = self.cast.ground.tape.pick(&idle).copied()?;
        Some((number, self.cast.everyone().nth(number)?.clone()))
    }

    /// Whether someone is a further client, which leaves its user's account alone.
    fn is_further(&self, number: usize) -> bool {
        self.cast.everyone().nth(number).is_some_and(|actor| actor.is_further)
    }

    /// Someone who has nothing else to do, and a group: mostly one of theirs, else any, in which they may do nothing.
    fn member(&self) -> Option<(usize, Arc<Actor>, GroupId)> {
        let tape = &self.cast.ground.tape;
        let (number, actor) = self.idle()?;
        let is_strict = !tape.strikes(STRAYS);
        let mut groups = self.cast.groups();
        groups.retain(|group| !actor.is_deaf(group) && (!is_strict || actor.is_member(group)));
        let group = tape.pick(&groups).cloned()?;
        Some((number, actor, group))
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
/// How many in a thousand do something in a group that need not be theirs.
const STRAYS: u16 = 250;
/// Calls to the store, at most, before a process ends: a request takes a few.
const CALLS_TO_CRASH: usize = 40;
/// Polls of its tasks, at most, before a process ends.
const POLLS_TO_CRASH: usize = 200;
/// How long a process is away, at most.
const AWAY_MS: u64 = 15_000;
