//! One run: faults on, faults off, everything started anew.

use std::{collections::BTreeMap, fmt, sync::Arc};

use phoenix_core::{
    Fqdn, GroupId,
    port::{PartitionKey, Snapshot, Space, Transport},
    store::MemoryStore,
};

use super::{
    acts::act,
    audit::audit,
    cast::{Actor, Cast, View},
    executor::{Executor, Stuck},
    ground::Ground,
    ledger::Served,
    link::Link,
    oracle::Seen,
    planted::Planted,
    removals::{whose_domain_is_blocked, whose_queue_is_gone},
    tape::Tape,
    town::{Scene, Town},
    weather::Struck,
};

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// Invariants that did not hold, in words; none where all did.
    pub violations: Vec<String>,
    /// The faults that struck.
    pub struck: Struck,
    /// Messages that homeservers accepted.
    pub messages: usize,
    /// How often each deed came to what the oracle had said.
    pub seen: Seen,
    /// How often it could say nothing, or faults left open what came.
    pub open: u64,
    /// How often somebody was shown a message of the moment.
    pub hints: usize,
    /// How many members delivery services took out of groups by themselves.
    pub expelled: u64,
    /// How many calls of each endpoint were accepted while faults were on.
    pub served: Served,
    /// Virtual time that passed, in milliseconds.
    pub elapsed_ms: u64,
    /// Steps of all tasks, from one await to the next.
    pub steps: u64,
    /// How often the hostile homeserver made each of its moves.
    pub moves: BTreeMap<&'static str, u64>,
    /// What happened, the same byte for byte whenever the same tape is played.
    pub log: String,
}

impl Town {
    /// Plays a tape in a clone of the town, with a planted bug if one is given.
    #[must_use]
    pub fn play(self: &Arc<Self>, tape: &Tape, planted: Option<Planted>) -> Report {
        let Scene { mut executor, ground } = self.scene(tape.clone(), planted);
        let (town, stage) = (self.clone(), ground.clone());
        let played = executor.run(async move { run(&town, &stage).await });
        Report::of(&executor, &ground, played)
    }
}

impl Report {
    /// What came of a run that has ended.
    pub(crate) fn of(executor: &Executor, ground: &Ground, played: Result<Served, Stuck>) -> Self {
        let mut served = Served::new();
        match played {
            Ok(under_faults) => served = under_faults,
            Err(stuck) => ground.ledger.violated(format!("R3: {stuck:?}")),
        }
        ground.end_all();
        Self {
            violations: ground.ledger.violations(),
            struck: ground.weather.struck(),
            messages: ground.ledger.accepted().len(),
            seen: ground.oracle.seen(),
            open: ground.oracle.open(),
            hints: ground.ledger.hints_shown(),
            expelled: ground.oracle.expelled_in_all(),
            served,
            elapsed_ms: ground.clock.elapsed_ms(),
            steps: executor.steps(),
            moves: ground.watch.moves(),
            log: ground.log.text(),
        }
    }

    /// Whether every invariant held.
    #[must_use]
    pub const fn holds(&self) -> bool {
        self.violations.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.violations.as_slice() {
            [] => write!(f, "{} messages, all well", self.messages),
            violations => write!(f, "{}", violations.join("; ")),
        }
    }
}

/// Plays a run, and says what homeservers accepted while faults were on.
async fn run(town: &Town, ground: &Arc<Ground>) -> Served {
    for domain in ground.domains() {
        if ground.tape.strikes(REPLICATED) || ground.planted.is_some_and(Planted::is_of_replicas) {
            ground.replicate(&domain, 2);
        }
    }
    let Some(cast) = awake(town, ground).await else { return Served::new() };
    ground.log.line("faults on");
    ground.weather.brew();
    let count = FEWEST_ACTS + ground.tape.below(MORE_ACTS);
    act(&cast, count).await;

    let served = ground.ledger.served();
    ground.log.line("faults off");
    ground.weather.clear();
    come_to_rest(&cast).await;
    ground.oracle.calm();
    everyone_hears(&cast).await;
    agree(&cast).await;
    audit(&ground.ledger, &cast.diaries());

    start_anew(&cast).await;
    if ground.tape.strikes(EXPELLED) {
        whose_queue_is_gone(&cast).await;
    }
    if ground.tape.strikes(EXPELLED) {
        whose_domain_is_blocked(&cast).await;
    }
    agree(&cast).await;
    audit(&ground.ledger, &cast.diaries());
    served
}

/// The people of a town, once they are awake; where they are not to be woken, that is told.
pub(crate) async fn awake(town: &Town, ground: &Arc<Ground>) -> Option<Arc<Cast>> {
    match town.wake(ground).await {
        Ok(cast) => Some(Arc::new(cast)),
        Err(error) => {
            ground.ledger.violated(format!("the town does not wake: {error}"));
            None
        }
    }
}

/// All homeservers start anew from what they have stored; nothing is lost by that, and everybody agrees still.
pub(crate) async fn start_anew(cast: &Cast) {
    let ground = &cast.ground;
    ground.log.line("everything starts anew");
    for domain in ground.domains() {
        ground.restart(&domain).await;
    }
    replay(ground).await;
    for group in cast.groups() {
        say(cast, &group, "says goodbye").await;
    }
    come_to_rest(cast).await;
    agree(cast).await;
}

/// Who has blocked a group frees it, and comes back by itself: nobody says anything in it.
async fn everyone_hears(cast: &Cast) {
    for actor in &cast.actors {
        for group in actor.deaf_to() {
            actor.free(&group).await;
        }
    }
    come_to_rest(cast).await;
}

/// A member says something in a group.
pub(crate) async fn say(cast: &Cast, group: &GroupId, what: &str) {
    if let Some(member) = speaker(cast, group) {
        member.send(group, &format!("{} {what} in {}", member.name, group.uuid)).await;
    }
}

/// A member of a group: one that has not left, and has heard all, where there is one.
pub(crate) fn speaker<'a>(cast: &'a Cast, group: &GroupId) -> Option<&'a Arc<Actor>> {
    speaker_among(cast, group, |_| true)
}

/// The same, among some.
pub(crate) fn speaker_among<'a>(
    cast: &'a Cast,
    group: &GroupId,
    is_one: impl Fn(&Actor) -> bool,
) -> Option<&'a Arc<Actor>> {
    let has_missed = |actor: &Actor| actor.diary().groups.get(group).is_some_and(|it| it.missed_some);
    let mut members: Vec<_> =
        cast.actors.iter().filter(|actor| is_one(actor) && actor.is_member(group)).collect();
    // Who has left is in it until somebody commits, and may say nothing any more.
    let (staying, _) = cast.ground.oracle.members(group);
    members.sort_by_key(|actor| (!staying.contains(&actor.user), has_missed(actor)));
    members.first().copied()
}

/// K1 and K3: what was accepted was paid for, and what was spent stays spent.
async fn replay(ground: &Arc<Ground>) {
    let link = Link::of_client(ground, "a replay");
    for (to, outgoing) in ground.ledger.replayable() {
        // Whether it is accepted is seen where it is answered.
        let _ = link.send(&to, outgoing).await;
    }
}

/// Waits until nothing is under way any more: what was accepted has arrived, and everybody has read it.
pub(crate) async fn come_to_rest(cast: &Cast) {
    let (ground, mut pause_ms) = (&cast.ground, ROUND_MS);
    for _ in 0..ROUNDS {
        let all_run = ground.domains().iter().all(|domain| ground.home(domain).is_some());
        // Before reading: what arrives meanwhile must be read still.
        let has_arrived = all_run && waiting(&ground.disks()) == 0;
        if cast.everyone_reads().await && has_arrived {
            return;
        }
        ground.clock.sleep_ms(pause_ms).await;
        // A homeserver that waits before it tries again does not do so sooner for being looked at.
        pause_ms = pause_ms.saturating_mul(2).min(LONGEST_ROUND_MS);
    }
    let waits: BTreeMap<Fqdn, usize> = ground
        .disks()
        .into_iter()
        .map(|(domain, disk)| (domain.clone(), waiting(&BTreeMap::from([(domain, disk)]))))
        .collect();
    ground.ledger.violated(format!("Q1: what was accepted does not arrive: {waits:?}"));
}

/// D4: in the end all members of a group see the same; D5: and that they are its members.
pub(crate) async fn agree(cast: &Cast) {
    for (number, group) in cast.groups().iter().enumerate() {
        let present = cast.present(group);
        let mut views = Vec::new();
        for actor in cast.actors.iter().filter(|actor| actor.is_member(group)) {
            // Members that could not be verified while faults were on are asked about again.
            actor.tell("looks after itself", actor.client.maintain().await);
            views.push((&actor.name, actor.view(group).await));
        }
        let seen = views.first().and_then(|(_, view)| view.as_ref());
        if let Some(differs) = cast.ground.oracle.compare(group, seen) {
            let what = format!("group {number}, {}: {differs}", cast.in_words(seen));
            cast.ground.ledger.violated(format!("O: {what}"));
        }
        let Some((leader, expected)) = views.first() else { continue };
        let told = |view: &Option<View>| cast.in_words(view.as_ref());
        for (name, view) in views.iter().filter(|(_, view)| view != expected) {
            let what = format!("{leader} sees {}, {name} {} in group {number}", told(expected), told(view));
            cast.ground.ledger.violated(format!("D4: {what}"));
        }
        if expected.as_ref().is_none_or(|view| view.members != present) {
            let members = View { members: present, ..View::default() };
            let what = format!("{leader} sees {} in group {number}", told(expected));
            cast.ground.ledger.violated(format!("D5: {what}, who are in it see {}", told(&Some(members))));
        }
    }
}

/// How many messages lie on lanes and in mailboxes.
fn waiting(disks: &BTreeMap<Fqdn, MemoryStore>) -> usize {
    disks.values().flat_map(MemoryStore::dump).map(|(partition, found)| under_way(&partition, &found)).sum()
}

fn under_way(partition: &PartitionKey, found: &Snapshot) -> usize {
    let holds_messages = match partition.space() {
        Space::Lane => true,
        Space::Qs => matches!(partition.key().first(), Some(&MAILBOX | &LATER)),
        Space::As | Space::Ds | Space::Spent | Space::Peers => false,
    };
    // The other rows of these have names.
    let messages = found.rows.iter().filter(|(row, _)| holds_messages && row.first() == Some(&0));
    messages.count()
}

/// Partitions of the QS: a mailbox.
const MAILBOX: u8 = 6;
/// Partitions of the QS: what was put off of a mailbox.
const LATER: u8 = 9;
/// How many in a thousand homeservers have two replicas.
const REPLICATED: u16 = 333;
/// How many in a thousand runs have members whom a delivery service takes out of its groups, for each of two reasons.
const EXPELLED: u16 = 333;
/// Things that are done in a run, at least.
const FEWEST_ACTS: usize = 60;
/// How many more there may be.
const MORE_ACTS: usize = 30;
/// How often it is looked whether everything is at rest.
const ROUNDS: usize = 100;
/// How long between the first two looks,
const ROUND_MS: u64 = 1_000;
/// and between two of them at most.
const LONGEST_ROUND_MS: u64 = 8_000;
