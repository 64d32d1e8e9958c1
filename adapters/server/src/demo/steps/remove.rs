//! Step 9: a member is removed.

use phoenix_client::Event;
use phoenix_core::{
    ErrorCode, GroupId,
    api::queue::{DequeueReply, EntryPayload},
    token::Class,
    wire::Wire,
};

use super::talk::top_up;
use crate::demo::{
    play::Play,
    player::Player,
    report::{Doing, Stop, Told, ensure},
};

pub(super) async fn play(play: &mut Play) -> Result<Told, Stop> {
    let group = play.group()?;
    let (a, b, c) = play.three()?;
    let [person_a, person_b, person_c] = [a, b, c].map(|player| player.person.clone());
    let lines: Vec<String> = (0..AFTER).map(|_| play.line(&person_a)).collect();
    let (from_b, from_c) = (play.line(&person_b), play.line(&person_c));
    let (a, b, c) = play.three()?;
    for player in [a, b, c] {
        player.read().await?;
        player.forget();
        top_up(player).await?;
    }
    a.client.remove(&group, &[b.user().clone()]).await.doing("a removes b")?;
    let refused = refusal(play, b, &group, &from_b).await?;
    // c has not read of the removal yet: its message is still of the epoch whose keys b has.
    c.client.send(&group, &from_c).await.doing("c sends")?;
    for line in &lines {
        a.client.send(&group, line).await.doing("a sends")?;
    }
    a.line(&group, &from_c).await?;
    for line in &lines {
        c.line(&group, line).await?;
    }
    let got = entries(play, b).await?;
    b.hear("its removal", |event| {
        matches!(event, Event::Removed { group: it } if *it == group).then_some(())
    })
    .await?;
    let opened = b.heard_messages(&group)?.len();
    ensure(opened == 0, || format!("b opened {opened} messages after its removal"))?;
    ensure(got == 1, || format!("b's queue got {got} entries, not the commit that removed it alone"))?;
    let sent = lines.len() + 1;
    Ok(Told::new(format!(
        "b's next send is refused as {refused}; of {sent} messages sent after it b's queue got none, and b opened none"
    ))
    .figure("refused", refused)
    .figure("sent_after", sent)
    .figure("entries_after", got.saturating_sub(1))
    .figure("opened_after", opened))
}

/// The error with which a member's next message is refused, before it has heard of its removal.
async fn refusal(play: &Play, member: &Player, group: &GroupId, line: &str) -> Result<&'static str, Stop> {
    let letter = member.letter();
    let token = member
        .client
        .take_token(&group.domain, Class::Standard)
        .await
        .doing(format!("{letter} takes a token"))?;
    let outgoing = member.client.prepare_message(group, line, Some(token)).await;
    let outgoing = outgoing.doing(format!("{letter} prepares a message"))?;
    match play.stage.road.send(&group.domain, outgoing).await.doing(format!("{letter} sends"))? {
        Ok(_) => Err(Stop::failed(format!("{letter} was removed, and its message was accepted"))),
        Err(error) => match error.code {
            ErrorCode::Unauthenticated => Ok("unauthenticated"),
            ErrorCode::NotFound => Ok("not_found"),
            ErrorCode::Forbidden => Ok("forbidden"),
            other => Err(Stop::failed(format!("{letter}'s message was refused with {other:?}"))),
        },
    }
}

/// How many messages a player's queue held that it had not read; they are read now.
async fn entries(play: &Play, player: &Player) -> Result<usize, Stop> {
    play.stage.road_log.record();
    player.read().await?;
    let mut entries = 0;
    for seen in play.stage.road_log.stop("dequeue") {
        let reply = seen.answer.doing("the queue is read")?;
        let reply = DequeueReply::decode(&reply).doing("what the queue answered")?;
        entries +=
            reply.entries.iter().filter(|entry| matches!(entry.payload, EntryPayload::Message(_))).count();
    }
    Ok(entries)
}

/// Messages that a sends after the removal.
const AFTER: usize = 5;
