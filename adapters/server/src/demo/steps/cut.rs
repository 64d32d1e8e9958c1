//! Step 8: the wire between the servers is cut, and mended.

use std::time::{Duration, Instant};

use futures::future::{try_join, try_join_all};
use tokio::time::sleep;

use super::talk::{in_order, top_up};
use crate::demo::{
    disk::held,
    play::Play,
    player::Player,
    report::{Doing, Stop, Told, ensure, millis},
};

pub(super) async fn play(play: &mut Play) -> Result<Told, Stop> {
    let outcome = cut_and_mend(play).await;
    // Whatever came of it, what comes next needs the wire, and nothing on its way.
    play.stage.mend();
    if let Err(Stop::Failed(_)) = &outcome {
        clear(play).await;
    }
    outcome
}

/// Lets what still lies in alpha's mailbox go, as far as it will, and everybody get over what came of it: whoever was sent
/// something twice compares its groups with their homeserver, and would do so in the midst of what comes next.
async fn clear(play: &Play) {
    let until = Instant::now() + ON_ITS_WAY;
    play.stage.beta.home.admin().greet(&play.stage.alpha.domain).await;
    while Instant::now() < until && held(&play.stage.alpha.file).is_ok_and(|held| held > 0) {
        sleep(Duration::from_millis(20)).await;
    }
    for player in &play.players {
        // What is wrong with what came was told already.
        let _ = player.read().await;
    }
}

async fn cut_and_mend(play: &mut Play) -> Result<Told, Stop> {
    let (group, crowd) = (play.group()?, play.crowd.clone().ok_or(Stop::Skipped("group of eight"))?);
    let person = play.three()?.0.person.clone();
    let lines: Vec<_> = (0..HELD).map(|_| (play.line(&person), play.dice.below(LONGEST_PAUSE_MS))).collect();
    let home_speaker =
        play.players.get(3).map(|player| player.person.clone()).ok_or(Stop::Skipped("fourth user"))?;
    let home_lines: Vec<_> = (0..AT_HOME).map(|_| (play.line(&home_speaker), 0)).collect();
    let (before, after) = (play.dice.below(100), play.dice.below(300));
    let (a, b, c) = play.three()?;
    let [d, e] = [3, 4].map(|place| play.players.get(place));
    let (Some(d), Some(e)) = (d, e) else { return Err(Stop::Skipped("user of alpha")) };
    for player in &play.players {
        player.read().await?;
        player.forget();
    }
    top_up(a).await?;
    sleep(Duration::from_millis(before)).await;
    play.stage.cut();
    let sending = async {
        for (line, pause) in &lines {
            sleep(Duration::from_millis(*pause)).await;
            a.client.send(&group, line).await.doing("a sends over the cut wire")?;
        }
        Ok(())
    };
    let at_home = async {
        for (line, _) in &home_lines {
            d.client.send(&crowd, line).await.doing("d sends at home")?;
        }
        e.messages(&crowd, AT_HOME).await
    };
    let ((), heard_at_home) = try_join(sending, at_home).await?;
    let at_home = in_order(e, &heard_at_home, d, &home_lines)?;
    let held = in_mailbox(play).await?;
    sleep(Duration::from_millis(after)).await;
    for player in [b, c] {
        player.read().await?;
        let leaked = player.heard_messages(&group)?.len();
        ensure(leaked == 0, || format!("{leaked} messages came to {} over a cut wire", player.letter()))?;
    }
    let took = mend(play, &[b, c], &lines).await?;
    Ok(Told::new(format!(
        "{HELD} accepted while {at_home} went on at home; all {held} for beta held in alpha's mailbox; mended, {} came \
         once and in order within {took:.1} ms",
        2 * HELD
    ))
    .figure("accepted", HELD)
    .figure("held", held)
    .figure("at_home", at_home)
    .figure("deliveries", 2 * HELD)
    .figure("mended_ms", took))
}

/// Waits until what was accepted for users of beta lies in alpha's mailbox; gives how many messages do.
async fn in_mailbox(play: &Play) -> Result<u64, Stop> {
    let until = Instant::now() + ON_ITS_WAY;
    loop {
        let held = held(&play.stage.alpha.file).doing("alpha's mailbox is counted")?;
        if usize::try_from(held).is_ok_and(|held| held >= HELD + AT_HOME) {
            return Ok(held);
        }
        ensure(Instant::now() < until, || format!("only {held} messages are in alpha's mailbox"))?;
        sleep(Duration::from_millis(20)).await;
    }
}

/// Mends the wire, and waits until everything that was held has come; gives the milliseconds that it took.
async fn mend(play: &Play, to: &[&Player], lines: &Vec<(String, u64)>) -> Result<f64, Stop> {
    let (group, (a, ..)) = (play.group()?, play.three()?);
    let (alpha, beta) = (&play.stage.alpha, &play.stage.beta);
    let began = Instant::now();
    play.stage.mend();
    // Beta has been cut off, and tells alpha that it is back: that triggers an immediate retry (08).
    let greeted = beta.home.admin().greet(&alpha.domain).await;
    ensure(greeted, || "alpha did not answer beta's empty transaction".to_owned())?;
    let heard = try_join_all(to.iter().map(|player| player.messages(&group, lines.len()))).await?;
    let took = began.elapsed();
    // A second copy would come with the next transaction.
    sleep(SECOND_COPIES).await;
    for (player, mut heard) in to.iter().zip(heard) {
        player.read().await?;
        heard.extend(player.heard_messages(&group)?);
        in_order(player, &heard, a, lines)?;
    }
    Ok(millis(took))
}

/// Messages that are sent while the wire is cut.
const HELD: usize = 40;
/// Messages that go on within alpha meanwhile.
const AT_HOME: usize = 5;
/// Longest pause before a message.
const LONGEST_PAUSE_MS: u64 = 8;
/// How long a message may take from its acceptance into the mailbox.
const ON_ITS_WAY: Duration = Duration::from_secs(5);
/// How long to wait for what must not come.
const SECOND_COPIES: Duration = Duration::from_millis(200);
