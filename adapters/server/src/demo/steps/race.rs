//! Step 6: eight clients commit at once.

use std::collections::BTreeMap;

use futures::future::{join_all, try_join_all};
use phoenix_client::Event;
use phoenix_core::{Epoch, GroupId, port::Circuit};

use super::{
    connect::befriend,
    group::{agree, joined},
    register::set_up,
};
use crate::demo::{
    play::Play,
    player::Player,
    report::{Doing, Stop, Told, ensure},
    watch::Seen,
};

pub(super) async fn play(play: &mut Play) -> Result<Told, Stop> {
    play.three()?;
    if !play.are_connected {
        return Err(Stop::Skipped("connection"));
    }
    let newcomers = play.cast.crowd.clone();
    let newcomers =
        try_join_all(newcomers.into_iter().map(|(person, side)| play.enter(person, side))).await?;
    try_join_all(newcomers.iter().map(set_up)).await?;
    play.players.extend(newcomers);
    let group = gather(play).await?;
    let mut order: Vec<usize> = (0..play.players.len()).collect();
    play.dice.shuffle(&mut order);
    let everyone: Vec<&Player> = order.iter().filter_map(|place| play.players.get(*place)).collect();
    let before = agree(&group, &everyone).await?;
    play.stage.road_log.record();
    let updates = join_all(everyone.iter().map(|player| update(player, &group))).await;
    let seen = play.stage.road_log.stop("update_client");
    let (won, lost, accepted) = firsts(&seen, before);
    let all = everyone.len();
    ensure(won == 1, || format!("{won} commits won epoch {before}"))?;
    ensure(lost == all - 1, || format!("{lost} clients were told the current epoch"))?;
    updates.into_iter().collect::<Result<Vec<()>, Stop>>()?;
    ensure(accepted == all, || format!("{accepted} commits were accepted"))?;
    let epochs = u64::try_from(all).unwrap_or_default();
    let reached = Epoch(before.saturating_add(epochs));
    try_join_all(everyone.iter().map(|player| reach(player, &group, reached))).await?;
    let after = agree(&group, &everyone).await?;
    ensure(after == reached.0, || format!("the group went on to epoch {after}, not {}", reached.0))?;
    play.crowd = Some(group);
    Ok(Told::new(format!(
        "1 won, {lost} were told the current epoch, caught up and succeeded later: {accepted} commits in {} tries, \
         all {all} in epoch {after}",
        seen.len(),
    ))
    .figure("clients", all)
    .figure("won", won)
    .figure("told_the_epoch", lost)
    .figure("accepted", accepted)
    .figure("tries", seen.len())
    .figure("epochs", epochs))
}

/// Makes a group of all players, once a is connected with everyone.
async fn gather(play: &Play) -> Result<GroupId, Stop> {
    let [a, others @ ..] = play.players.as_slice() else { return Err(Stop::Skipped("registered user")) };
    for newcomer in others.iter().skip(2) {
        befriend(a, newcomer).await?;
    }
    let users: Vec<_> = others.iter().map(|player| player.user().clone()).collect();
    let group = a.client.create_group().await.doing("a creates the group of eight")?;
    a.client.invite(&group, &users).await.doing("a adds seven")?;
    try_join_all(others.iter().map(|player| joined(player, &group, a))).await?;
    // Those who joined replace the queue config of their package first, so that the race is of commits alone.
    let everyone = others.iter().map(|player| player.client.send(&group, &player.person.name));
    try_join_all(everyone).await.doing("the eight introduce themselves")?;
    for player in &play.players {
        player
            .messages(&group, if player.letter() == a.letter() { others.len() } else { others.len() - 1 })
            .await?;
    }
    Ok(group)
}

async fn update(player: &Player, group: &GroupId) -> Result<(), Stop> {
    player.client.update(group).await.doing(format!("{} commits", player.letter()))
}

/// Reads until a player's group has reached an epoch.
async fn reach(player: &Player, group: &GroupId, epoch: Epoch) -> Result<(), Stop> {
    if player.client.epoch(group).await.doing("an epoch")? >= epoch {
        return Ok(());
    }
    let reached = |event: &Event| matches!(event, Event::EpochChanged { group: it, epoch: now } if it == group && *now >= epoch);
    player.hear("the last commit", |event| reached(event).then_some(())).await
}

/// Of the first tries of all clients, how many won the epoch and how many were told that it is over; and how many
/// tries were accepted at all.
fn firsts(seen: &[Seen], epoch: u64) -> (usize, usize, usize) {
    let mut firsts: BTreeMap<Circuit, &Seen> = BTreeMap::new();
    for it in seen {
        firsts.entry(it.outgoing.circuit).or_insert(it);
    }
    let won = firsts.values().filter(|it| it.answer.is_ok()).count();
    let told = |it: &&&Seen| matches!(&it.answer, Err(error) if error.current_epoch() > Some(epoch));
    let lost = firsts.values().filter(told).count();
    (won, lost, seen.iter().filter(|it| it.answer.is_ok()).count())
}
