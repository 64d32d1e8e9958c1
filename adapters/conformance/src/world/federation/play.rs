//! One run of homeservers that are cut off from each other, beside a hostile one.

use std::sync::Arc;

use futures::future::join_all;
use phoenix_core::{Fqdn, GroupId, port::Clock};

use super::{
    flood::flood,
    hostile::{Hostile, Move},
    moves::moves,
    partition::{Partition, pass},
};
use crate::world::{
    audit::audit,
    cast::{Actor, Cast},
    ground::Ground,
    ledger::Served,
    planted::Planted,
    play::{Report, agree, awake, come_to_rest, start_anew},
    tape::Tape,
    town::{Scene, Town},
    weather::Fault,
};

impl Town {
    /// Plays a tape in a clone of the town: its homeservers are cut off from each other, and a hostile one does all of
    /// the ordinary moves.
    #[must_use]
    pub fn play_federation(self: &Arc<Self>, tape: &Tape, planted: Option<Planted>) -> Report {
        self.play_federation_with(tape, planted, &moves())
    }

    /// The same with other moves.
    #[must_use]
    pub fn play_federation_with(
        self: &Arc<Self>,
        tape: &Tape,
        planted: Option<Planted>,
        moves: &[Arc<dyn Move>],
    ) -> Report {
        let Scene { mut executor, ground } = self.scene(tape.clone(), planted);
        let (town, stage, moves) = (self.clone(), ground.clone(), moves.to_vec());
        let played = executor.run(async move { run(&town, &stage, &moves).await });
        Report::of(&executor, &ground, played)
    }
}

async fn run(town: &Town, ground: &Arc<Ground>, moves: &[Arc<dyn Move>]) -> Served {
    ground.be_patient();
    let Some(cast) = awake(town, ground).await else { return Served::new() };
    ground.log.line("faults on");
    ground.weather.brew_of(&FAULTS);
    if ground.tape.strikes(500)
        && let Some(liar) = ground.tape.pick(&ground.domains())
    {
        ground.watch.let_lie(liar);
    }
    let partition = Partition::draw(&ground.tape, &ground.domains());
    torment(&cast, &partition, moves).await;
    let served = ground.ledger.served();

    ground.log.line("only the partition stays");
    ground.weather.calm_but_cuts();
    nobody_waits_for_others(&cast, &partition).await;
    ground.log.line("faults off");
    ground.weather.clear();
    ground.put_out();
    // Who was not reached is tried again within five minutes; whose keys could not be had, after as long again as that
    // was so, at most an hour (08).
    pass(ground, partition.length_ms.clamp(TEN_MINUTES_MS, AN_HOUR_MS)).await;
    come_to_rest(&cast).await;
    ground.oracle.calm();
    agree(&cast).await;
    audit(&ground.ledger, &cast.diaries());

    if let Some(hostile) = Hostile::new(ground) {
        flood(&cast, &hostile).await;
    }
    start_anew(&cast).await;
    audit(&ground.ledger, &cast.diaries());
    served
}

/// Members talk, the hostile homeserver makes its moves, and from a third on there is the partition.
async fn torment(cast: &Cast, partition: &Partition, moves: &[Arc<dyn Move>]) {
    let (ground, before) = (&cast.ground, ACTS / 3);
    let Some(hostile) = Hostile::new(ground) else { return };
    let share_ms = partition.length_ms / u64::try_from(ACTS - before).unwrap_or(1);
    for turn in 0..ACTS {
        if turn == before {
            partition.begin(ground);
        }
        if turn >= before {
            partition.last(ground, share_ms).await;
        }
        strike(ground);
        let next = ground.tape.pick(moves).cloned().filter(|_| ground.tape.strikes(ATTACKED));
        let against = ground.tape.pick(&ground.domains()).cloned();
        let attack = async {
            if let Some((next, against)) = next.zip(against) {
                ground.watch.moved(next.name());
                ground.log.line(format!("mallory {} {against}", next.name()));
                next.play(&hostile, &against).await;
            }
        };
        futures::join!(attack, act(cast, turn));
    }
}

/// One of the members does something.
async fn act(cast: &Cast, turn: usize) {
    let tape = &cast.ground.tape;
    let Some(actor) = tape.pick(&cast.actors).cloned() else { return };
    let groups: Vec<GroupId> = cast.groups().into_iter().filter(|group| actor.is_member(group)).collect();
    let Some(group) = tape.pick(&groups) else { return };
    match tape.below(10) {
        0..6 => actor.send(group, &format!("{} says {turn} in {}", actor.name, group.uuid)).await,
        6 | 7 => actor.update(group).await,
        8 => {
            // Its queue config passes by those who listen. The group stays empty.
            let made = actor.client.create_group().await;
            actor.tell("makes a group", made.map(drop));
        }
        _ => {}
    }
    join_all(cast.actors.iter().map(|actor| actor.sync())).await;
}

/// Ends a process soon, in a run in which that happens.
fn strike(ground: &Arc<Ground>) {
    let domains = ground.domains();
    let Some(domain) = ground.tape.pick(&domains) else { return };
    if ground.weather.has(Fault::Crashed) && ground.tape.strikes(CRASHES) {
        let calls = u32::try_from(ground.tape.below(CALLS_TO_CRASH)).unwrap_or(0);
        ground.light(domain, calls, ground.tape.below_u64(AWAY_MS));
    }
}

/// F5: what can arrive does, whatever waits for somebody who is not reached.
async fn nobody_waits_for_others(cast: &Cast, partition: &Partition) {
    let ground = &cast.ground;
    let until = ground.clock.now().plus_millis(UNHINDERED_MS);
    loop {
        cast.everyone_reads().await;
        let waiting = unshown(cast, |one, other| !partition.parts(one, other));
        if waiting.is_empty() {
            return;
        }
        if ground.clock.now() > until {
            waiting.into_iter().for_each(|what| ground.ledger.violated(format!("F5: {what}")));
            return;
        }
        pass(ground, ROUND_MS).await;
    }
}

/// What members were not shown, though their homeserver and the group's reach each other.
fn unshown(cast: &Cast, reach: impl Fn(&Fqdn, &Fqdn) -> bool) -> Vec<String> {
    let mut waiting = Vec::new();
    for (text, spoken) in cast.ground.ledger.accepted() {
        let waits = |actor: &&Arc<Actor>| {
            let home = &actor.user.domain;
            let diary = actor.diary();
            let chapter = diary.groups.get(&spoken.group);
            actor.name != spoken.sender
                && (*home == spoken.group.domain || reach(home, &spoken.group.domain))
                && chapter
                    .is_some_and(|it| it.must_show(spoken.made_in, spoken.epoch) && it.shown(&text) == 0)
        };
        let unshown = cast.actors.iter().filter(waits);
        waiting.extend(unshown.map(|actor| format!("{} still waits for {text:?}", actor.name)));
    }
    waiting
}

/// Faults that a run may have beside its partition: those of the ways between homeservers, and crashes.
const FAULTS: [Fault; 6] = [
    Fault::RequestLost,
    Fault::AnswerLost,
    Fault::Duplicated,
    Fault::Reordered,
    Fault::Partitioned,
    Fault::Crashed,
];
/// Things that members do.
const ACTS: usize = 12;
/// How many in a thousand of them the hostile homeserver does something beside.
const ATTACKED: u16 = 600;
/// How many in a thousand of them a process ends at.
const CRASHES: u16 = 150;
const CALLS_TO_CRASH: usize = 40;
const AWAY_MS: u64 = 15_000;
/// What is on its way when a process ends is sent again after 90 s, and pauses between two tries are up to five minutes.
const UNHINDERED_MS: u64 = 900_000;
const ROUND_MS: u64 = 20_000;
const TEN_MINUTES_MS: u64 = 600_000;
const AN_HOUR_MS: u64 = 3_600_000;
