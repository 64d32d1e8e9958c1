//! Step 4: a group on alpha's DS with members of beta.

use phoenix_client::Event;
use phoenix_core::{
    Fqdn, GroupId,
    api::{ServiceName, delivery::AddUsersRequest},
    wire::Wire,
};

use crate::demo::{
    parts::Side,
    play::Play,
    player::Player,
    report::{Doing, Stop, Told, ensure},
    watch::Seen,
};

pub(super) async fn play(play: &mut Play) -> Result<Told, Stop> {
    let (a, b, c) = play.three()?;
    if !play.are_connected {
        return Err(Stop::Skipped("connection"));
    }
    let [alpha, beta] = [Side::Alpha, Side::Beta].map(|side| play.house(side));
    let group = a.client.create_group().await.doing("a creates a group")?;
    ensure(group.domain == alpha.domain, || "the group is not on alpha's DS".to_owned())?;
    let fetched_before = alpha.log.fetches(&beta.domain, ServiceName::Qs);
    play.stage.road_log.record();
    let invited = a.client.invite(&group, &[b.user().clone(), c.user().clone()]).await;
    let calls = play.stage.road_log.stop("add_users");
    invited.doing("a adds b and c")?;
    let batches = accepted_batches(&calls, &beta.domain)?;
    ensure(batches == 2, || format!("alpha's DS took {batches} batches of beta's QS, not 2"))?;
    // Alpha's DS needs the keys of beta's QS for the first time here, to verify its word for the packages.
    let fetched = alpha.log.fetches(&beta.domain, ServiceName::Qs).saturating_sub(fetched_before);
    ensure(fetched > 0, || "alpha's DS did not fetch the keys of beta's QS for its batches".to_owned())?;
    for player in [b, c] {
        joined(player, &group, a).await?;
    }
    let epoch = agree(&group, &[a, b, c]).await?;
    play.group = Some(group);
    Ok(Told::new(format!(
        "3 members on 2 servers, {batches} KeyPackageBatches of beta's QS checked with its keys, 2 joined from their \
         queues by a Welcome; all agree on epoch {epoch}"
    ))
    .figure("batches", batches)
    .figure("key_fetches", fetched)
    .figure("members", 3)
    .figure("joined", 2)
    .figure("epoch", epoch))
}

/// How many batches of a domain's QS came with the Adds that the DS accepted.
fn accepted_batches(calls: &[Seen], domain: &Fqdn) -> Result<usize, Stop> {
    let mut batches = 0;
    for call in calls.iter().filter(|call| call.answer.is_ok()) {
        let request = AddUsersRequest::decode(&call.outgoing.call.body).doing("what a asked of the DS")?;
        batches += request.batches.iter().filter(|batch| batch.payload.domain == *domain).count();
    }
    Ok(batches)
}

/// Waits until a player has joined a group.
pub(super) async fn joined(player: &Player, group: &GroupId, by: &Player) -> Result<(), Stop> {
    let joined = |event: &Event| matches!(event, Event::Joined { group: it, by: who } if it == group && who == by.user());
    player.hear("the invitation", |event| joined(event).then_some(())).await
}

/// Checks that players agree on who is in a group and on its epoch.
pub(super) async fn agree(group: &GroupId, players: &[&Player]) -> Result<u64, Stop> {
    let mut epochs = Vec::new();
    for player in players {
        let members =
            player.client.members(group).await.doing(format!("{} lists members", player.letter()))?;
        let all_known =
            players.iter().all(|it| members.iter().any(|member| member.user.as_ref() == Some(it.user())));
        ensure(all_known && members.len() == players.len(), || {
            format!("{} does not know all members", player.letter())
        })?;
        epochs.push(player.client.epoch(group).await.doing("an epoch")?.0);
    }
    let first = epochs.first().copied().unwrap_or_default();
    ensure(epochs.iter().all(|epoch| *epoch == first), || {
        format!("the members are in different epochs: {epochs:?}")
    })?;
    Ok(first)
}
