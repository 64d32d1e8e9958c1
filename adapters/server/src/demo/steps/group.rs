//! Step 4: a group on alpha's DS with members of beta.

use phoenix_client::Event;
use phoenix_core::{
    GroupId,
    api::{ServiceName, delivery::AddUsersRequest, queue::KeyPackageBatch},
    published::QsDocument,
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
    play.stage.road_log.record();
    let invited = a.client.invite(&group, &[b.user().clone(), c.user().clone()]).await;
    let calls = play.stage.road_log.stop("add_users");
    invited.doing("a adds b and c")?;
    let batches = checked_batches(play, &calls).await?;
    ensure(batches == 2, || format!("alpha's DS took {batches} batches of beta's QS, not 2"))?;
    // Without the keys of beta's QS, alpha's DS cannot have checked them as well.
    let has_keys = alpha.log.has_fetched(&beta.domain, ServiceName::Qs);
    ensure(has_keys, || "alpha did not fetch the keys of beta's QS".to_owned())?;
    for player in [b, c] {
        joined(player, &group, a).await?;
    }
    let epoch = agree(&group, &[a, b, c]).await?;
    play.group = Some(group);
    Ok(Told::new(format!(
        "3 members on 2 servers, {batches} KeyPackageBatches of beta's QS checked, 2 joined from their \
         queues by a Welcome; all agree on epoch {epoch}"
    ))
    .figure("batches", batches)
    .figure("members", 3)
    .figure("joined", 2)
    .figure("epoch", epoch))
}

/// How many batches of beta's QS came with the Adds that alpha's DS accepted, each signed with a key that the QS
/// publishes.
async fn checked_batches(play: &Play, calls: &[Seen]) -> Result<usize, Stop> {
    let domain = &play.house(Side::Beta).domain;
    let document = play.stage.road.fetch(domain, ServiceName::Qs).await.doing("the keys of beta's QS")?;
    let keys = QsDocument::decode(&document, domain).doing("the keys of beta's QS")?.verifying;
    let mut batches = 0;
    for call in calls.iter().filter(|call| call.answer.is_ok()) {
        let request = AddUsersRequest::decode(&call.outgoing.call.body).doing("what a asked of the DS")?;
        for KeyPackageBatch { payload, signature } in &request.batches {
            let key = keys.iter().find(|key| key.id == payload.key && payload.domain == *domain);
            let verified = key.map(|it| it.key.verify("KeyPackageBatch", &payload.encode(), signature));
            ensure(matches!(verified, Some(Ok(()))), || {
                "alpha's DS took a batch that beta's QS did not sign".to_owned()
            })?;
            batches += 1;
        }
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
