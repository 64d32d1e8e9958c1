//! Step 5: all three send.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use futures::future::{try_join, try_join_all};
use phoenix_core::GroupId;
use tokio::time::sleep;

use crate::demo::{
    play::Play,
    player::{Heard, Player},
    report::{Doing, Stop, Told, ensure, millis},
};

/// What a player is going to say, and how long it thinks before, in milliseconds.
type Lines = Vec<(String, u64)>;

pub(super) async fn play(play: &mut Play) -> Result<Told, Stop> {
    let group = play.group()?;
    let scripts = scripts(play)?;
    let (a, b, c) = play.three()?;
    let players = [a, b, c];
    try_join_all(players.map(top_up)).await?;
    let sending =
        try_join_all(players.iter().zip(&scripts).map(|(player, lines)| speak(player, &group, lines)));
    let hearing = try_join_all(players.map(|player| player.messages(&group, 2 * EACH)));
    let (sent, heard) = try_join(sending, hearing).await?;
    let sent: HashMap<String, Instant> = sent.into_iter().flatten().collect();
    let mut deliveries = 0;
    for (player, heard) in players.iter().zip(&heard) {
        let others = players.iter().zip(&scripts).filter(|(it, _)| it.letter() != player.letter());
        for (speaker, lines) in others {
            deliveries += in_order(player, heard, speaker, lines)?;
        }
        ensure(heard.len() == 2 * EACH, || format!("{} heard {} messages", player.letter(), heard.len()))?;
    }
    let taken = |of: &[Vec<Heard>]| latencies(of.iter().flatten(), &sent);
    let (within, across) = heard.split_at(1);
    let (within, across) = (taken(within), taken(across));
    let told = format!(
        "{} sent, {deliveries} delivered, each once and in order; from send to decrypted within a server \
         {:.1} ms (at most {:.1}), across {:.1} ms (at most {:.1})",
        sent.len(),
        within.median,
        within.longest,
        across.median,
        across.longest,
    );
    Ok(Told::new(told)
        .figure("messages", sent.len())
        .figure("deliveries", deliveries)
        .figure("within_median_ms", within.median)
        .figure("within_max_ms", within.longest)
        .figure("across_median_ms", across.median)
        .figure("across_max_ms", across.longest))
}

/// Fetches tokens and packages ahead.
pub(super) async fn top_up(player: &Player) -> Result<(), Stop> {
    player.client.maintain().await.doing(format!("{} fetches ahead", player.letter()))
}

/// Checks that a player heard the lines of another, each once and in order; gives how many there were.
pub(super) fn in_order(
    player: &Player,
    heard: &[Heard],
    speaker: &Player,
    lines: &Lines,
) -> Result<usize, Stop> {
    let said =
        heard.iter().filter(|it| it.message.sender == *speaker.user()).map(|it| it.message.text.as_ref());
    let is_same = said.clone().eq(lines.iter().map(|(line, _)| line.as_bytes()));
    let (hearer, from) = (player.letter(), speaker.letter());
    ensure(is_same, || {
        format!("{hearer} did not hear each line of {from} once and in order: {}", said.count())
    })?;
    Ok(lines.len())
}

fn scripts(play: &mut Play) -> Result<Vec<Lines>, Stop> {
    let (a, b, c) = play.three()?;
    let people = [a, b, c].map(|player| player.person.clone());
    let lines = |person| (0..EACH).map(|_| (play.line(person), play.dice.below(LONGEST_PAUSE_MS))).collect();
    Ok(people.iter().map(lines).collect())
}

/// Sends lines one after the other; gives when each was.
async fn speak(player: &Player, group: &GroupId, lines: &Lines) -> Result<Vec<(String, Instant)>, Stop> {
    let mut sent = Vec::new();
    for (line, pause) in lines {
        sleep(Duration::from_millis(*pause)).await;
        sent.push((line.clone(), Instant::now()));
        player.client.send(group, line).await.doing(format!("{} sends", player.letter()))?;
    }
    Ok(sent)
}

struct Latencies {
    median: f64,
    longest: f64,
}

fn latencies<'a>(heard: impl Iterator<Item = &'a Heard>, sent: &HashMap<String, Instant>) -> Latencies {
    let took = heard.filter_map(|it| {
        let line = std::str::from_utf8(&it.message.text).ok()?;
        Some(it.at.duration_since(*sent.get(line)?))
    });
    let mut took: Vec<Duration> = took.collect();
    took.sort_unstable();
    let at = |place: Option<&Duration>| millis(place.copied().unwrap_or_default());
    Latencies { median: at(took.get(took.len() / 2)), longest: at(took.last()) }
}

/// Lines of each player.
const EACH: usize = 20;
/// Longest pause before a line.
const LONGEST_PAUSE_MS: u64 = 12;
