//! One run: faults on, faults off, everything started anew.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use phoenix_core::{
    Fqdn, UserId,
    port::{PartitionKey, Snapshot, Space, Transport},
    store::MemoryStore,
};

use super::{
    acts::act,
    audit::audit,
    cast::{Cast, View},
    ground::Ground,
    link::Link,
    planted::Planted,
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
    /// Virtual time that passed, in milliseconds.
    pub elapsed_ms: u64,
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
        match played {
            Ok(()) => {}
            Err(stuck) => ground.ledger.violated(format!("R3: {stuck:?}")),
        }
        ground.end_all();
        Report {
            violations: ground.ledger.violations(),
            struck: ground.weather.struck(),
            messages: ground.ledger.accepted().len(),
            elapsed_ms: ground.clock.elapsed_ms(),
            log: ground.log.text(),
        }
    }
}

impl Report {
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

async fn run(town: &Town, ground: &Arc<Ground>) {
    for domain in ground.domains() {
        if ground.tape.strikes(REPLICATED) {
            ground.replicate(&domain, 2);
        }
    }
    let cast = match town.wake(ground).await {
        Ok(cast) => Arc::new(cast),
        Err(error) => return ground.ledger.violated(format!("the town does not wake: {error}")),
    };
    ground.log.line("faults on");
    ground.weather.brew();
    let count = FEWEST_ACTS + ground.tape.below(MORE_ACTS);
    act(&cast, count).await;

    ground.log.line("faults off");
    ground.weather.clear();
    come_to_rest(&cast).await;
    agree(&cast).await;
    audit(&ground.ledger, &cast.diaries());

    ground.log.line("everything starts anew");
    for domain in ground.domains() {
        ground.restart(&domain).await;
    }
    replay(ground).await;
    for (number, group) in cast.groups.iter().enumerate() {
        if let Some(admin) = cast.admin_of(group).and_then(|admin| cast.actors.get(admin)) {
            admin.send(group, &format!("{} says goodbye to group {number}", admin.name)).await;
        }
    }
    come_to_rest(&cast).await;
    agree(&cast).await;
    audit(&ground.ledger, &cast.diaries());
}

/// K1: what was spent before stays spent.
async fn replay(ground: &Arc<Ground>) {
    let link = Link::of_client(ground, "a replay");
    for (to, outgoing) in ground.ledger.replayable() {
        // Whether it is accepted is seen where it is answered.
        let _ = link.send(&to, outgoing).await;
    }
}

/// Waits until nothing is under way any more: what was accepted has arrived, and everybody has read it.
pub(crate) async fn come_to_rest(cast: &Cast) {
    let ground = &cast.ground;
    for _ in 0..ROUNDS {
        let all_run = ground.domains().iter().all(|domain| ground.home(domain).is_some());
        // Before reading: what arrives meanwhile must be read still.
        let has_arrived = all_run && waiting(&ground.disks()) == 0;
        if cast.everyone_reads().await && has_arrived {
            return;
        }
        ground.clock.sleep_ms(ROUND_MS).await;
    }
    let waits: BTreeMap<Fqdn, usize> = ground
        .disks()
        .into_iter()
        .map(|(domain, disk)| (domain.clone(), waiting(&BTreeMap::from([(domain, disk)]))))
        .collect();
    ground.ledger.violated(format!("Q1: what was accepted does not arrive: {waits:?}"));
}

/// D4: in the end all members of a group see the same; D5: and that they are its members.
async fn agree(cast: &Cast) {
    for (number, group) in cast.groups.iter().enumerate() {
        let present: BTreeSet<UserId> = cast.present(group).into_iter().collect();
        let mut views = Vec::new();
        for actor in cast.actors.iter().filter(|actor| actor.is_member(group)) {
            // Members that could not be verified while faults were on are asked about again.
            actor.tell("looks after itself", actor.client.maintain().await);
            views.push((&actor.name, actor.view(group).await));
        }
        let Some((leader, expected)) = views.first() else { continue };
        let told = |view: &Option<View>| cast.in_words(view.as_ref());
        for (name, view) in views.iter().filter(|(_, view)| view != expected) {
            let what = format!("{leader} sees {}, {name} {} in group {number}", told(expected), told(view));
            cast.ground.ledger.violated(format!("D4: {what}"));
        }
        if expected.as_ref().is_none_or(|view| view.members != present) {
            let members = View { epoch: 0, members: present };
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
/// Things that are done in a run, at least.
const FEWEST_ACTS: usize = 30;
/// How many more there may be.
const MORE_ACTS: usize = 15;
/// How often it is looked whether everything is at rest.
const ROUNDS: usize = 600;
/// How long between two looks.
const ROUND_MS: u64 = 1_000;
