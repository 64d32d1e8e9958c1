//! The first conversation of two homeservers, in a world: what the demo plays over HTTPS, in virtual time.

mod accounts;
mod groups;
mod members;
mod people;
mod queues;
mod search;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, OnceLock},
};

use phoenix_client::ClientError;
use phoenix_core::{
    Fqdn, GroupId, Timestamp,
    port::{Batch, Clock},
    store::MemoryStore,
};

use super::{
    audit::audit,
    cast::{Actor, Cast},
    executor::Stuck,
    ground::Ground,
    ledger::Names,
    play::come_to_rest,
    recorder::{Recorded, Recorder},
    tape::Tape,
    town::{Scene, TownError},
};
use crate::audit::{Kind, Wordlist};

/// What was told of the story.
#[derive(Clone, Debug)]
pub struct Story {
    /// The steps that were told, in order, with what was found at each.
    pub steps: Vec<String>,
    /// Virtual time that passed, in milliseconds.
    pub elapsed_ms: u64,
    /// Everything that happened.
    pub log: String,
    /// What the homeservers held, at some times.
    pub photographs: Vec<Photograph>,
    /// What they wrote, batch by batch.
    pub batches: BTreeMap<Fqdn, Vec<Batch>>,
    /// What was said and who was there; and what the homeservers publish.
    pub words: Arc<Wordlist>,
    /// Under which names each client acted.
    pub names: BTreeMap<String, Names>,
}

impl Story {
    /// The photograph of this.
    #[must_use]
    pub fn photograph(&self, of: &str) -> Option<&Photograph> {
        self.photographs.iter().find(|photograph| photograph.of == of)
    }
}

/// What all homeservers held at a time.
#[derive(Clone, Debug)]
pub struct Photograph {
    /// What it shows.
    pub of: &'static str,
    /// The time.
    pub at: Timestamp,
    /// Their stores.
    pub disks: BTreeMap<Fqdn, MemoryStore>,
}

/// Where the story took another turn.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Turn {
    /// A client could not do its part.
    #[error("step {step}: {error}")]
    Client {
        /// The step.
        step: usize,
        /// Why.
        error: ClientError,
    },
    /// What was expected did not hold.
    #[error("step {step}: {what}")]
    Unexpected {
        /// The step.
        step: usize,
        /// What was found.
        what: String,
    },
    /// The world could not be made, or stood still.
    #[error("{0}")]
    World(String),
}

/// Plays the story with the chances of a tape.
///
/// # Errors
/// [`Turn`], at the first thing that is not as it must be.
pub fn story(tape: &Tape) -> Result<Story, Turn> {
    tell(tape, None)
}

/// One valid call of each endpoint of the story. It is played once a process.
///
/// # Panics
/// Where the story cannot be played: there is nothing to go on with then.
#[must_use]
#[expect(clippy::panic, reason = "for tests, which end then")]
pub fn recorded() -> Vec<Recorded> {
    static RECORDED: OnceLock<Vec<Recorded>> = OnceLock::new();
    let record = || {
        let recorder = Recorder::default();
        match tell(&Tape::of_seed(1), Some(recorder.clone())) {
            Ok(_) => recorder.calls(),
            Err(turn) => panic!("{turn}"),
        }
    };
    RECORDED.get_or_init(record).clone()
}

fn tell(tape: &Tape, recorder: Option<Recorder>) -> Result<Story, Turn> {
    let told =
        Scene::empty(2, tape.clone(), recorder).map_err(|error: TownError| Turn::World(error.to_string()));
    let Scene { mut executor, ground } = told?;
    ground.journal.begin();
    let stage = ground.clone();
    let played = executor.run(async move {
        let mut narrator = Narrator::on(stage);
        narrator.play().await.map(|()| narrator)
    });
    ground.end_all();
    let narrator = played.map_err(|Stuck| Turn::World("the world stood still".to_owned()))??;
    Ok(Story {
        steps: narrator.steps,
        elapsed_ms: ground.clock.elapsed_ms(),
        log: ground.log.text(),
        photographs: narrator.photographs,
        batches: ground.journal.take(),
        words: Arc::new(narrator.words),
        names: ground.ledger.names(),
    })
}

/// Plays the steps one after the other.
struct Narrator {
    ground: Arc<Ground>,
    people: BTreeMap<&'static str, Arc<Actor>>,
    photographs: Vec<Photograph>,
    words: Wordlist,
    steps: Vec<String>,
}

impl Narrator {
    fn on(ground: Arc<Ground>) -> Self {
        let (people, words) = (BTreeMap::new(), Wordlist::default());
        Self { ground, people, photographs: Vec::new(), words, steps: Vec::new() }
    }

    /// Keeps what all homeservers hold now, for the search at the end.
    fn photograph(&mut self, of: &'static str) {
        self.photographs.push(Photograph { of, at: self.ground.clock.now(), disks: self.ground.disks() });
    }

    async fn play(&mut self) -> Result<(), Turn> {
        for domain in self.ground.domains() {
            self.ground.start(&domain).await;
        }
        self.three_users_register().await?;
        self.all_obtain_tokens().await?;
        self.they_connect().await?;
        let group = self.a_group_over_two_homeservers().await?;
        self.all_three_send(&group).await?;
        self.eight_commit_at_once().await?;
        self.what_must_be_refused_is_refused(&group).await?;
        self.the_wire_is_cut_and_mended(&group).await?;
        self.a_member_is_removed(&group).await?;
        let circle = self.one_speaks_to_one().await?;
        self.members_tell_of_themselves_and_of_others(&circle).await?;
        self.roles_change(&circle).await?;
        self.one_leaves(&circle).await?;
        self.one_falls_behind_and_comes_back(&circle).await?;
        self.a_group_ends(&circle).await?;
        self.someone_comes_and_goes().await?;
        self.a_record_comes_and_goes().await?;
        self.members_go_without_a_word().await?;
        self.the_stores_are_audited().await
    }

    /// The number of the step that is being played.
    fn step(&self) -> usize {
        self.steps.len() + 1
    }

    fn done(&mut self, what: impl fmt::Display) {
        let step = format!("{} {what}", self.step());
        self.ground.log.line(&step);
        self.steps.push(step);
    }

    fn person(&self, name: &'static str) -> Result<Arc<Actor>, Turn> {
        self.people.get(name).cloned().ok_or_else(|| self.turn(format!("{name} is not there")))
    }

    fn domain(&self, number: usize) -> Result<Fqdn, Turn> {
        self.ground.domains().get(number).cloned().ok_or_else(|| self.turn("no such homeserver"))
    }

    fn turn(&self, what: impl Into<String>) -> Turn {
        Turn::Unexpected { step: self.step(), what: what.into() }
    }

    fn expect(&self, holds: bool, what: &str) -> Result<(), Turn> {
        if holds { Ok(()) } else { Err(self.turn(what)) }
    }

    fn client<T>(&self, done: Result<T, ClientError>) -> Result<T, Turn> {
        done.map_err(|error| Turn::Client { step: self.step(), error })
    }

    /// Someone sends a text.
    async fn say(&mut self, name: &'static str, group: &GroupId, text: &str) -> Result<(), Turn> {
        let actor = self.person(name)?;
        self.remember(Kind::Text, text)?;
        self.ground.ledger.speaks(name, text);
        self.client(actor.client.send(group, text).await)?;
        Ok(())
    }

    /// Everybody reads until there is nothing more to read; whatever was accepted must have arrived.
    async fn settle(&self, groups: &[GroupId]) -> Result<(), Turn> {
        let people = self.people.values().cloned().collect();
        let cast = Cast::new(&self.ground, (people, Vec::new()), groups.to_vec());
        come_to_rest(&cast).await;
        audit(&self.ground.ledger, &cast.diaries());
        match self.ground.ledger.violations().first() {
            Some(violation) => Err(self.turn(violation.clone())),
            None => Ok(()),
        }
    }

    /// The texts of a group that someone was shown.
    fn shown(&self, name: &'static str, group: &GroupId) -> Result<Vec<String>, Turn> {
        let actor = self.person(name)?;
        let texts = actor.diary().groups.get(group).map(|chapter| chapter.texts.clone());
        Ok(texts.unwrap_or_default())
    }
}
