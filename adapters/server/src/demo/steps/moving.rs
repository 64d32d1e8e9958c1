//! Step 10: a's queue moves to a third homeserver, while c writes.

use futures::future::try_join;
use phoenix_client::Pace;
use phoenix_core::{Fqdn, GroupId, token::Class};

use super::{group::joined, talk::top_up};
use crate::demo::{
    play::Play,
    player::{Heard, Player},
    report::{Doing, Stop, Told, ensure},
};

pub(super) async fn play(play: &mut Play) -> Result<Told, Stop> {
    let group = play.group()?;
    let (a, _, c) = play.three()?;
    let (person_a, person_c) = (a.person.clone(), c.person.clone());
    let lines: Vec<String> = (0..LINES).map(|_| play.line(&person_c)).collect();
    let (answer, welcome, last) = (play.line(&person_a), play.line(&person_c), play.line(&person_c));
    let (a, _, c) = play.three()?;
    for player in [a, c] {
        player.read().await?;
        player.forget();
        top_up(player).await?;
    }
    let to = play.stage.gamma.domain.clone();
    // Ahead, so that the move itself fetches nothing under a's name.
    for class in [Class::Contact, Class::Standard] {
        a.client.fetch_tokens(&to, class).await.doing("a fetches tokens of the third server")?;
    }
    let (before, rest) = lines.split_at(LINES / 3);
    let (during, after) = rest.split_at(LINES / 3);
    say(c, &group, before).await?;
    let moving = async { a.client.move_queue(&to, Pace::AtOnce).await.doing("a moves its queue") };
    try_join(moving, say(c, &group, during)).await?;
    say(c, &group, after).await?;
    let heard = a.messages(&group, LINES).await?;
    in_order(&heard, &lines)?;
    let queues = left(a, &to).await?;
    a.client.send(&group, &answer).await.doing("a answers")?;
    c.line(&group, &answer).await?;
    let further = c.client.create_group().await.doing("c creates a group")?;
    invited(c, a, &further).await?;
    joined(a, &further, c).await?;
    c.client.send(&further, &welcome).await.doing("c sends")?;
    a.line(&further, &welcome).await?;
    c.client.send(&group, &last).await.doing("c sends")?;
    a.line(&group, &last).await?;
    // A second copy of what was said before came before this.
    let again = a.heard_messages(&group)?.len();
    ensure(again == 0, || format!("a read {again} messages more than were sent"))?;
    Ok(Told::new(format!(
        "of {LINES} messages sent before, while and after a's queue went to {to}, a read each once and in order, \
         in the same groups; its former queue is gone"
    ))
    .figure("messages", LINES)
    .figure("read", heard.len())
    .figure("queues", queues))
}

async fn say(player: &Player, group: &GroupId, lines: &[String]) -> Result<(), Stop> {
    for line in lines {
        player.client.send(group, line).await.doing(format!("{} sends", player.letter()))?;
    }
    Ok(())
}

fn in_order(heard: &[Heard], lines: &[String]) -> Result<(), Stop> {
    let is_same = heard.iter().map(|it| it.message.text.as_ref()).eq(lines.iter().map(String::as_bytes));
    ensure(is_same, || format!("a did not read each of c's lines once and in order: {}", heard.len()))
}

/// Reads until a player's only queue is at a homeserver; gives how many it has.
async fn left(player: &Player, to: &Fqdn) -> Result<usize, Stop> {
    for _ in 0..TRIES {
        let queues = player.client.queues().await;
        if queues.iter().all(|domain| domain == to) {
            return Ok(queues.len());
        }
        player.wait().await?;
    }
    Err(Stop::failed(format!("{} still has a queue elsewhere", player.letter())))
}

/// Adds a player to a group, by packages that lie where its queue is now: who adds it has to hear of that.
async fn invited(by: &Player, player: &Player, group: &GroupId) -> Result<(), Stop> {
    let mut last = Ok(());
    for _ in 0..TRIES {
        by.read().await?;
        last = by.client.invite(group, &[player.user().clone()]).await;
        if last.is_ok() {
            break;
        }
        by.wait().await?;
    }
    last.doing("c adds a where its queue is now")
}

/// Lines that c writes.
const LINES: usize = 12;
/// How often it is looked whether something has come, a tenth of a second apart.
const TRIES: usize = 50;
